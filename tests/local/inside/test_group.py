"""A group of at most one instance, in a stack that has little else."""

import json
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local import emulator
from local.deployment import WAIT_SECONDS

HERE = Path(__file__).parent
LAUNCHED = "EC2 Instance Launch Successful"
TERMINATING = "EC2 Instance-terminate Lifecycle Action"
TERMINATED = "EC2 Instance Terminate Successful"


class Stack:
    """The stack of small.template, and its events."""

    def __init__(self, account):
        self.account = account
        ec2, efs = account.client("ec2"), account.client("efs")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        source = efs.create_file_system(CreationToken="source")["FileSystemId"]
        efs.create_mount_target(FileSystemId=source, SubnetId=subnet)
        self.source = account.file_system(source)
        self.source.mkdir()
        (self.source / "file").write_text("content")
        self.outputs = self._create(VpcId=vpc, Subnet=subnet, Source=source)
        self.backup = account.file_system(self.outputs["FileSystem"])

    def _create(self, **parameters):
        cloudformation = self.account.client("cloudformation")
        cloudformation.create_stack(
            StackName="small",
            TemplateBody=(HERE / "small.template").read_text(),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName="small", WaiterConfig={"Delay": 1, "MaxAttempts": 300}
        )
        outputs = cloudformation.describe_stacks(StackName="small")["Stacks"][0]["Outputs"]
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def desire(self, capacity):
        self.account.client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=self.outputs["Group"], DesiredCapacity=capacity
        )

    def members(self):
        answer = self.account.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[self.outputs["Group"]]
        )
        return answer["AutoScalingGroups"][0]["Instances"]

    def states(self):
        return [member["LifecycleState"] for member in self.members()]

    def receive(self):
        """The bodies of the messages that have come since the last call."""
        sqs, url = self.account.client("sqs"), self.outputs["Queue"]
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]

    def expect(self, *types):
        """The next events, which must be of these types, in any order."""
        found = []
        deadline = time.monotonic() + WAIT_SECONDS
        while len(found) < len(types) and time.monotonic() < deadline:
            found += self.receive()
            time.sleep(0.1)
        assert sorted(event["detail-type"] for event in found) == sorted(types)
        return sorted(found, key=lambda event: types.index(event["detail-type"]))

    def complete(self, event):
        self.account.client("autoscaling").complete_lifecycle_action(
            AutoScalingGroupName=self.outputs["Group"],
            LifecycleHookName=event["detail"]["LifecycleHookName"],
            LifecycleActionToken=event["detail"]["LifecycleActionToken"],
            LifecycleActionResult="CONTINUE",
        )

    def managed(self):
        """The ids of the instances that Systems Manager can reach."""
        found = self.account.client("ssm").describe_instance_information()
        return [entry["InstanceId"] for entry in found["InstanceInformationList"]]

    def run(self, instance_id, *commands, **options):
        """The finished invocation of a shell command on the instance."""
        ssm = self.account.client("ssm")
        command = ssm.send_command(
            InstanceIds=[instance_id],
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": list(commands)},
            **options,
        )["Command"]
        for _ in range(WAIT_SECONDS * 10):
            time.sleep(0.1)
            found = ssm.get_command_invocation(
                CommandId=command["CommandId"], InstanceId=instance_id
            )
            if found["Status"] in ("Success", "Failed"):
                return found
        return pytest.fail(f"the command did not end: {found}")


@pytest.fixture(scope="session")
def stack(local_account):
    return Stack(local_account)


@pytest.fixture
def instance(stack, wait_until):
    """The id of a running instance. Whichever runs after the test is terminated."""
    stack.desire(1)
    (launched,) = stack.expect(LAUNCHED)
    wait_until(stack.managed)
    yield launched["detail"]["EC2InstanceId"]
    stack.desire(0)
    (terminating,) = stack.expect(TERMINATING)
    stack.complete(terminating)
    stack.expect(TERMINATED)


def test_an_instance_executes_its_user_data_with_its_role(stack, instance, wait_until):
    wait_until((stack.backup / "done").exists)
    assert (stack.backup / "copy" / "file").read_text() == "content"
    log = stack.account.instance_log(instance).read_text()
    assert "touch: cannot touch '/mnt/source/written': Read-only file system" in log
    assert "not authorized to perform: s3:ListBucket" in log
    uploaded = stack.account.client("s3").get_object(
        Bucket=stack.outputs["Bucket"], Key="environment"
    )["Body"]
    names = {line.partition(b"=")[0] for line in uploaded.read().splitlines()}
    assert b"AWS_ENDPOINT_URL" in names
    assert not names & {b"AWS_ACCESS_KEY_ID", b"AWS_DEFAULT_REGION", b"HOME"}


def test_an_instance_outlives_its_user_data(stack, instance, wait_until):
    wait_until((stack.backup / "done").exists)
    time.sleep(1)
    assert stack.states() == ["InService"]


def test_an_instance_sees_no_other_files_and_changes_only_its_own(stack, instance):
    script = f"""
        ls -d {stack.account.home} /root/.ssh
        touch /usr/own && echo /usr is writable
        cat /etc/shadow
        touch /etc/own /opt/own /var/own && echo the rest is writable
    """
    found = stack.run(instance, script)
    assert found["StandardOutputContent"] == "the rest is writable\n"
    assert not Path("/etc/own").exists()


@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("fs-00000000:/", 1, 'Failed to resolve "fs-00000000.efs'),
        ("{fs}:/missing", 32, "reason given by server: No such file or directory"),
        ("{fs}:/", 0, ""),
    ],
)
def test_mounting(stack, instance, what, status, said):
    command = f"mount -t efs -o tls,iam {what.format(fs=stack.outputs['FileSystem'])} /media"
    found = stack.run(instance, "mkdir /media", command)
    assert found["ResponseCode"] == status
    assert said in found["StandardErrorContent"]


def test_its_metadata_needs_a_token(stack, instance):
    script = """
        url=$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest
        curl -s -o /dev/null -w '%{http_code}\\n' $url/meta-data/instance-id
        token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $url/api/token)
        for key in instance-id instance-type placement/region placement/availability-zone; do
          curl -s -H "X-aws-ec2-metadata-token: $token" $url/meta-data/$key; echo
        done
        curl -s -H "X-aws-ec2-metadata-token: $token" $url/dynamic/instance-identity/document
    """
    lines = stack.run(instance, script)["StandardOutputContent"].splitlines()
    assert lines[:5] == ["401", instance, "c6i.large", "us-east-1", "us-east-1a"]
    assert json.loads(lines[5])["accountId"] == "111122223333"


def test_the_lifecycle_hook_holds_back_a_termination(stack, wait_until):
    stack.desire(1)
    stack.expect(LAUNCHED)
    wait_until(stack.managed)
    instance_id = stack.members()[0]["InstanceId"]
    stack.desire(0)
    (terminating,) = stack.expect(TERMINATING)
    assert terminating["detail"]["EC2InstanceId"] == instance_id
    assert terminating["detail"]["LifecycleHookName"] == stack.outputs["Hook"]
    time.sleep(1)
    assert stack.states() == ["Terminating:Wait"]
    assert stack.run(instance_id, "echo still here")["StandardOutputContent"] == "still here\n"
    stack.complete(terminating)
    (terminated,) = stack.expect(TERMINATED)
    assert terminated["detail"]["EC2InstanceId"] == instance_id
    assert stack.members() == []
    with pytest.raises(ClientError, match="InvalidInstanceId"):
        stack.run(instance_id, "true")
    with pytest.raises(ClientError, match="No active Lifecycle Action found"):
        stack.complete(terminating)


@pytest.mark.parametrize("how", ["it dies", "it is terminated"])
def test_an_instance_that_ends_is_replaced(stack, instance, how):
    """Auto Scaling learns of it afterwards, and asks the hook all the same."""
    if how == "it dies":
        stack.run(instance, "kill -9 -1")
    else:
        stack.account.client("ec2").terminate_instances(InstanceIds=[instance])
    terminating, launched = stack.expect(TERMINATING, LAUNCHED)
    assert terminating["detail"]["EC2InstanceId"] == instance
    assert launched["detail"]["EC2InstanceId"] != instance
    stack.complete(terminating)
    stack.expect(TERMINATED)
    assert stack.states() == ["InService"]


@pytest.mark.parametrize(
    ("capacity", "said"), [(2, "above max value 1"), (-1, "below min value 0")]
)
def test_a_capacity_beyond_the_bounds_is_refused(stack, capacity, said):
    with pytest.raises(ClientError, match=f"ValidationError.*{said}"):
        stack.desire(capacity)


def test_the_output_of_a_command_goes_to_the_bucket(stack, instance):
    found = stack.run(
        instance,
        "echo one; echo two >&2",
        "exit 3",
        OutputS3BucketName=stack.outputs["Bucket"],
        OutputS3KeyPrefix="ssm-logs",
    )
    assert (found["Status"], found["ResponseCode"]) == ("Failed", 3)
    folder = f"ssm-logs/{found['CommandId']}/{instance}/awsrunShellScript/0.awsrunShellScript"
    s3 = stack.account.client("s3")
    for stream, content in (("stdout", b"one\n"), ("stderr", b"two\n")):
        place = {"Bucket": stack.outputs["Bucket"], "Key": f"{folder}/{stream}"}
        s3.get_waiter("object_exists").wait(**place, WaiterConfig={"Delay": 1, "MaxAttempts": 300})
        assert s3.get_object(**place)["Body"].read() == content


@pytest.fixture
def deny(stack):
    """deny(action): takes a right from the role of the instances, for one test."""
    found = stack.account.client("cloudformation").describe_stack_resource(
        StackName="small", LogicalResourceId="Role"
    )
    policy = {
        "RoleName": found["StackResourceDetail"]["PhysicalResourceId"], "PolicyName": "deny",
    }  # fmt: skip
    iam = stack.account.client("iam")

    def deny(action):
        statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))

    yield deny
    iam.delete_role_policy(**policy)


@pytest.mark.parametrize(
    "right", ["s3:PutObjectAcl", "s3:GetEncryptionConfiguration", "s3:PutObject"]
)
def test_output_is_not_kept_where_a_right_for_it_is_missing(
    stack, instance, deny, wait_until, right
):
    """The agent uploads with an access control list, and the command does not know."""
    deny(right)
    journal = stack.account.home / emulator.AUTHORIZATIONS
    seen = len(journal.read_text().splitlines()) if journal.exists() else 0
    place = {"OutputS3BucketName": stack.outputs["Bucket"], "OutputS3KeyPrefix": "ssm-logs"}
    found = stack.run(instance, "echo one", **place)
    assert found["Status"] == "Success"

    def denied():
        new = map(json.loads, journal.read_text().splitlines()[seen:])
        return [entry["action"] for entry in new if not entry["allowed"]]

    assert right in wait_until(denied)
    kept = stack.account.client("s3").list_objects_v2(
        Bucket=stack.outputs["Bucket"], Prefix=f"ssm-logs/{found['CommandId']}/"
    )
    assert kept["KeyCount"] == 0


def test_a_policy_by_what_efs_does_not_enforce_lets_nobody_mount(stack, instance):
    efs, file_system = stack.account.client("efs"), stack.outputs["FileSystem"]
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "elasticfilesystem:Client*",
        "Condition": {"StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    efs.put_file_system_policy(FileSystemId=file_system, Policy=json.dumps(policy))
    try:
        found = stack.run(
            instance, "mkdir /media", f"mount -t efs -o tls,iam {file_system}:/ /media"
        )
    finally:
        efs.delete_file_system_policy(FileSystemId=file_system)
    assert found["ResponseCode"] == 32
    assert "aws:PrincipalArn, which EFS does not enforce" in found["StandardErrorContent"]


def test_a_schedule_rule_fires_once_when_it_is_told_to(stack, wait_until):
    stack.account.fire(stack.outputs["Schedule"])
    assert wait_until(stack.receive) == [{"fired": True}]
    time.sleep(2)
    assert stack.receive() == []


def test_the_ingress_rule_is_in_the_security_group(stack):
    group_id = stack.outputs["SecurityGroup"]
    (group,) = stack.account.client("ec2").describe_security_groups(GroupIds=[group_id])[
        "SecurityGroups"
    ]
    (rule,) = group["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 2049, 2049)
    assert rule["UserIdGroupPairs"][0]["GroupId"] == group_id
