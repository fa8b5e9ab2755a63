"""What both templates keep closed, whatever is added to them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.templates.reading import BACKUP, RESTORE, ROOT, actions, launch_data, load, statements

# Actions that AWS does not let a policy limit to a resource, or whose resource does not exist yet.
NOT_LIMITED = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "cloudwatch:GetMetricStatistics",
    "cloudwatch:PutMetricData",
    "ec2:DescribeInstanceTypes",
    "ssm:UpdateInstanceInformation",
}
AGENT = ("ssmmessages:", "ec2messages:")


@pytest.fixture(params=[BACKUP, RESTORE], ids=["backup", "restore"])
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def template(path: Path) -> dict[str, Any]:
    return load(path)


def properties(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Logical id -> properties, of all resources of a type."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def resources_of(statement: dict[str, Any]) -> list[Any]:
    found = statement["Resource"]
    return found if isinstance(found, list) else [found]


class TestInstance:
    def test_metadata_only_by_version_2_and_from_the_instance_itself(self, template: Any) -> None:
        assert launch_data(template)["MetadataOptions"] == {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        }

    def test_its_disk_is_encrypted_and_goes_with_it(self, template: Any) -> None:
        disks = [device["Ebs"] for device in launch_data(template)["BlockDeviceMappings"]]
        assert disks
        assert all(d["Encrypted"] is True and d["DeleteOnTermination"] is True for d in disks)

    def test_it_needs_no_public_address_and_no_key(self, template: Any) -> None:
        assert not {"KeyName", "NetworkInterfaces"} & set(launch_data(template))

    def test_nobody_reaches_it_but_nfs_within_its_group(self, template: Any) -> None:
        for group in properties(template, "AWS::EC2::SecurityGroup").values():
            assert "SecurityGroupIngress" not in group
        (rule,) = properties(template, "AWS::EC2::SecurityGroupIngress").values()
        own = {"Ref": "EFSSecurityGroup"}
        assert rule == {
            "GroupId": own,
            "SourceSecurityGroupId": own,
            "IpProtocol": "tcp",
            "FromPort": 2049,
            "ToPort": 2049,
        }


class TestRights:
    def test_a_wildcard_is_never_an_action(self, template: Any) -> None:
        found = [action for _, s in statements(template) for action in actions(s)]
        assert [a for a in found if "*" in a and a != "kms:GenerateDataKey*"] == []

    def test_every_resource_is_named_that_can_be(self, template: Any) -> None:
        open_to_all = {
            action
            for _, statement in statements(template)
            for action in actions(statement)
            if "*" in resources_of(statement)
        }
        assert {a for a in open_to_all - NOT_LIMITED if not a.startswith(AGENT)} == set()

    def test_nobody_can_give_rights_away(self, template: Any) -> None:
        found = {action for _, s in statements(template) for action in actions(s)}
        dangerous = [a for a in found if re.match(r"lambda:(Add|Remove)|iam:(?!PassRole$)|sts:", a)]
        assert dangerous == []
        for _, statement in statements(template):
            if "iam:PassRole" in actions(statement):
                assert resources_of(statement) == [{"Fn::GetAtt": ["SchedulerRole", "Arn"]}]
                assert statement["Condition"]["StringEquals"] == {
                    "iam:PassedToService": "scheduler.amazonaws.com"
                }

    def test_nothing_can_be_deleted_but_entries_items_catalogs_and_messages(
        self, template: Any
    ) -> None:
        queue = {"Fn::GetAtt": ["WorkerQueue", "Arn"]}
        found = {
            action
            for _, s in statements(template)
            for action in actions(s)
            if s["Resource"] != {"Fn::Sub": "${EFSLogBucket.Arn}/catalog/*"}
            and queue not in resources_of(s)
        }
        deleting = {a for a in found if re.search(r":(Delete|Remove|Terminate)", a)}
        assert deleting <= {
            "dynamodb:DeleteItem",
            "ec2messages:DeleteMessage",
            "scheduler:DeleteSchedule",
            "autoscaling:TerminateInstanceInAutoScalingGroup",
        }

    def test_a_function_is_called_by_one_source_only(self, template: Any) -> None:
        for name, permission in properties(template, "AWS::Lambda::Permission").items():
            kind = {"events": "AWS::Events::Rule", "sns": "AWS::SNS::Topic"}
            service = permission["Principal"].removesuffix(".amazonaws.com")
            source = permission["SourceArn"]
            caller = source.get("Ref") or source["Fn::GetAtt"][0]
            assert source in ({"Ref": caller}, {"Fn::GetAtt": [caller, "Arn"]}), name
            assert template["Resources"][caller]["Type"] == kind[service], name
            assert "AWS::Lambda::Url" not in json.dumps(template["Resources"])


class TestKept:
    def test_buckets(self, template: Any) -> None:
        for name, bucket in properties(template, "AWS::S3::Bucket").items():
            assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
            assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
            assert len(bucket["PublicAccessBlockConfiguration"]) == 4
            assert bucket["BucketEncryption"]
            (policy,) = (
                p
                for p in properties(template, "AWS::S3::BucketPolicy").values()
                if p["Bucket"] == {"Ref": name}
            )
            (only,) = policy["PolicyDocument"]["Statement"]
            assert (only["Effect"], only["Principal"], only["Action"]) == ("Deny", "*", "s3:*")
            assert only["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            assert len(only["Resource"]) == 2

    def test_tables_and_topics_are_encrypted(self, template: Any) -> None:
        for table in properties(template, "AWS::DynamoDB::Table").values():
            assert table["SSESpecification"] == {"SSEEnabled": True}
        for topic in properties(template, "AWS::SNS::Topic").values():
            assert topic["KmsMasterKeyId"]
        for key in properties(template, "AWS::KMS::Key").values():
            assert key["EnableKeyRotation"] is True

    def test_queues_are_encrypted_and_spoken_to_by_tls_only(self, template: Any) -> None:
        queues = properties(template, "AWS::SQS::Queue")
        assert len(queues) == 2
        assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())
        policies = properties(template, "AWS::SQS::QueuePolicy").values()
        for name, policy in zip(queues, policies, strict=True):
            assert policy["Queues"] == [{"Ref": name}]
            (only,) = policy["PolicyDocument"]["Statement"]
            assert (only["Effect"], only["Principal"], only["Action"]) == ("Deny", "*", "sqs:*")
            assert only["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            assert only["Resource"] == {"Fn::GetAtt": [name, "Arn"]}  # SQS wants no more than one

    def test_logs_are_of_a_group_that_expires(self, template: Any) -> None:
        groups = properties(template, "AWS::Logs::LogGroup")
        assert all(group["RetentionInDays"] <= 365 for group in groups.values())
        functions = properties(template, "AWS::Lambda::Function").values()
        assert {f["LoggingConfig"]["LogGroup"]["Ref"] for f in functions} == set(groups)


MOUNT = re.compile(r'mount_efs (\w+) "\$\w+" \S+ \S+ (\S+)')


@pytest.mark.parametrize(
    ("task", "read_only", "written"),
    [("backup", "source", "backup"), ("restore", "backup", "target")],
)
def test_what_is_read_is_mounted_read_only_and_all_with_tls(
    task: str, read_only: str, written: str
) -> None:
    text = (ROOT / "ec2/lib/mount.sh").read_text()
    function = text.partition(f"mount_for_{task}() {{\n")[2].partition("\n}")[0]
    options = dict(MOUNT.findall(function))
    assert options == {read_only: "tls,iam,ro", written: "tls,iam"}
    for script in (f"efs-ec2-{task}.sh", "efs-ec2-worker.sh"):
        assert f"mount_for_{task}\n" in (ROOT / "ec2" / script).read_text()


def test_nothing_else_is_mounted() -> None:
    found = [line for p in (ROOT / "ec2").rglob("*.sh") for line in MOUNT.findall(p.read_text())]
    assert len(found) == 4
