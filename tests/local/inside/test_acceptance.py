"""make acceptance in the local account: what it can answer here, and that it leaves nothing."""

import json
import os
import subprocess

import pytest

from local import api, deployment


@pytest.fixture(scope="session")
def network(local_account):
    return deployment.create_network(local_account)


@pytest.fixture(scope="session")
def accept(project, local_account, network):
    def accept(**variables):
        given = {
            "REGION": "us-east-1",
            "VPC": network.vpc,
            "SUBNETS": ",".join(network.subnets),
            "EMAIL": deployment.EMAIL,
            **variables,
        }
        return subprocess.run(
            ["make", "acceptance", *(f"{k}={v}" for k, v in given.items() if v)],
            cwd=project,
            env={**os.environ, **local_account.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return accept


# What others of these tests do as well is not done once more: backups, restores, updates.
ROWS = "c,d,b,e,j,g,h,f"
REPLICA = "us-east-2"


def left(account):
    """All that a run makes, by kind."""
    elsewhere = api.client("efs", REPLICA, api.certificate(account.home))
    stacks = account.client("cloudformation").describe_stacks()["Stacks"]
    return {
        "stacks": [s["StackName"] for s in stacks if s["StackStatus"] != "DELETE_COMPLETE"],
        "efs": account.client("efs").describe_file_systems()["FileSystems"],
        "replicas": elsewhere.describe_file_systems()["FileSystems"],
        "buckets": [b["Name"] for b in account.client("s3").list_buckets()["Buckets"]],
        "tables": account.client("dynamodb").list_tables()["TableNames"],
    }


def test_nothing_begins_without_a_yes(accept, local_account):
    before = left(local_account)
    done = accept()
    assert done.returncode != 0
    assert "It takes about" in done.stdout
    assert "add YES=yes" in done.stderr
    assert left(local_account) == before


@pytest.fixture(scope="session")
def others(local_account, network):
    """What others have in the account."""
    deployment.create_file_system(local_account, network)
    local_account.client("s3").create_bucket(Bucket="efs-acceptance-01234567-us-east-1")
    return left(local_account)


def test_rows_are_found_as_they_are_expected_and_nothing_is_left(
    accept, project, local_account, others
):
    done = accept(YES="yes", ONLY=ROWS)
    assert "All that was made is removed." in done.stdout, done.stdout + done.stderr
    (report,) = project.glob("acceptance/*/report.md")
    lines = [line for line in report.read_text().splitlines() if line.startswith("| ")][2:]
    answers = {line.split(" | ")[0][2:]: line.split(" | ")[4] for line in lines}
    # Where commands take long, the run may be over before its instance can be killed.
    assert answers.pop("g") in ("as expected", "not answered"), report.read_text()
    good = dict.fromkeys("cdbef", "as expected")
    assert answers == {**good, "j": "not answered", "h": "not answered"}, report.read_text()
    assert "not answered here: nothing is metered" in report.read_text()
    assert done.returncode == 0
    assert left(local_account) == others
    journal = json.loads((report.parent / "journal.json").read_text())
    assert (journal["stacks"], journal["kept"]) == ([], [])
