"""A run that did not end well is shown as a whole, wrapped at words, harmless to a terminal."""

from io import StringIO
from typing import Any

import pytest
from common.consoles import Console
from common.records import Run

from admin.command import AdminError, SafeConsole
from admin.run_details import Links, Whole, chosen, newest_failed
from tests.admin.test_status import NOW, PARTIAL, RUNNING, SUCCESS, V15

LINKS = Links(Console("aws", "eu-west-1"), "logs", "a group")
LONG = "docs/" + "very long name/" * 20 + "end"
FAILED = {
    **SUCCESS,
    "BackupId": "0f4c2d66-run",
    "BackupStatus": "Unsuccessful",
    "Message": "The EFS backup was unsuccessful. " + "Many words say at length what it was. " * 20,
    "WhatToDo": "Put it right.",
    "Errors": ["a  b: Input/output error", LONG, "x" * 150, "\x1b[2Jevil\nname [red]\u202e"],
    "Warnings": ["c vanished"],
    "InstanceId": "i-1",
    "EC2Logs": "s3://logs/ec2-logs/20260303-020100-0f4c2d66-run/",
    "CreateHardlinksStartTime": "2026-03-03T02:10:00Z",
}


def lines(record: dict[str, Any], width: int = 80, with_rest: bool = False) -> list[str]:
    out = SafeConsole(file=StringIO(), width=width, highlight=False, markup=False)
    Whole(out, LINKS, {"STACK": "s"}).show("Title", Run(record), NOW, with_rest)
    return out.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def words(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_nothing_is_cut_and_no_word_broken(width: int) -> None:
    shown = lines(FAILED, width)
    text = " ".join(words(" ".join(shown)))
    for told in (FAILED["Message"], FAILED["WhatToDo"], LONG, "x" * 150, "c vanished"):
        assert " ".join(words(str(told))) in text
    for line in shown:
        # What is longer is one word that has no room in any line, or the command to copy.
        assert len(line) <= width or len(words(line.strip().removeprefix("- "))) == 1 or (
            "make logs" in line
        )  # fmt: skip


def test_names_are_shown_as_they_are_but_harmless() -> None:
    shown = lines(FAILED)
    assert "    - a  b: Input/output error" in shown
    assert "    -  [2Jevil name [red] " .rstrip() in shown  # fmt: skip
    assert all(line.isprintable() for line in shown)


def test_it_says_how_and_when_and_where_more_is() -> None:
    shown = lines(FAILED)
    text = " ".join(words(" ".join(shown)))
    assert "0f4c2d66-run: Unsuccessful, started 2026-03-03 02:00 UTC, took 2 h 5 min" in text
    assert "1,234,567 files, 89 transferred" in text
    console = "https://eu-west-1.console.aws.amazon.com/s3/buckets/logs?region=eu-west-1&prefix="
    assert f"    - {console}ec2-logs/20260303-020100-0f4c2d66-run/" in shown
    assert f"    - {console}efs-backup-log/20260303-020100-0f4c2d66-run/" in shown
    assert shown[-1] == "  To see its logs: make logs STACK=s RUN=0f4c2d66-run"
    assert "view=activity" not in text


def test_a_run_without_an_instance_links_to_why_there_was_none() -> None:
    without = {k: v for k, v in FAILED.items() if k not in ("InstanceId", "EC2Logs", "WhatToDo")}
    text = "\n".join(lines(without))
    assert "ec2/home?region=eu-west-1#AutoScalingGroupDetails:id=a%20group;view=activity" in text
    assert "What to do:\n    See the logs" in text


def test_of_version_15_there_is_what_it_wrote() -> None:
    text = "\n".join(lines({**V15, "EC2Logs": "https://s3.amazonaws.com/b/x.log"}))
    assert "a: Incomplete, started 2019-03-03 02:00 UTC, took 3 h\n" in text
    assert "    - https://s3.amazonaws.com/b/x.log\n" in text


def test_the_rest_is_shown_when_asked_for() -> None:
    assert "CreateHardlinksStartTime" not in "".join(lines(FAILED))
    assert "  CreateHardlinksStartTime: 2026-03-03T02:10:00Z" in lines(FAILED, with_rest=True)


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([], None),
        ([RUNNING, SUCCESS], None),
        ([RUNNING, SUCCESS, PARTIAL, V15], ("p", " (1 since then ended well)")),
        ([PARTIAL, FAILED], ("p", "")),
    ],
)
def test_the_newest_that_did_not_end_well(records: Any, found: tuple[str, str] | None) -> None:
    failed = newest_failed(list(map(Run, records)))
    title = "The newest run that did not end well"
    assert (failed and (failed.run.backup_id, failed.title)) == (
        found and (found[0], title + found[1])
    )


RUNS = [Run(FAILED), Run({**SUCCESS, "BackupId": "0f4c-x"}), Run(PARTIAL), Run({"BackupId": "z"})]


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("0f4c2d66-run", "0f4c2d66-run"),
        ("0f4c2", "0f4c2d66-run"),
        (" z ", "z"),
        ("2026-03-04T02:00", "p"),
        ("2026-03-04 02:00", "p"),
        ("2026-03-04", "p"),
    ],
)
def test_a_run_is_named_by_its_id_or_time(text: str, run: str) -> None:
    assert chosen(RUNS, text).backup_id == run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0f4c", r"2 runs are RUN=0f4c.*0f4c2d66-run; .*0f4c-x$"),
        ("2026-03-03", "2 runs are"),
        ("q", "No run is RUN=q.*2026-03-04T02:00 p"),
        (" ", "No run is"),
    ],
)
def test_what_is_no_run_or_several_is_said(text: str, said: str) -> None:
    with pytest.raises(AdminError, match=said):
        chosen(RUNS, text)
