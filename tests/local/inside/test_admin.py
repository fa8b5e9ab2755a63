"""The commands of an administrator, as make runs them."""

import json
import os
import re
import shlex
import shutil
import subprocess
from urllib.parse import parse_qs

import pytest

from local import deployment, sandbox
from tests.local.inside.conftest import COPIED

V15 = sandbox.REPOSITORY / "admin/acceptance/v15.template"
# What a shell or make could take for its own.
LABEL = """it's "daily" $(echo x) $HOME, [a] # 100%"""
SIZE = "    us-east-1: {InstanceSize: c5.xlarge}\n"
SMALLER = "    us-east-1: {InstanceSize: c5.large}\n    c5.large: {Arch: HVM64}\n"
PUBLICATION = {"BUCKET": "my-backups", "REGIONS": "us-east-1", "VERSION": "v2.0.0"}


@pytest.fixture(scope="session")
def run(project, local_account):
    """run(command, …): how a command ends in the project, and what it prints."""
    environment = {**os.environ, **local_account.environment}

    def run(*words, **variables):
        return subprocess.run(
            words,
            cwd=project,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope="session")
def make(run):
    """make(target, NAME=value, …): what it prints, when it ends well."""

    def make(target, **variables):
        done = run("make", target, *(f"{name}={value}" for name, value in variables.items()))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return make


@pytest.fixture(scope="session")
def refused(run):
    """refused(target, NAME=value, …): what it says, when it ends with an error."""

    def refused(target, **variables):
        done = run("make", target, *(f"{name}={value}" for name, value in variables.items()))
        assert done.returncode != 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    return refused


@pytest.fixture(scope="session")
def published(make, refused):
    """What the first publication says."""
    assert "aws s3 mb s3://my-backups-us-east-1" in refused("publish", **PUBLICATION)
    return make("publish", **PUBLICATION, CREATE="yes", Email="ops+efs@example.com")


@pytest.fixture(scope="session")
def network(local_account):
    return deployment.create_network(local_account)


@pytest.fixture(scope="session")
def required(local_account, network):
    """The parameters without a default, for a new source file system."""
    source = deployment.create_file_system(local_account, network)
    subnets = ",".join(network.subnets)
    return {"SrcEFS": source, "VpcId": network.vpc, "Subnets": subnets, "Email": deployment.EMAIL}


@pytest.fixture(scope="session")
def describe(local_account):
    """describe(stack): its parameters and its outputs."""

    def describe(stack):
        client = local_account.client("cloudformation")
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
        return (
            {p["ParameterKey"]: p["ParameterValue"] for p in found["Parameters"]},
            {o["OutputKey"]: o["OutputValue"] for o in found["Outputs"]},
        )

    return describe


@pytest.fixture(scope="session")
def deployed(make, required, describe, local_account):
    """The stack `office`: its source and its backup file system."""
    said = make("deploy", STACK="office", **required, FolderLabel=LABEL)
    assert f"SNS sends to {deployment.EMAIL}" in said
    _, outputs = describe("office")
    return [local_account.file_system(outputs[name]) for name in ("SourceEFS", "BackupEFS")]


@pytest.fixture(scope="session")
def backed_up(deployed, make, refused, project, local_account):
    """What watching the first backup shows. It waits with copying until it is watched."""
    source, _ = deployed
    (source / "docs").mkdir()
    (source / "docs" / "file").write_text("as backed up")
    rsync = local_account.image / "opt/aws/bin/rsync"
    rsync.parent.mkdir(parents=True)
    wait = "[[ $* != *--files-from=* ]] || until [[ -e /run/efs/.go ]]; do sleep 0.1; done"
    rsync.write_text(f'#!/bin/bash\n{wait}\nexec /usr/bin/rsync "$@"\n')
    rsync.chmod(0o755)
    assert "Started: run" in make("backup-now", STACK="office")
    refused("backup-now", STACK="office")
    words = ["make", "status", "STACK=office", "WATCH=yes"]
    environment = {**os.environ, **local_account.environment}
    with subprocess.Popen(
        words, cwd=project, env=environment, stdout=subprocess.PIPE, text=True
    ) as watching:
        said = watching.stdout.readline()
        (local_account.home / "efs/.go").touch()
        said += watching.stdout.read()
    assert watching.returncode == 0, said
    shutil.rmtree(local_account.image)
    (local_account.home / "efs/.go").unlink()
    return said


def test_the_documentation_copies_what_the_commands_need():
    words = ["cp", "-r", *COPIED, ".local/try"]
    assert " ".join(words) in (sandbox.REPOSITORY / "docs" / "local-account.md").read_text()


def test_a_release_is_published_with_its_checksums(published, project, local_account):
    s3, bucket = local_account.client("s3"), "my-backups-us-east-1"
    folder = "efs-to-efs-backup/v2.0.0/"
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]]
    found = {key.removeprefix(folder) for key in keys}
    built = {path.name for path in project.glob("dist/*/*")}
    assert found == {*built, "SHA256SUMS"}
    assert {"efs-to-efs-backup.template", "efs-to-efs-restore.template", "ec2.tar.gz"} < found
    for key in keys:
        head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert head["ChecksumSHA256"]


def test_the_links_launch_what_was_published(published, project, local_account):
    urls = re.findall(r"^https://.*$", published, re.MULTILINE)
    readme = (project / "README.md").read_text()
    assert [url for url in urls if f"({url})" not in readme] == []
    queries = [parse_qs(url.rpartition("?")[2]) for url in urls]
    assert [query["stackName"] for query in queries] == [["efs-backup"], ["efs-restore"]]
    for query in queries:
        assert query["param_Email"] == ["ops+efs@example.com"]
        local_account.client("cloudformation").validate_template(
            TemplateURL=query["templateURL"][0]
        )


def test_what_is_published_is_not_changed(published, make, refused, project):
    assert "v2.0.0 is in my-backups-us-east-1 already" in make("publish", **PUBLICATION)
    script = project / "ec2" / "ssm.sh"
    before = script.read_bytes()
    script.write_bytes(before + b"# changed\n")
    try:
        assert "ec2.tar.gz" in refused("publish", **PUBLICATION)
    finally:
        script.write_bytes(before)
    assert "v2.0.0 is in my-backups-us-east-1 already" in make("publish", **PUBLICATION)


def test_values_arrive_as_they_were_typed(deployed, describe, required):
    assert describe("office")[0].items() >= {**required, "FolderLabel": LABEL}.items()


@pytest.mark.parametrize(
    ("target", "variables", "said"),
    [
        ("deploy", {"STACK": "new", "Email": "you@example.com"}, "Missing: SrcEFS, VpcId, Subnets"),
        ("deploy", {"STACK": "office", "Retian": "3"}, "no parameter Retian"),
        ("deploy", {}, "STACK is missing"),
        ("status", {"STACK": "office", "REGION": "eu-west-1"}, "no stack office in eu-west-1"),
        ("backup-now", {"STACK": "nowhere"}, "no stack nowhere"),
        ("restore", {"STACK": "nowhere"}, "no stack nowhere"),
        ("restore", {"STACK": "office", "MODE": "mirror"}, "one of Mirror, Merge, NewDirectory"),
        ("restore", {"STACK": "office"}, "DRYRUN=yes"),
        ("undo", {"STACK": "office"}, "ID is missing"),
        ("undo", {"STACK": "office", "ID": "20261120T021503Z-1f0a"}, "DRYRUN=yes"),
        ("undo", {"STACK": "office", "ID": "foo"}, "ID=foo must look like this"),
        ("undo", {"STACK": "office", "UndoId": "1-a", "NUMBER": "0"}, "Unknown: NUMBER"),
    ],
)
def test_bad_input_is_named(deployed, refused, target, variables, said):
    assert said in refused(target, **variables)


def test_without_credentials(run):
    done = run("make", "status", "STACK=office", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert done.returncode != 0
    assert "no usable AWS credentials" in done.stderr


def test_a_backup_is_started_and_watched(backed_up, deployed, make):
    assert "It has ended" in backed_up
    assert "Success" in backed_up
    _, backup = deployed
    assert (backup / LABEL / "daily.0" / "docs" / "file").read_text() == "as backed up"
    assert re.search(r"The newest complete snapshot is \d+ (s|min)", make("status", STACK="office"))


def test_a_run_and_its_logs_are_shown(backed_up, make, tmp_path):
    assert re.search(r"office +│ fs-\w+ +│ .*│ Success +│", make("status", STACK="all"))
    run = re.search(r"  (\S+): Success, started 20", make("status", STACK="office", RUN="20"))[1]
    assert "==> ec2-logs/" in make("logs", STACK="office", RUN=run)
    make("logs", STACK="office", TO=tmp_path / "logs")
    found = {path.name for path in (tmp_path / "logs").glob(f"*/*-{run}/*")}
    assert found >= {"cloud-init-output.log", "rsync.log"}
    assert "No backup of office is running" in make("stop", STACK="office")


def test_a_snapshot_is_held_by_the_next_backup(backed_up, deployed, make):
    _, backup = deployed
    held = backup / LABEL / "held.kept"
    said = make("hold", STACK="office", SNAPSHOT="daily.0", NAME="kept", NOW="yes")
    assert "Asked for: hold 20" in said
    assert "Started" in said
    assert "Success" in make("status", STACK="office", WATCH="yes")
    assert (held / "docs" / "file").read_text() == "as backed up"
    make("release", STACK="office", NAME="kept", NOW="yes")
    assert "Success" in make("status", STACK="office", WATCH="yes")
    assert not held.exists()
    kept = sorted(path.name for path in (backup / LABEL).glob("[!.]*"))
    assert kept == ["daily.0", "daily.1", "daily.2"]


def test_questions_are_answered_from_the_log_bucket(backed_up, deployed, make, refused):
    _, backup = deployed
    found = make("find", STACK="office", NAME="fil?")
    assert "/docs/file" in found
    assert re.search(r"make restore STACK=office DATE=20\S+Z SUBDIR=/docs/file\n", found)
    snapshots = json.loads(make("snapshots", STACK="office", FORMAT="json"))
    there = sorted(path.name for path in (backup / LABEL).glob("[!.]*"))
    assert [each["name"] for each in snapshots] == there
    assert all(each["complete"] and each["frees"] is not None for each in snapshots)
    oldest, newest = snapshots[-1]["name"], snapshots[0]["made"]
    assert make("diff", STACK="office", FROM=oldest, TO=newest).startswith(f"{oldest} (made 20")
    assert "the nearest: daily.0" in refused("diff", STACK="office", FROM="2099-01-01", TO=oldest)


@pytest.fixture
def restore_stacks(local_account):
    """restore_stacks(): those that are there, of stacks of the restore template."""

    def found():
        stacks = local_account.client("cloudformation").describe_stacks()["Stacks"]
        return [s["StackName"] for s in stacks if "-restore-" in s["StackName"]]

    return found


def test_a_restore_is_planned_and_done_and_undone(backed_up, deployed, make, restore_stacks):
    source, _ = deployed
    (source / "docs" / "file").write_text("overwritten since")
    planned = make("restore", STACK="office", DRYRUN="yes", SUBDIR="/docs/file", KEEP="yes")
    assert "\nPlanned\n" in planned
    assert "  Examples:\n    replace docs/file\n" in planned
    assert "daily.0 (by the records, of the backup that ended 20" in planned
    assert (source / "docs" / "file").read_text() == "overwritten since"
    (kept,) = restore_stacks()
    assert f"--stack-name {kept}" in planned

    # The command that the dry run ends with.
    _, _, command = planned.partition("To restore this: make restore ")
    values = dict(word.split("=", 1) for word in shlex.split(command.splitlines()[0]))
    assert values.keys() == {"STACK", "SUBDIR", "DATE"}
    restored = make("restore", **values, YES="1")
    assert "\nSuccess\n" in restored
    assert "UndoCommand" in restored
    assert (source / "docs" / "file").read_text() == "as backed up"
    assert restore_stacks() == [kept], "it was watched and ended well, so its stack goes"

    _, _, command = restored.partition("To undo it: make undo ")
    values = dict(word.split("=", 1) for word in shlex.split(command.splitlines()[0]))
    undone = make("undo", **values, YES="1", KEEP="yes")
    assert "\nUndone\n" in undone
    assert (source / "docs" / "file").read_text() == "overwritten since"


def test_a_restore_that_is_refused_says_why(backed_up, run):
    words = ["make", "restore", "STACK=office", "YES=1"]
    assert "There is no snapshot daily.9" in run(*words, "NUMBER=9").stderr
    done = run(*words, "SUBDIR=/not-there")
    assert done.returncode != 0
    assert "\nUnsuccessful\n" in done.stdout
    assert "StartCommand no more" not in done.stdout


def test_a_stack_of_version_1_is_updated_and_keeps_its_values(
    local_account, make, run, describe, required, refused
):
    """Its user had edited the Mappings, and CloudFormation does not show the label as it is."""
    label = "b\N{LATIN SMALL LETTER U WITH DIAERESIS}ro 7"
    values = {**required, "FolderLabel": label, "Retain": "5"}
    body = V15.read_text()
    assert body.count(SIZE) == 1
    local_account.client("cloudformation").create_stack(
        StackName="old",
        TemplateBody=body.replace(SIZE, SMALLER),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    local_account.client("cloudformation").get_waiter("stack_create_complete").wait(
        StackName="old", WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )
    before = describe("old")[1]["BackupEFS"]
    assert "Update the stack first" in refused("restore", STACK="old")
    assert "EFSMode of the stack old" in refused("deploy", STACK="old", EFSMode="maxIO")
    keep = "InstanceType=c5.large"
    said = refused("deploy", STACK="old", Retain="3")
    assert f"To keep that: {keep}. To take the release's: InstanceType=" in said
    make("deploy", STACK="old", Retain="3", **dict([keep.split("=")]))
    parameters, outputs = describe("old")
    shown = {**values, "Retain": "3", "InstanceType": "c5.large", "FolderLabel": "b?ro 7"}
    assert parameters.items() >= shown.items()
    assert outputs["BackupEFS"] == before
    functions = local_account.client("lambda")
    told = functions.get_function_configuration(FunctionName="old")["Environment"]["Variables"]
    assert (told["folder_label"], told["instance_type"]) == (label, "c5.large")

    assert "has made no backup yet" in make("status", STACK="old")
    assert f"{required['SrcEFS']} is available" in run("make", "preflight", "STACK=old").stdout
    (local_account.file_system(required["SrcEFS"]) / "another file").touch()
    assert "Started: run" in make("backup-now", STACK="old")
    make("status", STACK="old", WATCH="yes")
    folder = local_account.file_system(before) / label
    assert (folder / "daily.0").is_dir()
    assert "FolderLabel as 'b?ro 7'" in refused("restore", STACK="old", DRYRUN="yes")
    asked = {"STACK": "old", "FolderLabel": label, "DRYRUN": "yes", "KEEP": "yes"}
    assert "\nPlanned\n" in make("restore", **asked)
