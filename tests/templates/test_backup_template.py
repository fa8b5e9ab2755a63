"""The backup template keeps v1.5's interface, refuses bad input, and is safe to deploy."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "templates" / "efs-to-efs-backup.template"

STATEFUL = {"DstEFS", "EFSLogBucket", "EFSDynamoDB"}
ADDED_BY_US = {
    "BackupInstanceLaunchTemplate",
    "EFSLogBucketPolicy",
    "HelperLogs",
    "OrchestratorLogs",
    "ScheduleGroup",
    "SchedulerRole",
}
WINDOWS = [60, 90, 120, 150, 180, 240, 300, 360, 480, 600, 720, 840, 960, 1080, 1200, 1320]

# The implementation guide's table of parameters: default, and allowed values where it names them.
GUIDE: dict[str, tuple[Any, list[Any] | None]] = {
    "SrcEFS": (None, None),
    "IntervalTag": ("daily", ["daily", "weekly", "monthly"]),
    "Retain": (7, None),
    "FolderLabel": ("efs-backup", None),
    "BackupWindow": (180, WINDOWS),
    "BackupSchedule": ("cron(0 2 * * ? *)", None),
    "BackupPrefix": ("/", None),
    "EFSMode": ("generalPurpose", ["generalPurpose", "maxIO"]),
    "Subnets": (None, None),
    "VpcId": (None, None),
    "Email": (None, None),
    "SuccessNotification": ("Yes", ["Yes", "No"]),
    "Dashboard": ("Yes", ["Yes", "No"]),
    "EFSEncryption": ("Yes", ["Yes", "No"]),
}
LABELS = {
    "SrcEFS": "Source EFS",
    "IntervalTag": "Interval Label",
    "Retain": "Retain",
    "FolderLabel": "Folder Label",
    "BackupWindow": "Backup Window",
    "BackupSchedule": "Backup Schedule",
    "BackupPrefix": "Backup Prefix",
    "EFSMode": "EFS Mode",
    "Subnets": "Subnet IDs",
    "VpcId": "VPC ID",
    "Email": "Email",
    "SuccessNotification": "Success Notification",
    "Dashboard": "Dashboard",
    "EFSEncryption": "EFS Encryption",
}
# Resources of v1.5, by logical id. The launch configuration has become a launch template, because
# new accounts cannot create one.
RESOURCES = {
    "EFSSecurityGroup": "AWS::EC2::SecurityGroup",
    "EFSIngressRule": "AWS::EC2::SecurityGroupIngress",
    "DstEFS": "AWS::EFS::FileSystem",
    "MountTarget0": "AWS::EFS::MountTarget",
    "MountTarget1": "AWS::EFS::MountTarget",
    "EFSAutoScalingGroup": "AWS::AutoScaling::AutoScalingGroup",
    "LifecycleHook": "AWS::AutoScaling::LifecycleHook",
    "Orchestrator": "AWS::Lambda::Function",
    "EFSDynamoDB": "AWS::DynamoDB::Table",
    "EFSLogBucket": "AWS::S3::Bucket",
    "EFSBackupStartEvent": "AWS::Events::Rule",
    "BackupStartEventLambdaPermission": "AWS::Lambda::Permission",
    "ASGEvent": "AWS::Events::Rule",
    "ASGEventLambdaPermission": "AWS::Lambda::Permission",
    "CWDashboard": "AWS::CloudWatch::Dashboard",
    "SNSTopic": "AWS::SNS::Topic",
    "OrchestratorRole": "AWS::IAM::Role",
    "EC2Role": "AWS::IAM::Role",
    "EC2RolePolicies": "AWS::IAM::Policy",
    "InstanceProfile": "AWS::IAM::InstanceProfile",
    "SolutionHelperRole": "AWS::IAM::Role",
    "AMIInfoFunction": "AWS::Lambda::Function",
    "AMIInfo": "Custom::AMIInfo",
    "SolutionHelper": "AWS::Lambda::Function",
    "CreateUniqueID": "Custom::LoadLambda",
    "SendAnonymousMetrics": "Custom::SendAnonymousMetrics",
}
OUTPUTS = {
    "UUID",
    "SNSTopic",
    "SourceEFS",
    "BackupEFS",
    "DashboardView",
    "LogBucket",
    "AmiId",
    "EFSSecurityGroup",
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = cfn_yaml.load(str(TEMPLATE))
    return loaded


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"]
    return found


def test_it_fits_into_a_template_body() -> None:
    assert TEMPLATE.stat().st_size < 51_200


def test_parameters_are_those_of_the_guide(template: dict[str, Any]) -> None:
    assert set(template["Parameters"]) == set(GUIDE)
    for name, (default, allowed) in GUIDE.items():
        parameter = template["Parameters"][name]
        assert parameter.get("Default") == default, name
        assert parameter.get("AllowedValues") == allowed, name
        assert parameter["Description"], name
    types = {name: p["Type"] for name, p in template["Parameters"].items()}
    assert types["Subnets"] == "List<AWS::EC2::Subnet::Id>"
    assert types["VpcId"] == "AWS::EC2::VPC::Id"
    assert types["Retain"] == types["BackupWindow"] == "Number"


def test_each_parameter_is_labelled_and_grouped(template: dict[str, Any]) -> None:
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    labels = {name: label["default"] for name, label in interface["ParameterLabels"].items()}
    assert labels == LABELS
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(GUIDE)


def test_resources_of_v15_keep_their_ids_and_types(resources: dict[str, Any]) -> None:
    assert {name: r["Type"] for name, r in resources.items() if name in RESOURCES} == RESOURCES
    assert set(resources) == set(RESOURCES) | ADDED_BY_US


def test_physical_names_are_those_of_v15(resources: dict[str, Any]) -> None:
    stack = {"Ref": "AWS::StackName"}
    assert resources["Orchestrator"]["Properties"]["FunctionName"] == stack
    assert resources["EFSDynamoDB"]["Properties"]["TableName"] == stack
    dashboard = resources["CWDashboard"]["Properties"]["DashboardName"]
    assert dashboard == {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}


def test_outputs_are_those_of_v15(template: dict[str, Any]) -> None:
    assert set(template["Outputs"]) == OUTPUTS


def test_mappings_can_be_edited_as_the_guide_says(template: dict[str, Any]) -> None:
    mapping = template["Mappings"]["Map"]
    assert mapping["c5.xlarge"] == {"Arch": "HVM64"}
    assert mapping["us-east-1"] == {"InstanceSize": "c5.xlarge"}
    assert mapping["send-data"] == {"SendAnonymousData": "Yes"}
    assert mapping["encryption"] == {"Yes": "true", "No": "false"}
    sizes = [entry["InstanceSize"] for entry in mapping.values() if "InstanceSize" in entry]
    assert all("Arch" in mapping[size] for size in sizes)


def test_every_stateful_resource_is_retained(resources: dict[str, Any]) -> None:
    for name in STATEFUL:
        assert resources[name]["DeletionPolicy"] == "Retain", name
    for name, resource in resources.items():
        policies = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
        assert policies[0] == policies[1], f"{name}: the two policies go together"


def matches(parameter: dict[str, Any], value: str) -> bool:
    length = parameter.get("MinLength", 0) <= len(value) <= parameter.get("MaxLength", 4096)
    return length and bool(re.search(parameter["AllowedPattern"], value))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "FolderLabel",
            ["efs-backup", "a", "my label", "ümläut", "a.b", "x" * 100],
            ["", "a/b", "..", "a..b", "line\nbreak", "end\n", ".hidden", "-rf", "x" * 101, "\0"],
        ),
        (
            "SrcEFS",
            ["fs-01234567", "fs-0123456789abcdef0"],
            ["", "efs-1", "fs-", "fs-0123456", "fs-0123456789ABCDEF0", "fs-01234567; id"],
        ),
        (
            "BackupPrefix",
            ["/", "/appdata", "/with space/ünd", "/a..b", "/home/"],
            ["", "appdata", "/../etc", "/a/..", "/a\nb", "/a\n"],
        ),
        (
            "BackupSchedule",
            ["cron(0 2 * * ? *)", "rate(1 day)", "cron(0/30 8-18 ? * MON-FRI *)"],
            ["", "0 2 * * *", "cron()", "rate(1 day); x", "at(2026-01-01T00:00:00)"],
        ),
        ("Email", ["a@b.example", "x.y+z@sub.b.example"], ["", "a", "a@b", "a b@c.d", "@b.c"]),
    ],
)
def test_patterns(template: dict[str, Any], name: str, good: list[str], bad: list[str]) -> None:
    parameter = template["Parameters"][name]
    assert [value for value in good if not matches(parameter, value)] == []
    assert [value for value in bad if matches(parameter, value)] == []
    assert parameter["ConstraintDescription"].startswith("must be")


def test_retain_is_at_least_one(template: dict[str, Any]) -> None:
    assert template["Parameters"]["Retain"]["MinValue"] == 1


def user_data(resources: dict[str, Any]) -> str:
    data = resources["BackupInstanceLaunchTemplate"]["Properties"]["LaunchTemplateData"]
    text, _ = data["UserData"]["Fn::Base64"]["Fn::Sub"]
    return str(text)


def test_user_data_only_sets_variables_and_runs_one_script(resources: dict[str, Any]) -> None:
    text = user_data(resources)
    settings, commands = text.split("END-OF-SETTINGS\n")
    assert "<<'END-OF-SETTINGS'" in settings, "the shell must not expand a parameter's value"
    for parameter in ("SrcEFS", "BackupPrefix", "FolderLabel", "Retain"):
        assert f"${{{parameter}}}" not in commands, f"{parameter} must not stand on a command line"
    lines = [line for line in text.splitlines() if not re.match(r"[A-Z_]+=", line)]
    assert len(lines) <= 15
    assert text.splitlines()[-1].endswith("exec ec2/efs-ec2-backup.sh")


def test_the_bundle_is_checked_before_it_runs(resources: dict[str, Any]) -> None:
    lines = user_data(resources).splitlines()
    (check,) = (n for n, line in enumerate(lines) if "sha256sum --check" in line)
    assert check < len(lines) - 1


def test_the_scripts_know_every_setting_of_user_data(resources: dict[str, Any]) -> None:
    written = set(re.findall(r"^([A-Z_]+)=", user_data(resources), re.MULTILINE))
    scripts = "".join(path.read_text() for path in (ROOT / "ec2").rglob("*.sh"))
    assert {name for name in written if f"${name}" not in scripts} == set()


def test_the_instance_is_closed(resources: dict[str, Any]) -> None:
    data = resources["BackupInstanceLaunchTemplate"]["Properties"]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert all(device["Ebs"]["Encrypted"] for device in data["BlockDeviceMappings"])
    group = resources["EFSAutoScalingGroup"]["Properties"]
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 0, 1)


def test_the_hook_holds_the_instance_until_the_window_ends(resources: dict[str, Any]) -> None:
    hook = resources["LifecycleHook"]["Properties"]
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert hook["HeartbeatTimeout"] == 15 * 60
    assert hook["DefaultResult"] == "CONTINUE"


def test_records_expire_and_the_table_is_encrypted(resources: dict[str, Any]) -> None:
    table = resources["EFSDynamoDB"]["Properties"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ExpireItem", "Enabled": True}
    assert table["KeySchema"] == [{"AttributeName": "BackupId", "KeyType": "HASH"}]
    assert table["SSESpecification"]["SSEEnabled"] is True


def test_elastic_throughput_is_never_asked_for_in_max_io_mode(template: dict[str, Any]) -> None:
    mode = template["Resources"]["DstEFS"]["Properties"]["ThroughputMode"]
    assert mode == {"Fn::If": ["ElasticThroughput", "elastic", "bursting"]}
    condition = template["Conditions"]["ElasticThroughput"]
    assert condition == {"Fn::Equals": [{"Ref": "EFSMode"}, "generalPurpose"]}


def test_custom_resources_fail_soon(resources: dict[str, Any]) -> None:
    custom = [r for r in resources.values() if r["Type"].startswith("Custom::")]
    assert len(custom) == 3
    assert all(int(r["Properties"]["ServiceTimeout"]) <= 300 for r in custom)


def test_the_dashboard_is_json(resources: dict[str, Any]) -> None:
    body = resources["CWDashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    titles = [w["properties"]["title"] for w in json.loads(body)["widgets"]]
    assert len(titles) == 4


# Actions that AWS does not let a policy limit to a resource.
NO_RESOURCE_LEVEL = re.compile(
    "autoscaling:Describe|ec2:Describe|ssmmessages:|ec2messages:|ssm:UpdateInstanceInformation"
)


def statements(resources: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        documents = [p["PolicyDocument"] for p in properties.get("Policies", [])]
        if resource["Type"] == "AWS::IAM::Policy":
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                yield name, statement


def test_no_wildcards_where_a_resource_can_be_named(resources: dict[str, Any]) -> None:
    seen = 0
    for name, statement in statements(resources):
        actions = statement["Action"]
        actions = [actions] if isinstance(actions, str) else actions
        assert not [a for a in actions if a.endswith(("*", ":*"))], name
        if statement["Resource"] == "*":
            seen += 1
            assert [a for a in actions if not NO_RESOURCE_LEVEL.match(a)] == [], name
    assert seen == 3


def test_the_source_can_never_be_written(resources: dict[str, Any]) -> None:
    for _, statement in statements(resources):
        if "elasticfilesystem:ClientWrite" in statement["Action"]:
            assert statement["Resource"] == {"Fn::GetAtt": ["DstEFS", "Arn"]}
