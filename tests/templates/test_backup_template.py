"""The backup template keeps v1.5's interface, refuses bad input, and is safe to deploy."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from common.window import STOP_BEFORE_END

from orchestrator.bus import SOURCE
from tests.templates.reading import BACKUP, ROOT, actions, load, statements, wrongly_judged

EVENTS = ROOT / "tests" / "events"
FROM_SERVICES = ("instance-terminating", "instance-terminated", "alarm")
STATEFUL = {"DstEFS", "EFSLogBucket", "EFSDynamoDB"}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return load(BACKUP)


@pytest.mark.parametrize(
    ("name", "tags"), [("Weekly", ["daily"]), ("Monthly", ["daily", "weekly"])]
)
def test_only_longer_intervals_than_the_backups_can_be_kept(
    template: dict[str, Any], name: str, tags: list[str]
) -> None:
    rule = template["Rules"][f"Retain{name}"]
    keeps_any = {"Fn::Not": [{"Fn::Equals": [{"Ref": f"Retain{name}"}, "0"]}]}
    assert rule["RuleCondition"] == keeps_any
    (assertion,) = rule["Assertions"]
    for tag in ("daily", "weekly", "monthly"):
        assert holds(assertion["Assert"], {"IntervalTag": tag}) == (tag in tags)
    assert "choose 0" in assertion["AssertDescription"]


def holds(condition: dict[str, Any], parameters: dict[str, str]) -> bool:
    ((name, inner),) = condition.items()
    if name == "Fn::Not":
        return not holds(inner[0], parameters)
    assert name == "Fn::Equals"
    return len({parameters[v["Ref"]] if isinstance(v, dict) else v for v in inner}) == 1


def test_every_stateful_resource_is_retained(resources: dict[str, Any]) -> None:
    for name in STATEFUL:
        assert resources[name]["DeletionPolicy"] == "RetainExceptOnCreate", name


def test_a_schedule_is_an_expression_of_eventbridge(template: dict[str, Any]) -> None:
    good = ["cron(0 2 * * ? *)", "rate(1 day)", "cron(0/30 8-18 ? * MON-FRI *)"]
    bad = ["", "0 2 * * *", "cron()", "rate(1 day); x", "at(2026-01-01T00:00:00)"]
    parameter = template["Parameters"]["BackupSchedule"]
    assert wrongly_judged(parameter, good, bad) == []
    assert parameter["ConstraintDescription"].startswith("must be")


def test_a_key_is_named_by_its_arn(template: dict[str, Any]) -> None:
    """EFS tells the ARN of a key, and by that a later update is judged."""
    key = "arn:aws:kms:eu-west-1:123456789012:key"
    good = ["", f"{key}/1234abcd-12ab-34cd-56ef-1234567890ab", f"{key}/mrk-1234abcd12ab34cd"]
    good.append(
        "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-12345678"
    )
    bad = ["alias/backup", "1234abcd-12ab-34cd-56ef-1234567890ab", f"{key}/"]
    bad.append("arn:aws:kms:eu-west-1:123456789012:alias/backup")
    assert wrongly_judged(template["Parameters"]["KmsKeyId"], good, bad) == []


def test_an_instance_type_looks_like_one(template: dict[str, Any]) -> None:
    good = ["", "c5.xlarge", "c7gn.16xlarge", "u-6tb1.112xlarge", "mac2-m2.metal"]
    bad = ["c5", ".xlarge", "c5.", "C5.xlarge", "c5.xlarge ", "$(id).x"]
    assert wrongly_judged(template["Parameters"]["InstanceType"], good, bad) == []


def test_what_makes_the_file_system_is_looked_at_before_it_is_touched(
    template: dict[str, Any], resources: dict[str, Any]
) -> None:
    assert resources["DstEFS"]["DependsOn"] == "FileSystemCheck"
    check = resources["FileSystemCheck"]["Properties"]
    for name in ("EFSMode", "EFSEncryption", "KmsKeyId"):
        assert check[name] == {"Ref": name}
        assert "cannot be changed later" in template["Parameters"][name]["Description"].lower()


def test_retain_is_at_least_one(template: dict[str, Any]) -> None:
    assert template["Parameters"]["Retain"]["MinValue"] == 1


def test_no_instance_runs_until_a_backup_starts(resources: dict[str, Any]) -> None:
    group = resources["EFSAutoScalingGroup"]["Properties"]
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 0, 1)


def test_the_hook_holds_the_instance_until_the_window_ends(resources: dict[str, Any]) -> None:
    hook = resources["LifecycleHook"]["Properties"]
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert hook["HeartbeatTimeout"] == STOP_BEFORE_END.total_seconds()
    assert hook["DefaultResult"] == "CONTINUE"


def test_the_scripts_know_how_long_that_is() -> None:
    minutes = STOP_BEFORE_END // timedelta(minutes=1)
    restore = (ROOT / "ec2/efs-ec2-restore.sh").read_text()
    assert re.findall(r"MINUTES_TO_STOP=(\d+)", restore) == [str(minutes)]
    waits = re.findall(r"_SECONDS=\$\{\w+_SECONDS:-(\d+)\}", (ROOT / "ec2/ssm.sh").read_text())
    assert len(waits) == 2
    assert sum(map(int, waits)) < minutes * 60


def test_records_expire(resources: dict[str, Any]) -> None:
    table = resources["EFSDynamoDB"]["Properties"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ExpireItem", "Enabled": True}


def test_the_source_can_never_be_written(template: dict[str, Any]) -> None:
    for _, statement in statements(template):
        if "elasticfilesystem:ClientWrite" in actions(statement):
            assert statement["Resource"] == {"Fn::GetAtt": ["DstEFS", "Arn"]}


def test_the_alarm_tells_after_two_intervals_of_the_schedule(template: dict[str, Any]) -> None:
    """How long they are is tested in tests/solution_helper/test_schedule.py."""
    resources = template["Resources"]
    alarm = resources["SnapshotAgeAlarm"]["Properties"]
    assert alarm["Threshold"] == {"Fn::GetAtt": ["AlarmThreshold", "TooOld"]}
    told = resources["AlarmThreshold"]["Properties"]
    for name in ("BackupSchedule", "BackupWindow", "IntervalTag"):
        assert told[name] == {"Ref": name}
    assert (alarm["ComparisonOperator"], alarm["Statistic"]) == ("GreaterThanThreshold", "Maximum")
    assert alarm["Dimensions"] == [{"Name": "StackName", "Value": {"Ref": "AWS::StackName"}}]


def test_the_alarm_tells_when_nobody_knows(template: dict[str, Any]) -> None:
    alarm = template["Resources"]["SnapshotAgeAlarm"]["Properties"]
    assert alarm["TreatMissingData"] == "missing"
    for actions_on in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        assert alarm[actions_on] == [{"Ref": "SNSTopic"}]


def test_the_alarm_hears_from_the_orchestrator_every_hour(resources: dict[str, Any]) -> None:
    check = resources["CheckEvent"]["Properties"]
    assert check["ScheduleExpression"] == "rate(1 hour)"
    (target,) = check["Targets"]
    assert json.loads(target["Input"]) == {"mode": "backup", "action": "check"}
    assert resources["SnapshotAgeAlarm"]["Properties"]["Period"] == 3600


def granted(document: dict[str, Any]) -> dict[str, tuple[set[str], Any]]:
    """Principal -> what a resource policy lets it do, and on which condition."""
    return {
        str(next(iter(statement["Principal"].values()))): (
            set(actions(statement)),
            statement.get("Condition"),
        )
        for statement in document["Statement"]
    }


def test_the_alarm_can_publish(resources: dict[str, Any]) -> None:
    topic = resources["SNSTopic"]["Properties"]
    assert topic["KmsMasterKeyId"] == {"Ref": "TopicKey"}
    ours = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    use = {"kms:Decrypt", "kms:GenerateDataKey*"}
    key = granted(resources["TopicKey"]["Properties"]["KeyPolicy"])
    assert key["cloudwatch.amazonaws.com"] == (use, ours)
    assert key["events.amazonaws.com"] == (use, None), "EventBridge's requests have no such context"
    policy = resources["TopicPolicy"]["Properties"]
    assert policy["Topics"] == [{"Ref": "SNSTopic"}]
    assert granted(policy["PolicyDocument"]) == {
        "cloudwatch.amazonaws.com": ({"sns:Publish"}, ours)
    }


def test_whoever_publishes_may_use_the_key(template: dict[str, Any]) -> None:
    key = {"Fn::GetAtt": ["TopicKey", "Arn"]}
    may: dict[str, set[str]] = {action: set() for action in ("sns:Publish", "kms:Decrypt")}
    for name, statement in statements(template):
        for action in set(may) & set(actions(statement)):
            may[action].add(name)
            if action == "kms:Decrypt":
                assert statement["Resource"] == key
    assert may["sns:Publish"] == may["kms:Decrypt"] == {"OrchestratorRole", "EC2RolePolicies"}


def test_the_orchestrator_is_told_of_its_instances_and_of_the_alarm(
    resources: dict[str, Any],
) -> None:
    """By two patterns of one rule, which has one right to call it."""
    ends, alarm = resources["ASGEvent"]["Properties"]["EventPattern"]["$or"]
    assert ends["detail"] == {"AutoScalingGroupName": [{"Ref": "EFSAutoScalingGroup"}]}
    assert alarm["resources"] == [{"Fn::GetAtt": ["SnapshotAgeAlarm", "Arn"]}]
    fixtures = {name: json.loads((EVENTS / f"{name}.json").read_text()) for name in FROM_SERVICES}
    for name, event in fixtures.items():
        pattern = alarm if name == "alarm" else ends
        assert event["source"] in pattern["source"]
        assert event["detail-type"] in pattern["detail-type"]


def test_events_are_put_as_the_source_that_is_ours_and_nothing_else(
    template: dict[str, Any],
) -> None:
    (put,) = (s for name, s in statements(template) if "events:PutEvents" in actions(s))
    assert put["Condition"] == {"ForAllValues:StringEquals": {"events:source": SOURCE}}
    assert put["Resource"]["Fn::Sub"].endswith(":event-bus/default")


def test_the_functions_of_the_users_are_called_and_no_others(template: dict[str, Any]) -> None:
    called = [
        s["Resource"]
        for name, s in statements(template)
        if name == "OrchestratorRole" and "lambda:InvokeFunction" in actions(s)
    ]
    assert called == [{"Ref": "BeforeBackupFunction"}, {"Ref": "AfterBackupFunction"}]
    for name in ("Before", "After"):
        parameter = {"Ref": f"{name}BackupFunction"}
        assert template["Conditions"][name] == {"Fn::Not": [{"Fn::Equals": [parameter, ""]}]}


@pytest.mark.parametrize("name", ["BeforeBackupFunction", "AfterBackupFunction"])
def test_patterns_of_functions(template: dict[str, Any], name: str) -> None:
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:freeze"
    good = ["", arn, f"{arn}:live", f"{arn}:7",
            arn.replace("aws", "aws-us-gov", 1)]  # fmt: skip
    bad = [
        "freeze",
        arn[:-6],
        f"{arn},{arn}",
        f"{arn} ",
        arn.replace("lambda", "sns"),
        "*",
    ]
    assert wrongly_judged(template["Parameters"][name], good, bad) == []


def test_the_orchestrator_knows_every_setting(resources: dict[str, Any]) -> None:
    given = set(resources["Orchestrator"]["Properties"]["Environment"]["Variables"])
    source = (ROOT / "src" / "orchestrator" / "settings.py").read_text()
    assert given == set(re.findall(r'env, "([a-z_0-9]+)"', source))


def test_logs_expire_and_catalogs_do_not() -> None:
    bucket = load(BACKUP)["Resources"]["EFSLogBucket"]["Properties"]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    expiring = tuple(rule.get("Prefix", "") for rule in rules if "ExpirationInDays" in rule)
    for prefix in ("ec2-logs/", "efs-backup-log/", "ssm-logs/", "efs-restore-logs/"):
        assert prefix.startswith(expiring), prefix
    assert not "catalog/".startswith(expiring)
