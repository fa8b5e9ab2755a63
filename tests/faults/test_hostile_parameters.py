"""Parameters are data, whatever they say: from the template to the command lines of the instance.

Each example is rendered into the user data as CloudFormation does it and booted. What the programs
at the end of the way are told is what was chosen.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from common.limits import fitted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import messages
from orchestrator.actions import StopInstance
from orchestrator.aws import Account
from orchestrator.events import Terminating
from orchestrator.instances import SSM_SCRIPT
from tests.ec2.test_backup_script import BackupInstance
from tests.ec2.test_restore_script import Instance
from tests.orchestrator.test_core import SETTINGS, body, record
from tests.templates.reading import BACKUP, RESTORE, Tree, launch_data, load, matches

HOSTILE = [
    *("'", '"', "\\", "`touch $HOME/owned`", "$(touch $HOME/owned)", "; touch $HOME/owned;", "&&"),
    *(
        "|",
        ">>x",
        "<x",
        "(",
        ")",
        "{",
        "}",
        "${HOME}",
        "${AWS::Region}",
        "${!HOME}",
        "$((1/0))",
        "!!",
    ),
    *("*", "?", "[a-z]", "~", "#", "%s%n", "=", "RETAIN=1", "END-OF-SETTINGS", "EOF", "--", "-rf"),
    *(
        " ",
        "\u00a0",
        "\u0085",
        "\u2028",
        "\u202e",
        "ä",
        "漢",
        "\U0001f4be",
        "\u0301",
        "null",
        '":{',
    ),
]
FREE = {
    BACKUP: ["FolderLabel", "BackupPrefix", "ExcludePatterns"],
    RESTORE: ["FolderLabel", "RestorePrefix"],
}
FREE[RESTORE].append("RestoreSubDir")
# What the other parameters and resources are in this account.
PLAIN = {
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "stack",
    "SrcEFS": "fs-01234567",
    "DstEFS": "fs-89abcdef",
    "IntervalTag": "daily",
    "Retain": "7",
    "MaxFailedPercent": "1",
    "VerifyPercent": "0",
    "RestoreTestPercent": "0",
    "ExcludeCaches": "No",
    "RetainWeekly": "0",
    "RetainMonthly": "0",
    "HoldOnChangePercent": "50",
    "Workers": "0",
    "Group": "",
    "Queue": "",
    "BackupNum": "0",
    "BackupDate": "",
    "RestoreMode": "Mirror",
    "DryRun": "No",
    "UndoId": "",
    "RestoreWindow": "4320",
    "RestoreLogBucket": "logs",
    "EFSDynamoDB": "table",
    "EFSLogBucket": "logs",
    "SNSTopic": "arn:aws:sns:eu-west-1:123456789012:topic",
    "Bucket": "bucket",
    "KeyPrefix": "efs-to-efs-backup/v2.0.0",
    "SHA256": "0" * 64,
}
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:freeze"
# Writes down its arguments, and ends as an engine does that refuses.
NOTE_ARGUMENTS = """#!/bin/bash
printf '%s\\0' "$@" >"$HOME/arguments"
exit 2
"""
NOTE_MOUNT = """#!/bin/bash
printf '%s\\0' "$@" >>"$HOME/mounts"
"""
EXAMPLES = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

TEMPLATES = {BACKUP: load(BACKUP), RESTORE: load(RESTORE)}


def values(path: Path) -> st.SearchStrategy[dict[str, str]]:
    """Values of the free parameters that are as bad as the template allows, and as long."""
    noise = st.permutations(HOSTILE).map("".join)

    def of(name: str) -> st.SearchStrategy[str]:
        parameter = TEMPLATES[path]["Parameters"][name]
        if name == "FolderLabel":
            shaped = noise.map(lambda text: f"l{text.replace('/', '')}"[:100])
        elif name == "RestoreSubDir":
            shaped = noise.map(lambda text: f"/{text}/")
        elif name == "ExcludePatterns":
            shaped = noise.map(lambda text: re.sub(r"[^ -~]|\.\.", "", text))
        else:
            shaped = noise.map(lambda text: f"/{text}")
        return shaped.filter(lambda value: matches(parameter, value))

    return st.fixed_dictionaries({name: of(name) for name in FREE[path]})


def substituted(text: str, given: Mapping[str, str]) -> str:
    """Fn::Sub: each ${Name} once; what it brings is not looked at again. ${!Name} is ${Name}."""
    return re.sub(
        r"\$\{(!?)([A-Za-z0-9:]+)\}",
        lambda found: f"${{{found[2]}}}" if found[1] else given[found[2]],
        text,
    )


def booted(path: Path, instance: Instance, chosen: Mapping[str, str]) -> None:
    """Runs the user data on the instance, whose bundle is there already."""
    text, _ = launch_data(TEMPLATES[path])["UserData"]["Fn::Base64"]["Fn::Sub"]
    script = substituted(str(text), {**PLAIN, **chosen})
    # Only the places of ours are moved: the values are left as they are.
    script = script.replace(">/etc/efs-backup.conf", f">{instance.root}/etc/efs-backup.conf")
    script = script.replace("/opt/efs-backup", f"{instance.root}/opt")
    fetch = "aws s3 cp --no-progress $BUNDLE .\n"
    assert script.count(fetch) == 1
    script = script.replace(fetch, "\n")
    for name in ("arguments", "mounts", "calls"):
        (instance.root / name).unlink(missing_ok=True)
    shutil.rmtree(instance.root / "run/efs-backup", ignore_errors=True)
    done = subprocess.run(
        ["bash"],
        input=script.encode(),
        env=instance.environment(),
        cwd=instance.root,
        capture_output=True,
        check=False,
    )
    (instance.root / "output").write_bytes(done.stdout + done.stderr)
    assert b"syntax error" not in done.stderr
    assert not (instance.root / "owned").exists(), "a value was executed"


def prepared(instance: Instance, engine: str) -> Instance:
    (instance.root / "opt").mkdir()
    (instance.root / "opt/ec2").symlink_to(instance.root / "ec2")
    bin = instance.root / "usr/local/bin"
    commands = {"mount": NOTE_MOUNT, "sha256sum": "#!/bin/bash\ncat >&2", "tar": "#!/bin/bash"}
    for name, text in commands.items():
        (bin / name).write_text(text)
        (bin / name).chmod(0o755)
    (instance.root / "ec2" / engine).write_text(NOTE_ARGUMENTS)
    return instance


def told(file: Path) -> list[str]:
    return file.read_bytes().decode().split("\0")[:-1]


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


@pytest.fixture
def backup(tmp_path: Path) -> Instance:
    return prepared(BackupInstance(tmp_path / "root"), "efs-backup.sh")


@pytest.fixture
def restore(tmp_path: Path) -> Instance:
    return prepared(Instance(tmp_path / "root"), "efs-restore.sh")


@EXAMPLES
@given(chosen=values(BACKUP))
def test_a_backup_is_told_exactly_what_was_chosen(backup: Instance, chosen: dict[str, str]) -> None:
    booted(BACKUP, backup, chosen)
    arguments = told(backup.root / "arguments")
    assert option(arguments, "--folder") == chosen["FolderLabel"]
    assert f"--exclude-patterns={chosen['ExcludePatterns']}" in arguments
    assert (option(arguments, "--retain"), option(arguments, "--interval")) == ("7", "daily")
    mounts = told(backup.root / "mounts")
    assert mounts[4] == f"fs-01234567:{chosen['BackupPrefix']}"
    assert mounts[:4] == ["-t", "efs", "-o", "tls,iam,ro"]
    assert json.loads((backup.root / "run/efs-backup/update.json").read_text())


@EXAMPLES
@given(chosen=values(RESTORE))
def test_a_restore_is_told_exactly_what_was_chosen(
    restore: Instance, chosen: dict[str, str]
) -> None:
    booted(RESTORE, restore, chosen)
    arguments = told(restore.root / "arguments")
    assert option(arguments, "--folder") == chosen["FolderLabel"]
    assert option(arguments, "--prefix") == chosen["RestorePrefix"]
    assert option(arguments, "--path") == chosen["RestoreSubDir"]
    assert "--dry-run" not in arguments
    message = json.loads((restore.root / "run/efs-backup/message.json").read_text())
    assert {name: message["Parameters"][name] for name in chosen} == fitted(chosen)


@settings(deadline=None, derandomize=True, database=None)
@given(chosen=values(BACKUP))
def test_a_notification_says_exactly_what_was_chosen(chosen: dict[str, str]) -> None:
    label, prefix = chosen["FolderLabel"], chosen["BackupPrefix"]
    ended = record("run-a", "Success", FolderLabel=label, BackupPrefix=prefix, Message=label)
    mail = messages.run_ended(ended, replace(SETTINGS, folder_label=label, source_efs=label))
    found = body(mail)
    # But for what no mail program should get: that is escaped.
    assert (found["FolderLabel"], found["BackupPrefix"]) == (fitted(label), fitted(prefix))
    assert fitted(label) == label or not label.isprintable()
    assert found["Message"] == fitted(label)
    assert re.fullmatch(r"[ -~]{1,99}", mail.subject), "SNS refuses any other subject"


def texts(template: Tree) -> dict[str, Tree]:
    """The parameters that are patterns of text."""
    return {n: p for n, p in template["Parameters"].items() if "AllowedPattern" in p}


@pytest.mark.parametrize("path", TEMPLATES, ids=["backup", "restore"])
@given(data=st.data())
@settings(deadline=None, derandomize=True, database=None)
def test_no_value_has_a_second_line(path: Path, data: st.DataObject) -> None:
    """It could end the list of settings. CloudFormation matches a pattern against a whole value."""
    good = {
        **{"SrcEFS": "fs-01234567", "DstEFS": "fs-01234567", "FolderLabel": "a", "Email": "a@b.c"},
        **{"BackupSchedule": "rate(1 day)", "VpcId": "vpc-0", "Subnets": "subnet-0,subnet-1"},
        **{"BackupDate": "2026-11-20", "UndoId": "1", "InstanceType": "t3.micro"},
        **{"KmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/0-1"},
        **dict.fromkeys(("BeforeBackupFunction", "AfterBackupFunction"), FUNCTION),
        **{"SecurityGroupId": "sg-0", "RestoreLogBucket": "logs", "ReplicaRegion": "eu-west-1"},
    }
    for name, parameter in texts(TEMPLATES[path]).items():
        value = good.get(name, "/")
        assert re.fullmatch(parameter["AllowedPattern"], value), name
        place = data.draw(st.integers(0, len(value)))
        line = data.draw(st.sampled_from(["\n", "\r\n", "\nEND-OF-SETTINGS\n", "\n/"]))
        broken = value[:place] + line + value[place:]
        assert not re.fullmatch(parameter["AllowedPattern"], broken), (name, broken)


@given(words=st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=5).map("".join))
@settings(deadline=None, derandomize=True, database=None)
def test_a_command_for_the_agent_is_one_command(words: str) -> None:
    sent: list[dict[str, Any]] = []
    client = SimpleNamespace(send_command=lambda **request: sent.append(request))
    account = Account(SETTINGS, "arn:function", lambda service: client)
    account.apply(StopInstance(Terminating(words, words, words, words)))
    ((command,),) = [request["Parameters"]["commands"] for request in sent]
    assert shlex.split(command)[0] == SSM_SCRIPT
    assert shlex.split(command)[2::2] == [words] * 4


def test_the_settings_cannot_be_named_twice() -> None:
    """Each setting is one line of its own, so the last line of a name is the only one."""
    for template, of in itertools.product(TEMPLATES.values(), ("Instance", "Worker")):
        text, _ = launch_data(template, of)["UserData"]["Fn::Base64"]["Fn::Sub"]
        lines = str(text).split("END-OF-SETTINGS")[1].splitlines()
        names = [line.partition("=")[0] for line in lines if "=" in line]
        assert len(names) == len(set(names))
