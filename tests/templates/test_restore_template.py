"""The restore template keeps v1.5's interface, refuses bad input, and can write nothing but what it
restores."""

import json
from typing import Any

import pytest

from tests.templates.reading import (
    RESTORE,
    actions,
    launch_data,
    load,
    of_type,
    statements,
    user_data,
    wrongly_judged,
)

FILE_SYSTEM = "arn:${AWS::Partition}:elasticfilesystem:${AWS::Region}:${AWS::AccountId}:file-system"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return load(RESTORE)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "RestoreSubDir",
            ["/", "/images/", "/images", "/a b/ünd/", "/a..b/", "/.hidden", "/.../", '/"$(id)/'],
            ["", "images/", "//", "/a//b/", "/a//", "/..", "/../", "/a/..", "/.", "/a\n/", "/a/\n"],
        ),
        (
            "BackupDate",
            ["", "2026-11-20", "2026-11-20T02:00", "2026-11-20T02:00:11Z", "weekly.2", "before-it"],
            [
                "2026-11",
                "2026-11-20T",
                "2026-11-20 02:00",
                "2026-11-20T02:00:11",
                "a/b",
                "-x",
                ".x",
            ],
        ),
        (
            "UndoId",
            ["", "20261123T025310Z-d567", "a" * 64],
            ["..", "-a", ".efs-restore-1", "a/b", "a b", "a" * 65, "$(id)"],
        ),
        (
            "RestoreLogBucket",
            ["logs", "my-stack-efslogbucket-1x2y3z", "a.b.c"],
            ["", "*", "logs/*", "Logs", "s3://logs", "arn:aws:s3:::logs", "lo gs", "-logs"],
        ),
        (
            "DstEFS",
            ["fs-01234567", "fs-0123456789abcdef0"],
            ["", "*", "fs-*", "fs-0123456", "fs-01234567:/", "fs-01234567; id"],
        ),
    ],
)
def test_patterns(template: dict[str, Any], name: str, good: list[str], bad: list[str]) -> None:
    parameter = template["Parameters"][name]
    assert wrongly_judged(parameter, good, bad) == []
    assert parameter["ConstraintDescription"].startswith("must be")


def test_a_backup_number_is_not_negative(template: dict[str, Any]) -> None:
    parameter = template["Parameters"]["BackupNum"]
    assert (parameter["MinValue"], parameter["MaxValue"]) == (0, 99999)


def test_a_restore_has_time_to_stop_and_ends_some_day(template: dict[str, Any]) -> None:
    parameter = template["Parameters"]["RestoreWindow"]
    assert parameter["MinValue"] > 15, "it is stopped that much earlier"
    assert parameter["MaxValue"] == 30 * 24 * 60


def test_a_file_system_is_not_restored_from_itself(template: dict[str, Any]) -> None:
    (assertion,) = template["Rules"]["TwoFileSystems"]["Assertions"]
    same = {"Fn::Equals": [{"Ref": "SrcEFS"}, {"Ref": "DstEFS"}]}
    assert assertion["Assert"] == {"Fn::Not": [same]}


def test_the_restore_starts_with_the_stack_and_never_with_an_update(
    resources: dict[str, Any],
) -> None:
    group = resources["RestoreAutoScalingGroup"]
    sizes = [group["Properties"][name] for name in ("MinSize", "DesiredCapacity", "MaxSize")]
    assert sizes == [0, 1, 1]
    scheduled = group["UpdatePolicy"]["AutoScalingScheduledAction"]
    assert scheduled["IgnoreUnmodifiedGroupSizeProperties"] is True
    assert list(group["UpdatePolicy"]) == ["AutoScalingScheduledAction"], "nothing replaces it"


def test_the_restore_starts_when_all_that_it_needs_is_there(resources: dict[str, Any]) -> None:
    needed = set(resources["RestoreAutoScalingGroup"]["DependsOn"])
    assert needed >= {"EC2RolePolicies", "EFSIngressRule"}
    policies = json.dumps(resources["EC2RolePolicies"]["Properties"])
    assert "${RestoreAutoScalingGroup}" not in policies, "the rights would come after the group"


def test_the_instance_reaches_both_file_systems(template: dict[str, Any]) -> None:
    groups = launch_data(template)["SecurityGroupIds"]
    assert groups == [{"Ref": "EFSSecurityGroup"}, {"Ref": "SecurityGroupId"}]


def test_every_parameter_of_a_restore_reaches_the_instance(template: dict[str, Any]) -> None:
    settings, _ = user_data(template)
    written = {line.partition("=")[2] for line in settings}
    around = {"VpcId", "Subnets", "SecurityGroupId", "InstanceType", "Workers", "WorkerSpot"}
    around |= {"Email", "Dashboard", "SendAnonymousData"}
    assert {f"${{{name}}}" for name in set(template["Parameters"]) - around} - written == set()


def test_only_the_target_can_be_written(template: dict[str, Any]) -> None:
    rights = {
        statement["Resource"]["Fn::Sub"].removeprefix(FILE_SYSTEM): set(actions(statement))
        for _, statement in statements(template)
        if actions(statement)[0].startswith("elasticfilesystem:")
    }
    mount, root = "elasticfilesystem:ClientMount", "elasticfilesystem:ClientRootAccess"
    assert rights == {
        "/${DstEFS}": {mount, root},
        "/${SrcEFS}": {mount, root, "elasticfilesystem:ClientWrite"},
    }


def are_its_groups(resources: list[Any]) -> None:
    """That of the restore, by the name that it will have, and that of its workers."""
    group, workers = resources
    place = ":autoScalingGroupName/"
    assert group["Fn::Sub"].endswith(f"{place}${{AWS::StackName}}-RestoreAutoScalingGroup-*")
    condition, named, otherwise = workers["Fn::If"]
    assert named["Fn::Sub"].endswith(f"{place}${{WorkerGroup}}")
    assert (condition, otherwise) == ("HasWorkers", {"Ref": "AWS::NoValue"})


def test_the_watch_may_do_nothing_but_its_work(template: dict[str, Any]) -> None:
    found = {
        action: statement["Resource"]
        for name, statement in statements(template)
        for action in actions(statement)
        if name == "RestoreWatchRole"
    }
    logs = {"Fn::GetAtt": ["RestoreWatchLogs", "Arn"]}
    assert found.pop("logs:CreateLogStream") == found.pop("logs:PutLogEvents") == logs
    for action in ("CreateSchedule", "GetSchedule", "DeleteSchedule"):
        assert found.pop(f"scheduler:{action}")["Fn::Sub"].endswith("/${ScheduleGroup}/restore")
    are_its_groups(found.pop("autoscaling:SetDesiredCapacity"))
    assert found.pop("events:PutEvents")["Fn::Sub"].endswith(":event-bus/default")
    assert found == {
        "iam:PassRole": {"Fn::GetAtt": ["SchedulerRole", "Arn"]},
        "autoscaling:DescribeAutoScalingGroups": "*",
        "sns:Publish": {"Ref": "SNSTopic"},
    }


def test_the_watch_looks_before_the_restore_begins(resources: dict[str, Any]) -> None:
    """An instance may be launched, and be gone again, before the stack is complete."""
    needed = set(resources["RestoreAutoScalingGroup"]["DependsOn"])
    assert needed >= {
        "GroupEventLambdaPermission",
        "TopicLambdaPermission",
        "TopicSubscription",
        "SchedulerRolePolicy",
    }


def test_the_instance_may_do_nothing_else(template: dict[str, Any]) -> None:
    found = [
        (action, statement["Resource"])
        for name, statement in statements(template)
        for action in actions(statement)
        if name == "EC2RolePolicies" and not action.startswith("elasticfilesystem:")
    ]
    bundle, note = (resource["Fn::Sub"] for action, resource in found if action == "s3:GetObject")
    assert bundle[0].endswith("-${AWS::Region}/${KeyPrefix}/ec2.tar.gz")
    notes = "/efs-restore-logs/snapshots/${AWS::StackName}-RestoreAutoScalingGroup-*"
    assert note.endswith("${RestoreLogBucket}" + notes)
    rest = {action: resource for action, resource in found if action != "s3:GetObject"}
    queue, group = rest["sqs:SendMessage"]
    assert queue == {"Fn::GetAtt": ["WorkerQueue", "Arn"]}
    assert group["Fn::Sub"].endswith(":autoScalingGroupName/${WorkerGroup}")
    of_workers = {action for action, resource in rest.items() if resource == [queue, group]}
    verbs = ("ChangeMessageVisibility", "DeleteMessage", "ReceiveMessage", "SendMessage")
    of_group = ("SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup")
    assert of_workers == {
        *(f"sqs:{verb}" for verb in verbs),
        *(f"autoscaling:{verb}" for verb in of_group),
    }
    rest = {action: resource for action, resource in rest.items() if action not in of_workers}
    own, _ = (r for action, r in found if action == "autoscaling:SetDesiredCapacity")
    assert own["Fn::Sub"].endswith("${AWS::StackName}-RestoreAutoScalingGroup-*")
    logs = "arn:${AWS::Partition}:s3:::${RestoreLogBucket}/efs-restore-logs/*"
    assert rest == {
        "s3:PutObject": {"Fn::Sub": logs},
        "sns:Publish": {"Ref": "SNSTopic"},
        "autoscaling:DescribeAutoScalingInstances": "*",
    }


def test_the_metric_tells_restores_from_backups(template: dict[str, Any]) -> None:
    assert of_type(template, "Custom::SendAnonymousMetrics")["EventType"] == "restore"
