"""Runs without an instance, ends that nobody hears of, and a stack that changes during a run."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from local import deployment
from tests.local.inside.faults import COPY
from tests.local.inside.window import reach_stop_time

HOLD = {"rsync": {COPY: "hold"}}


@pytest.fixture
def stop(backups, wait_until):
    """stop(run): its stop time, as soon as the stop is scheduled."""

    def stop(run):
        wait_until(lambda: run in [entry["Name"] for entry in backups.stack.schedules()])
        reach_stop_time(backups.stack, run)

    return stop


@pytest.fixture
def stop_in_the_copy(backups, wait_until, stop):
    def stop_it(run):
        wait_until(backups.mark(".holding").exists)
        stop(run)

    return stop_it


def log_says(backups, words):
    return words in (backups.account.home / "emulator.log").read_text()


def expect_no_instance(backups, outcome):
    assert outcome.record["BackupStatus"] == "Unsuccessful"
    assert "No EC2 instance ran" in outcome.record["Message"]
    assert "view=activity" in outcome.notification.message["Logs"]
    assert (outcome.instances, outcome.new) == ([], 0)
    backups.expect_the_next_run_to_work()


def test_no_capacity(backups, stop, wait_until):
    backups.account.no_capacity.touch()

    def until_the_stop(run):
        wait_until(lambda: log_says(backups, "do not have sufficient c5.xlarge capacity"))
        stop(run)

    outcome = backups.run(until_the_stop)
    backups.account.no_capacity.unlink()
    expect_no_instance(backups, outcome)


def test_a_subnet_that_is_gone(backups, stop, wait_until):
    subnet = "subnet-0dead000000000000"
    group = {"AutoScalingGroupName": backups.stack.resources["EFSAutoScalingGroup"]}
    autoscaling = backups.account.client("autoscaling")

    def until_the_stop(run):
        wait_until(lambda: log_says(backups, f"{subnet}' does not exist"))
        stop(run)

    subnets = backups.stack.group()["VPCZoneIdentifier"]
    autoscaling.update_auto_scaling_group(**group, VPCZoneIdentifier=subnet)
    outcome = backups.run(until_the_stop)
    autoscaling.update_auto_scaling_group(**group, VPCZoneIdentifier=subnets)
    expect_no_instance(backups, outcome)


def expect_unknown(backups, outcome):
    """The instance is gone without a report, and the next run goes on from what it copied."""
    assert outcome.record["BackupStatus"] == "Unknown"
    assert "check the logs" in outcome.record["Message"]
    assert outcome.record["EC2Logs"].startswith("s3://")
    assert outcome.new == 0
    backups.expect_the_next_run_to_work()


def test_an_ssm_agent_that_does_not_answer(backups, stop_in_the_copy):
    backups.break_instances(HOLD)
    unit = backups.account.image / "etc/systemd/system/amazon-ssm-agent.service"
    unit.parent.mkdir(parents=True)
    unit.symlink_to("/dev/null")
    expect_unknown(backups, backups.run(stop_in_the_copy))


def test_an_ssm_command_that_fails_and_a_hook_that_times_out(backups, stop_in_the_copy):
    """Nobody completes the hook: without its script, the command cannot."""
    group = backups.stack.resources["EFSAutoScalingGroup"]
    autoscaling = backups.account.client("autoscaling")
    (hook,) = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=group)["LifecycleHooks"]
    names = ("LifecycleHookName", "LifecycleTransition", "DefaultResult")
    kept = {"AutoScalingGroupName": group, **{name: hook[name] for name in names}}
    autoscaling.put_lifecycle_hook(**kept, HeartbeatTimeout=3)
    backups.break_instances({"rsync": {COPY: "rm /opt/efs-backup/ec2/ssm.sh; hold"}})
    outcome = backups.run(stop_in_the_copy)
    autoscaling.put_lifecycle_hook(**kept, HeartbeatTimeout=hook["HeartbeatTimeout"])
    expect_unknown(backups, outcome)


def start(backups):
    """What the orchestrator answers to a start, as make backup-now asks it."""
    answer = backups.account.client("lambda").invoke(
        FunctionName=backups.stack.resources["Orchestrator"],
        Payload=json.dumps({"mode": "backup", "action": "start"}),
    )
    return json.load(answer["Payload"])


def test_a_start_while_the_last_instance_ends_itself(backups, wait_until):
    """It has reported, and the capacity that it sets to 0 would soon be that of the next run."""
    backups.break_instances({"aws": {'"autoscaling set-desired-capacity"*': "hold"}})
    first = backups.stack.start()
    wait_until(backups.mark(".holding").exists)
    assert backups.stack.item(first)["BackupStatus"] == "Success"
    backups.account.image.rename(backups.account.image.with_name("mended"))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(start, backups)
        time.sleep(2)
        assert not answer.done(), answer.result()
        backups.mark(".go").touch()
        assert "BeginRun" in answer.result()["actions"]
    second = backups.stack.item("lock")["Run"]
    backups.stack.wait_until_idle()
    record = backups.stack.item(second)
    assert (record["BackupStatus"], record["InstanceId"]) == ("Success", backups.instances()[-1])
    assert record["InstanceId"] != backups.stack.item(first)["InstanceId"]
    wait_until(lambda: len(backups.inbox.messages()))
    backups.expect_the_next_run_to_work()


def test_a_file_system_that_is_gone_for_good(backups, stop_in_the_copy):
    """Whoever waits for it hears no signal: what SIGSTOP does, too."""
    backups.break_instances(
        {"rsync": {COPY: 'kill -STOP "$(cat /run/efs-backup/engine.pid)"; hold'}}
    )
    outcome = backups.run(stop_in_the_copy)
    expect_unknown(backups, outcome)
    bucket = backups.stack.resources["EFSLogBucket"]
    (key,) = (
        log["Key"] for log in backups.stack.logs("ssm-logs/") if outcome.instances[0] in log["Key"]
    )
    said = backups.account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    assert "the backup has not reported; its record is left to the orchestrator" in said


def test_the_stack_is_updated_during_a_run(backups, wait_until):
    cloudformation = backups.account.client("cloudformation")

    def update(run):
        wait_until(backups.mark(".holding").exists)
        given = ("SrcEFS", "VpcId", "Subnets", "Email")
        cloudformation.update_stack(
            StackName=deployment.STACK,
            UsePreviousTemplate=True,
            Parameters=[
                *({"ParameterKey": name, "UsePreviousValue": True} for name in given),
                {"ParameterKey": "Retain", "ParameterValue": "999"},
                {"ParameterKey": "BackupWindow", "ParameterValue": "60"},
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
        cloudformation.get_waiter("stack_update_complete").wait(
            StackName=deployment.STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
        )
        time.sleep(1)  # the group would have ended or replaced the instance by now
        backups.mark(".go").touch()

    backups.break_instances(HOLD)
    outcome = backups.run(update)
    assert outcome.record["BackupStatus"] == "Success"
    assert outcome.record["RetainPeriod"] == 1000
    assert outcome.new == 1
    assert len(outcome.instances) == 1
    backups.mend()
    following = backups.run()
    assert following.record["BackupStatus"] == "Success"
    assert following.record["RetainPeriod"] == 999


def test_the_stack_is_deleted_during_a_run(backups, wait_until):
    """The last test: what is left is what was published, and a record that says how far it came."""
    before = backups.snapshots()
    backups.break_instances(HOLD)
    (backups.stack.source / "new at the end").write_text("content")
    run = backups.stack.start()
    wait_until(backups.mark(".holding").exists)
    cloudformation = backups.account.client("cloudformation")
    cloudformation.delete_stack(StackName=deployment.STACK)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=deployment.STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )
    ec2 = backups.account.client("ec2")
    (instance,) = backups.instances()[-1:]

    def ended():
        found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return found["State"]["Name"] == "terminated"

    wait_until(ended)
    assert backups.snapshots() == before
    record = backups.stack.item(run)
    assert record["InstanceId"] == instance
    assert backups.stack.logs("ec2-logs/")
