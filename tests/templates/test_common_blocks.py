"""The two templates are flat, so they repeat each other. What they repeat stays the same, and what
every template has to be, both are."""

import json
import re
from itertools import chain
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.cloudformation import aws_environment
from tests.templates.reading import (
    BACKUP,
    RESTORE,
    ROOT,
    actions,
    launch_data,
    load,
    of_type,
    statements,
    user_data,
    wrongly_judged,
)
from tools.build import released

SCRIPTS = {BACKUP: "efs-ec2-backup.sh", RESTORE: "efs-ec2-restore.sh"}

# Properties of common resources that are looked at one by one, or that belong to one of the two.
OWN_PROPERTIES = {
    "SendAnonymousMetrics": {"EventType", "Retain", "BackupWindow"},
    "CWDashboard": {"DashboardBody"},
    # An alarm publishes to the backup's topic, and needs a key of its own for it.
    "SNSTopic": {"KmsMasterKeyId"},
    "EC2RolePolicies": {"PolicyDocument"},
    "SchedulerRole": {"Policies"},
    "WorkerLaunchTemplate": {"LaunchTemplateData"},
}


@pytest.fixture(scope="module", params=[BACKUP, RESTORE], ids=["backup", "restore"])
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture(scope="module")
def template(path: Path) -> dict[str, Any]:
    return load(path)


@pytest.fixture(scope="module")
def backup() -> dict[str, Any]:
    """The backup template, its helpers' role called as in the restore template."""
    text = json.dumps(load(BACKUP))
    renamed: dict[str, Any] = json.loads(text.replace('"SolutionHelperRole"', '"HelperRole"'))
    return renamed


@pytest.fixture(scope="module")
def restore() -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(load(RESTORE)))
    return plain


def meant(value: Any) -> Any:
    """Without what is left out of texts: blank lines and comments, and blanks in JSON."""
    if isinstance(value, dict):
        return {name: meant(each) for name, each in value.items()}
    if isinstance(value, list):
        return [meant(each) for each in value]
    if not isinstance(value, str):
        return value
    text = "\n".join(line for line in value.splitlines() if not re.fullmatch(r" *(# .*)?", line))
    return json.loads(text) if value.startswith("{") else text


class TestEachTemplate:
    def test_it_fits_into_a_template_body(self, path: Path) -> None:
        assert len(released(path.read_text())) < 51_200

    def test_it_means_the_same_when_it_is_released(self, path: Path, tmp_path: Path) -> None:
        made = tmp_path / path.name
        made.write_text(released(path.read_text()))
        one, other = (meant(load(each)) for each in (made, path))
        assert one == other

    def test_its_dashboard_is_released_as_it_is_but_for_blanks(
        self, path: Path, tmp_path: Path
    ) -> None:
        made = tmp_path / path.name
        made.write_text(released(path.read_text()))
        one, other = (
            str(of_type(load(each), "AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Sub"])
            for each in (made, path)
        )
        assert json.loads(one) == json.loads(other)
        assert len(one) < len(other)

    def test_it_is_plain_ascii(self, path: Path) -> None:
        """CloudFormation shows a ? for each other character."""
        assert path.read_bytes().isascii()

    def test_each_parameter_is_in_one_group(self, template: dict[str, Any]) -> None:
        groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        grouped = [name for group in groups for name in group["Parameters"]]
        assert sorted(grouped) == sorted(template["Parameters"])

    def test_every_parameter_says_what_it_wants(self, template: dict[str, Any]) -> None:
        for name, parameter in template["Parameters"].items():
            assert parameter["Description"], name
            checks = {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter)
            assert len(checks) == 1, name
            # Of the others CloudFormation says what it wants by itself.
            has_pattern = checks == {"AllowedPattern"}
            assert ("ConstraintDescription" in parameter) == has_pattern, name
            assert parameter.get("ConstraintDescription", "must be").startswith("must be"), name
            if checks == {"MinValue"}:
                assert (parameter["Type"], "MaxValue" in parameter) == ("Number", True)

    def test_what_is_kept_is_kept_always(self, resources: dict[str, Any]) -> None:
        for name, resource in resources.items():
            policies = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
            # What an attempt that failed has made goes again: the table's name and the bucket's
            # policy would be in the way of the next one.
            assert policies in ((None, None), ("RetainExceptOnCreate", "Retain")), name

    @pytest.mark.parametrize(
        ("name", "good", "bad"),
        [
            (
                "FolderLabel",
                ["efs-backup", "a", "my label", "ümläut", "a.b", "x" * 100],
                [
                    "",
                    "a/b",
                    "..",
                    "a..b",
                    "line\nbreak",
                    "end\n",
                    ".a",
                    "-rf",
                    "x" * 101,
                    "\0",
                    " ",
                    "   ",
                ],
            ),
            (
                "SrcEFS",
                ["fs-01234567", "fs-0123456789abcdef0"],
                ["", "efs-1", "fs-", "fs-0123456", "fs-0123456789ABCDEF0", "fs-01234567; id"],
            ),
            (
                "Prefix",
                ["/", "/appdata", "/with space/ünd", "/a..b", "/home/"],
                ["", "appdata", "/../etc", "/a/..", "/a\nb", "/a\n"],
            ),
            (
                "VpcId",
                ["vpc-0a1b2c3d", "vpc-0123456789abcdef0"],
                ["", "vpc-", "subnet-0a1b2c3d", "vpc-0a1b2c3d,vpc-0a1b2c3e", "vpc-0A1B"],
            ),
            (
                # CloudFormation may match the whole list, or each of its members.
                "Subnets",
                ["subnet-0a1b2c3d", "subnet-0a1b2c3d,subnet-4e5f6a7b", "subnet-0a, subnet-4e"],
                ["", "subnet-", "vpc-0a1b2c3d", "subnet-0a1b2c3d;subnet-4e5f6a7b"],
            ),
            ("Email", ["", "a@b.example", "x.y+z@sub.b.example"], ["a", "a@b", "a b@c.d", "@b.c"]),
        ],
    )
    def test_patterns(
        self, template: dict[str, Any], name: str, good: list[str], bad: list[str]
    ) -> None:
        (parameter,) = (p for key, p in template["Parameters"].items() if key.endswith(name))
        assert wrongly_judged(parameter, good, bad) == []

    def test_a_worker_is_launched_as_the_instance_of_a_run(self, template: dict[str, Any]) -> None:
        ours, theirs = (dict(launch_data(template, of)) for of in ("Instance", "Worker"))
        del ours["UserData"], theirs["UserData"]
        spot = theirs.pop("InstanceMarketOptions")
        assert spot == {"Fn::If": ["Spot", {"MarketType": "spot"}, {"Ref": "AWS::NoValue"}]}
        assert ours == theirs

    def test_a_worker_runs_what_was_checked(self, template: dict[str, Any]) -> None:
        settings, commands = user_data(template, "Worker")
        assert "<<'END-OF-SETTINGS'" in "".join(settings)
        on_command_lines = [n for n in template["Parameters"] if f"${{{n}}}" in "".join(commands)]
        assert on_command_lines == []
        (check,) = (n for n, line in enumerate(commands) if "sha256sum --check" in line)
        assert check == len(commands) - 2
        assert commands[-1].endswith("exec ec2/efs-ec2-worker.sh")
        written = {line.partition("=")[0] for line in settings if re.match("[A-Z_]+=", line)}
        known = {n.partition("=")[0] for n in user_data(template)[0]}
        assert written <= known, "as the instance of a run knows them"

    def test_without_workers_there_is_nothing_of_them(
        self, template: dict[str, Any], resources: dict[str, Any]
    ) -> None:
        none = {"Fn::Not": [{"Fn::Equals": [{"Ref": "Workers"}, "0"]}]}
        assert template["Conditions"]["HasWorkers"] == none
        theirs = {name: r for name, r in resources.items() if name.startswith("Worker")}
        assert {r["Condition"] for r in theirs.values()} == {"HasWorkers"}
        kinds = {r["Type"].rpartition("::")[2] for r in theirs.values()}
        assert kinds == {"Queue", "QueuePolicy", "LaunchTemplate", "AutoScalingGroup"}

    def test_no_worker_runs_until_it_is_wanted(self, resources: dict[str, Any]) -> None:
        group = resources["WorkerGroup"]["Properties"]
        assert (group["MinSize"], group["MaxSize"]) == (0, {"Ref": "Workers"})
        assert "DesiredCapacity" not in group, "an update would set it"

    def test_user_data_only_sets_variables_and_runs_one_script(
        self, path: Path, template: dict[str, Any]
    ) -> None:
        settings, commands = user_data(template)
        assert any("<<'END-OF-SETTINGS'" in line for line in settings), "the shell would expand"
        on_command_lines = [
            name for name in template["Parameters"] if f"${{{name}}}" in "".join(commands)
        ]
        assert on_command_lines == []
        steps = [line for line in commands if not line.startswith((" ", "#"))]
        assert len([line for line in settings if "=" not in line] + steps) <= 15
        assert commands[-1].endswith(f"exec ec2/{SCRIPTS[path]}")
        assert (ROOT / "ec2" / SCRIPTS[path]).stat().st_mode & 0o100

    def test_the_bundle_is_checked_before_it_runs(self, template: dict[str, Any]) -> None:
        _, commands = user_data(template)
        (check,) = (n for n, line in enumerate(commands) if "sha256sum --check" in line)
        assert check < len(commands) - 1

    def test_the_scripts_know_every_setting(self, template: dict[str, Any]) -> None:
        settings, _ = user_data(template)
        written = {line.partition("=")[0] for line in settings if re.match("[A-Z_]+=", line)}
        scripts = "".join(path.read_text() for path in (ROOT / "ec2").rglob("*.sh"))
        assert written
        assert {name for name in written if f"${name}" not in scripts} == set()

    def test_custom_resources_fail_soon(self, resources: dict[str, Any]) -> None:
        custom = [r for r in resources.values() if r["Type"].startswith("Custom::")]
        assert len(custom) >= 3
        assert all(int(r["Properties"]["ServiceTimeout"]) <= 300 for r in custom)

    def test_it_names_no_partition(self, path: Path) -> None:
        text = path.read_text()
        assert "arn:aws" not in text
        # Names of services are the same in all partitions, but for EC2's in China.
        services = re.findall(r"(?:Principal|Service|PassedToService): (\w+\.amazonaws\.com)", text)
        china = "!If [China, ec2.amazonaws.com.cn, ec2.amazonaws.com]"
        assert text.count(china) == 1
        assert text.replace(china, "").count("amazonaws") == len(services)


class TestInstanceSizes:
    """The two templates have the same mappings: one is enough."""

    @pytest.fixture
    def sizes(self) -> dict[str, str]:
        mapping = load(BACKUP)["Mappings"]["Map"]
        return {n: entry["InstanceSize"] for n, entry in mapping.items() if "InstanceSize" in entry}

    def test_every_region_with_efs_has_one(self, sizes: dict[str, str]) -> None:
        partitions = ("aws", "aws-cn", "aws-us-gov", "aws-eusc")
        regions = [boto3.Session().get_available_regions("efs", name) for name in partitions]
        assert set(sizes) == set(chain.from_iterable(regions))

    @mock_aws
    def test_each_is_offered_in_its_region(
        self, sizes: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        aws_environment(monkeypatch)
        checked = set()
        for region, size in sizes.items():
            ec2 = boto3.client("ec2", region)
            asked = [{"Name": "instance-type", "Values": [size, "t3.micro"]}]
            answer = ec2.describe_instance_type_offerings(Filters=asked)
            offered = {offer["InstanceType"] for offer in answer["InstanceTypeOfferings"]}
            if offered:  # else moto does not know the region: most have a t3.micro
                assert size in offered, region
                checked.add(region)
        assert len(checked) > 20

    @mock_aws
    def test_each_line_has_the_right_architecture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        aws_environment(monkeypatch)
        mapping = load(BACKUP)["Mappings"]["Map"]
        lines = {name: entry["Arch"] for name, entry in mapping.items() if "Arch" in entry}
        ec2 = boto3.client("ec2", "us-east-1")
        found = ec2.describe_instance_types(InstanceTypes=list(lines))["InstanceTypes"]
        architectures = {
            t["InstanceType"]: t["ProcessorInfo"]["SupportedArchitectures"] for t in found
        }
        right = {"HVM64": ["x86_64"], "ARM64": ["arm64"]}
        assert {name: right[arch] for name, arch in lines.items()} == architectures
        assert {
            entry["InstanceSize"] for entry in mapping.values() if "InstanceSize" in entry
        } <= set(lines)


class TestCommonBlocks:
    def test_common_parameters(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        ours, theirs = backup["Parameters"], restore["Parameters"]
        both = ours.keys() & theirs.keys()
        for name, other in [("BackupPrefix", "RestorePrefix"), *zip(both, both, strict=True)]:
            pair = [
                {key: value for key, value in parameter.items() if key != "Description"}
                for parameter in (ours[name], theirs[other])
            ]
            assert pair[0] == pair[1], name

    def test_both_file_systems_are_named_alike(self, restore: dict[str, Any]) -> None:
        source, backup = (dict(restore["Parameters"][name]) for name in ("SrcEFS", "DstEFS"))
        assert source.pop("Description") != backup.pop("Description")
        assert source == backup

    def test_labels(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        labels = [
            template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterLabels"]
            for template in (backup, restore)
        ]
        both = labels[0].keys() & labels[1].keys()
        assert {n: labels[0][n] for n in both} == {n: labels[1][n] for n in both}

    def test_mappings(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        mappings = json.loads(json.dumps(backup["Mappings"]))
        del mappings["Map"]["encryption"]
        assert mappings == restore["Mappings"]

    def test_conditions(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        both = {name: backup["Conditions"][name] for name in restore["Conditions"]}
        assert both == restore["Conditions"]

    def test_rules(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        assert backup["Rules"]["Network"] == restore["Rules"]["Network"]

    def test_resources(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        for name in backup["Resources"].keys() & restore["Resources"].keys():
            pair = [json.loads(json.dumps(t["Resources"][name])) for t in (backup, restore)]
            for resource in pair:
                for own in OWN_PROPERTIES.get(name, ()):
                    resource["Properties"].pop(own, None)
                if name == "CreateUniqueID":
                    del resource["Type"]  # v1.5 had two types for it, and a type cannot be changed
                if name == "HelperRole":
                    del resource["Properties"]["Policies"][1:]  # a backup has more to check
            assert pair[0] == pair[1], name

    def test_launch_template(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        ours, theirs = (dict(launch_data(template)) for template in (backup, restore))
        del ours["UserData"], theirs["UserData"]
        own_group = theirs["SecurityGroupIds"].pop()
        assert own_group == {"Ref": "SecurityGroupId"}
        assert ours == theirs

    def test_user_data(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        (our_settings, ours), (their_settings, theirs) = user_data(backup), user_data(restore)
        assert our_settings[:5] == their_settings[:5]
        theirs = [line.replace("efs-ec2-restore.sh", "efs-ec2-backup.sh") for line in theirs]
        assert ours[:4] == theirs[:4]  # what each reports is its own
        (end,) = (n for n, line in enumerate(ours) if line.startswith("  GROUP="))
        assert ours[end:] == theirs[-len(ours[end:]) :]
        values = [
            launch_data(template)["UserData"]["Fn::Base64"]["Fn::Sub"][1]
            for template in (backup, restore)
        ]
        assert values[0] == values[1]

    def test_group(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        ours, theirs = (
            next(r for r in template["Resources"].values() if r["Type"].endswith("ScalingGroup"))
            for template in (backup, restore)
        )
        assert ours["UpdatePolicy"] == theirs["UpdatePolicy"]
        for name in ("VPCZoneIdentifier", "MinSize", "MaxSize"):
            assert ours["Properties"][name] == theirs["Properties"][name]
        in_subnets = [backup["Resources"][f"MountTarget{n}"]["Properties"] for n in (0, 1)]
        assert ours["Properties"]["VPCZoneIdentifier"] == [p["SubnetId"] for p in in_subnets]
        text = json.dumps(ours["Properties"]["LaunchTemplate"])
        renamed = text.replace("BackupInstance", "RestoreInstance")
        assert json.loads(renamed) == theirs["Properties"]["LaunchTemplate"]
        assert theirs["Properties"]["Tags"][0] == ours["Properties"]["Tags"][0]

    def test_rights_of_the_instance(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        def rights(template: dict[str, Any]) -> dict[tuple[str, ...], Any]:
            return {
                tuple(actions(statement)): statement
                # The first of an action; a restore also reads what it has noted itself.
                for name, statement in reversed(list(statements(template)))
                if name == "EC2RolePolicies"
            }

        def read_from(rights: dict[tuple[str, ...], Any]) -> str:
            return str(rights[read]["Resource"]["Fn::Sub"])

        ours, theirs = rights(backup), rights(restore)
        for action in ("s3:GetObject", "sns:Publish"):
            assert ours[(action,)] == theirs[(action,)], action
        read = ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientRootAccess")
        assert read_from(ours).replace("SrcEFS", "DstEFS") == read_from(theirs)
        assert (*read, "elasticfilesystem:ClientWrite") in set(ours) & set(theirs)

    def test_outputs(self, backup: dict[str, Any], restore: dict[str, Any]) -> None:
        for name in ("SNSTopic", "DashboardView", "AmiId"):
            pair = [dict(template["Outputs"][name]) for template in (backup, restore)]
            for output in pair:
                del output["Description"]
            assert pair[0] == pair[1], name
