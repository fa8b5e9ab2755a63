"""An instance that dies in the middle of a run: the group replaces it, and the run goes on."""

import pytest

from tests.local.inside.faults import COPY

WHEN_IT_SCANS = "until [[ -d /mnt/backup/efs-backup/.daily.stage ]]; do sleep 0.01; done &&"
# By the moment of the death: the commands that meet it, and how many snapshots the run has made.
DEATHS = {
    "in boot": ({"aws": {"*Item.Run.S*": "! once || die"}}, 1),
    "in the scan": (
        {
            "python3": {
                "*engine.backup*": f"! once || {{ touch /run/scanning; {WHEN_IT_SCANS} die & }}"
            },
            "rsync": {COPY: "[[ ! -e /run/scanning ]] || sleep infinity"},
        },
        1,
    ),
    "in the copy": ({"rsync": {COPY: '! once || { real "$@"; die; }'}}, 1),
    "before publishing": ({"sync": {"*": "! once || die"}}, 1),
    "between publishing and reporting": ({"aws": {"*efs-backup-log*": "! once || die"}}, 2),
    "in the upload of the logs": (
        {"aws": {"*'s3 cp '*ec2-logs*": '! once || { real "$@"; die; }'}},
        2,
    ),
    "after reporting": ({"aws": {"*/update.json*": '! once || { real "$@"; die; }'}}, 1),
}


@pytest.mark.parametrize("moment", DEATHS)
def test_an_instance_that_dies_is_replaced_and_the_run_goes_on(backups, moment):
    faults, snapshots = DEATHS[moment]
    backups.break_instances(faults)
    outcome = backups.run()
    assert backups.mark(".once").exists(), "it did not die"
    assert outcome.record["BackupStatus"] == "Success"
    assert outcome.new == snapshots
    assert backups.published_is_the_source()
    reported = 0 if moment == "after reporting" else 1
    assert outcome.record["InstanceId"] == outcome.instances[reported]


def test_the_group_ends_an_instance_that_lives_and_the_run_goes_on(backups, wait_until):
    """As it does when the host of an instance fails, or to balance Availability Zones."""
    # Nobody may wait for it to stop: it has the lock of the snapshots until it is gone.
    backups.break_instances({"rsync": {COPY: "! once || hold"}}, DRAIN_SECONDS="60")

    def end_it(run):
        wait_until(backups.mark(".holding").exists)
        (instance,) = backups.stack.group()["Instances"]
        backups.account.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance["InstanceId"], ShouldDecrementDesiredCapacity=False
        )

    outcome = backups.run(end_it)
    assert outcome.record["BackupStatus"] == "Success"
    assert outcome.record["InstanceId"] == outcome.instances[1]
    assert outcome.new == 1


def test_the_next_run_works(backups):
    backups.expect_the_next_run_to_work()
