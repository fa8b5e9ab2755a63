"""Instances that help a run: that they do, and that none is left, whatever happens."""

import shutil

import pytest

from local import deployment
from local.deployment import Restoration
from local.tree import read_tree
from tests.local.inside.faults import COPY, Backups
from tests.local.inside.window import reach_stop_time

DIRECTORIES, FILES = 6, 250
LISTS = "/opt/efs-backup/ec2/lib/engine/copying/lists.py"
# Many lists of few files, and as slow as file systems that are far away, most of all for the run's
# own instance: what is waited for is not this machine's processors.
SLOW = {
    "python3": {"*engine.backup*": f"sed -i 's/^FILES_PER_JOB = .*/FILES_PER_JOB = 25/' {LISTS}"},
    "rsync": {COPY: "if [[ -e /var/log/efs-worker ]]; then sleep 2; else sleep 6; fi"},
}
# A machine is worth its start at once, and what is lost is noticed soon.
SOON = {
    "WORKERS_WORTH": "1",
    "LEASE_SECONDS": "6",
    "IDLE_SECONDS": "5",
    "SPOT_SECONDS": "0.5",
    "DRAIN_SECONDS": "60",
}


@pytest.fixture(scope="session")
def helped(local_account, release_url):
    """Runs of a stack with two workers."""
    network = deployment.create_network(local_account)
    source_id = deployment.create_file_system(local_account, network)
    stack = deployment.Deployment.create(
        local_account,
        network,
        source_id,
        release_url,
        Retain="1000",
        Workers="2",
        HoldOnChangePercent="0",
    )
    return Backups(stack, deployment.Inbox.subscribe(stack))


@pytest.fixture(autouse=True)
def much_to_copy(helped):
    helped.break_instances(SLOW, **SOON)
    for old in helped.stack.source.glob("[0-9]*.*"):
        shutil.rmtree(old)
    for number in range(DIRECTORIES):
        directory = helped.stack.source / f"{helped.runs}.{number}"
        directory.mkdir()
        for name in range(FILES):
            (directory / f"{name}").write_text(f"content of {name}")
    yield
    assert_nothing_is_left(helped)


def assert_nothing_is_left(helped):
    group = helped.stack.group("WorkerGroup")
    assert (group["DesiredCapacity"], group["Instances"]) == (0, [])
    sqs = helped.account.client("sqs")
    told = sqs.get_queue_attributes(
        QueueUrl=helped.stack.resources["DeadLetters"], AttributeNames=["All"]
    )["Attributes"]
    assert told["ApproximateNumberOfMessages"] == "0"


def at_work(helped):
    """The workers, once both copy."""
    workers = helped.stack.workers()
    begun = list(helped.stack.snapshots.glob(".daily.work.*/*.[0-9]"))
    return workers if len(workers) == 2 and len(begun) >= 2 else []


def is_exact(helped, outcome):
    assert outcome.record["BackupStatus"] == "Success", outcome.record
    assert helped.snapshots()[0] == read_tree(helped.stack.source)


def test_two_workers_help(helped, wait_until):
    outcome = helped.run(lambda run: wait_until(lambda: at_work(helped)))
    is_exact(helped, outcome)
    assert len(outcome.instances) == 3


def test_a_worker_that_is_killed_loses_nothing(helped, wait_until):
    def kill(run):
        first, _ = wait_until(lambda: at_work(helped))
        helped.account.client("ec2").terminate_instances(InstanceIds=[first])

    is_exact(helped, helped.run(kill))


def test_the_runs_instance_is_killed_while_workers_copy(helped, wait_until):
    def kill(run):
        wait_until(lambda: at_work(helped))
        instance = helped.stack.wait_for_instance()
        helped.account.client("ec2").terminate_instances(InstanceIds=[instance])

    is_exact(helped, helped.run(kill))


def test_the_window_ends_while_workers_copy(helped, wait_until):
    def end(run):
        wait_until(lambda: at_work(helped))
        reach_stop_time(helped.stack, run)

    outcome = helped.run(end)
    assert outcome.record["BackupStatus"] == "Incomplete"
    assert outcome.new == 0


def test_a_spot_instance_is_taken_away(helped, wait_until):
    def take(run):
        first, _ = wait_until(lambda: at_work(helped))
        helped.account.take_away(first)
        wait_until(lambda: first not in helped.stack.workers())

    is_exact(helped, helped.run(take))


def test_two_workers_help_a_restore(helped, release_url, wait_until):
    """Of everything. One of them is killed."""
    stack = helped.stack
    helped.mend()
    helped.run()
    for lost in stack.source.glob("[0-9]*.*"):
        shutil.rmtree(lost)
    of_restore = SLOW["python3"]["*engine.backup*"]
    helped.break_instances({**SLOW, "python3": {"*engine.restore*": of_restore}}, **SOON)
    restoration = Restoration.create(stack, "helped-restore", release_url, Workers="2")

    def at_work():
        workers = restoration.group("WorkerGroup")["Instances"]
        begun = [*stack.source.glob(".efs-restore-*.undo/*/*.[0-9]")]
        return workers if len(workers) == 2 and len(begun) >= 2 else []

    first, _ = wait_until(at_work)
    helped.account.client("ec2").terminate_instances(InstanceIds=[first["InstanceId"]])
    message = restoration.wait()
    assert message["Status"] == "Success", message
    assert message["NumberOfWorkers"]
    for number in range(DIRECTORIES):
        name = f"{helped.runs - 1}.{number}"
        assert read_tree(stack.source / name) == read_tree(stack.snapshots / "daily.0" / name)
    workers = restoration.group("WorkerGroup")
    assert (workers["DesiredCapacity"], workers["Instances"]) == (0, [])


def test_workers_that_come_without_a_run_leave(helped, wait_until):
    """Somebody has set the capacity by hand."""
    helped.account.client("autoscaling").set_desired_capacity(
        AutoScalingGroupName=helped.stack.resources["WorkerGroup"], DesiredCapacity=2
    )
    wait_until(lambda: len(helped.stack.workers()) == 2)
    wait_until(lambda: not helped.stack.workers())
