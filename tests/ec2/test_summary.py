"""What a run says at its end, to the letter."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from common.words import plural
from engine.command.execution import Formatter, Result, say_headline, told
from engine.command.outcome import REFUSED, STOPPED, Failed, Refused, Stopped
from engine.command.screen import ANSWER, Screen, ToScreen, level
from engine.command.summary import NAMED, write
from engine.command.text import MESSAGES_KEPT, Messages
from engine.manage import ManageResult
from engine.stage.result import BackupResult
from engine.target.result import RestoreResult
from engine.verify import VerifyResult

from tests.terminals import Terminal, check_width, seen

LOGS = Path("/var/tmp/logs")
BACKUP = BackupResult(
    "published",
    snapshot="/mnt/backup/efs-backup/daily.0",
    number_of_files=20_000,
    total_file_size=3 << 30,
    number_of_files_transferred=120,
    total_transferred_file_size=7 << 20,
    number_of_files_added=100,
    size_added=6 << 20,
    number_of_files_changed=20,
    size_changed=1 << 20,
    number_of_files_removed=3,
    size_removed=4096,
    expired=["daily.7"],
    retention=[
        "daily.8 becomes weekly.0: it is the first of week 2026-W47",
        "daily.7 expires: 7 daily are kept, and week 2026-W47 has weekly.0",
    ],
    snapshots=["daily.0 …", "weekly.0 …"],
)
WORKERS = {
    "i-2": {"lists": 1, "files": 1, "bytes": 70},
    "i-1": {"lists": 12, "files": 11_000, "bytes": 3 << 30},
}
WARNINGS = [f"vanished during the backup: 'a file {number}'" for number in range(12)]
RESTORE = RestoreResult(
    "restored",
    snapshot_name="daily.0",
    snapshot_date="2026-11-27T02:00:11Z",
    target="/mnt/target",
    number_of_files_created=3,
    size_created=1536,
    number_of_files_unchanged=1000,
    number_of_files_compared=4,
    excluded=["*.tmp"],
    safety_directory="/mnt/target/.efs-restore-20261127T091502Z-1f0a",
    undo_command="sudo python3 /mnt/target/.efs-restore-20261127T091502Z-1f0a.undo/undo",
    delete_command="sudo rm -rf /mnt/target/.efs-restore-20261127T091502Z-1f0a "
    "/mnt/target/.efs-restore-20261127T091502Z-1f0a.undo",
)
PLAN = RestoreResult(
    "planned",
    snapshot_name="daily.0",
    snapshot_date="2026-11-27T02:00:11Z",
    target="/mnt/target",
    number_of_files_created=30,
    size_created=1536,
    examples={"create": ["a", "a/\x1b[31mb"], "replace": [], "remove": []},
    repeat_command="efs-restore.sh --backup /mnt/backup --folder efs-backup --interval "
    "daily --date 2026-11-27T02:00:11Z --target /mnt/target --path '/my files' --mode Mirror",
)
VERIFIED = VerifyResult(
    "verified",
    snapshot="/mnt/backup/efs-backup/daily.0",
    snapshot_date="2026-11-27T02:00:11Z",
    number_of_files_checked=20_000,
    size_checked=3 << 30,
)


def ended_by(result: Result, error: Failed | Refused | Stopped, errors: list[str]) -> Result:
    result = replace(result, errors=errors)
    result.conclude(error)
    return result


DAMAGED = ended_by(
    replace(VERIFIED, number_of_files_mismatched=1, number_of_files_missing=1),
    Failed("verification", "daily.0 (made 2026-11-27T02:00:11Z) is not as it was made"),
    ["changed: 'a/\\x1b[31mb'", "missing: 'c'"],
)
FAILED = ended_by(
    BackupResult("published", number_of_files_transferred=7, total_transferred_file_size=70),
    Failed("files", "something could not be copied, so nothing was published"),
    ["'secret': Permission denied", "rsync: [sender] send_files failed to open: …"],
)
ENDED = ended_by(
    BackupResult("published", number_of_files_transferred=7, total_transferred_file_size=70),
    Stopped("stopped before the snapshot was complete; the next run continues from it"),
    [],
)
PARTIAL = replace(
    BACKUP,
    outcome="partial",
    number_of_files_failed=2,
    errors=["'a': Permission denied; the snapshot before has no older version", "'b': likewise"],
)

AT_80 = {
    "backup": (
        BACKUP,
        """\
Made daily.0 in 3.2 s: 20,000 files, 3.0 GiB
  Snapshot  /mnt/backup/efs-backup/daily.0
  Changed   100 added (6.0 MiB), 20 changed (1.0 MiB), 3 removed (4.0 KiB)
  Copied    120 files, 7.0 MiB
  Expired   daily.7, 7 daily are kept, and week 2026-W47 has weekly.0
  Kept      2 snapshots
  Promoted  1
    daily.8 becomes weekly.0: it is the first of week 2026-W47
""",
    ),
    "backup by several machines": (
        replace(BACKUP, workers=WORKERS, retention=[], expired=[]),
        """\
Made daily.0 in 3.2 s: 20,000 files, 3.0 GiB
  Snapshot  /mnt/backup/efs-backup/daily.0
  Changed   100 added (6.0 MiB), 20 changed (1.0 MiB), 3 removed (4.0 KiB)
  Copied    120 files, 7.0 MiB
  Kept      2 snapshots
  Workers   2
    i-1: 11,000 files, 3.0 GiB in 12 lists
    i-2: 1 file, 70 bytes in 1 list
""",
    ),
    "backup with warnings": (
        replace(BACKUP, warnings=WARNINGS, retention=[], expired=[]),
        """\
Made daily.0 in 3.2 s: 20,000 files, 3.0 GiB
  Snapshot  /mnt/backup/efs-backup/daily.0
  Changed   100 added (6.0 MiB), 20 changed (1.0 MiB), 3 removed (4.0 KiB)
  Copied    120 files, 7.0 MiB
  Kept      2 snapshots
  Warnings  12
    vanished during the backup: 'a file 0'
    vanished during the backup: 'a file 1'
    vanished during the backup: 'a file 2'
    vanished during the backup: 'a file 3'
    vanished during the backup: 'a file 4'
    vanished during the backup: 'a file 5'
    vanished during the backup: 'a file 6'
    vanished during the backup: 'a file 7'
    vanished during the backup: 'a file 8'
    vanished during the backup: 'a file 9'
    … and 2 more: see engine.log in the logs
  Logs      /var/tmp/logs
""",
    ),
    "partial backup": (
        PARTIAL,
        """\
Made daily.0 in 3.2 s: 20,000 files, 3.0 GiB; 2 other files could not be copied
  Snapshot    /mnt/backup/efs-backup/daily.0
  Changed     100 added (6.0 MiB), 20 changed (1.0 MiB), 3 removed (4.0 KiB)
  Copied      120 files, 7.0 MiB
  Expired     daily.7, 7 daily are kept, and week 2026-W47 has weekly.0
  Kept        2 snapshots
  Promoted    1
    daily.8 becomes weekly.0: it is the first of week 2026-W47
  Errors      2
    'a': Permission denied; the snapshot before has no older version
    'b': likewise
  What to do  put right what is named above; the next backup tries again
  Logs        /var/tmp/logs
""",
    ),
    "failed backup": (
        FAILED,
        """\
failed: something could not be copied, so nothing was published
  Snapshot    none; the next backup goes on with what was copied
  Copied      7 files, 70 bytes
  Errors      1
    'secret': Permission denied
  What to do  put right what is named above, and start it again
  Logs        /var/tmp/logs
""",
    ),
    "stopped backup": (
        ENDED,
        """\
stopped before the snapshot was complete; the next run continues from it
  Snapshot  none; the next backup goes on with what was copied
  Copied    7 files, 70 bytes
""",
    ),
    "restore": (
        RESTORE,
        """\
Restored daily.0, made 2026-11-27T02:00:11Z, into /mnt/target in 3.2 s
  Files       3 created (1.5 KiB), 1,000 kept, 4 compared by content
  Left alone  *.tmp, as the backup excludes that
  Set aside   what was there before, in
              /mnt/target/.efs-restore-20261127T091502Z-1f0a
  To put it back:
    sudo python3 /mnt/target/.efs-restore-20261127T091502Z-1f0a.undo/undo
  To delete what is kept for that:
    sudo rm -rf /mnt/target/.efs-restore-20261127T091502Z-1f0a \\
      /mnt/target/.efs-restore-20261127T091502Z-1f0a.undo
""",
    ),
    "restore by several machines": (
        replace(RESTORE, workers=WORKERS, safety_directory="", undo_command="", excluded=[]),
        """\
Restored daily.0, made 2026-11-27T02:00:11Z, into /mnt/target in 3.2 s
  Files    3 created (1.5 KiB), 1,000 kept, 4 compared by content
  Workers  2
    i-1: 11,000 files, 3.0 GiB in 12 lists
    i-2: 1 file, 70 bytes in 1 list
  To delete what is kept for that:
    sudo rm -rf /mnt/target/.efs-restore-20261127T091502Z-1f0a \\
      /mnt/target/.efs-restore-20261127T091502Z-1f0a.undo
""",
    ),
    "dry run": (
        PLAN,
        """\
A dry run, nothing was changed: it would restore daily.0, made
  2026-11-27T02:00:11Z, into /mnt/target
  Files  30 to create (1.5 KiB), 0 to keep
  It would:
    create a
    create a/\\x1b[31mb
    create 28 more files; with --log-dir, create.txt names all
  To restore this:
    efs-restore.sh --backup /mnt/backup --folder efs-backup --interval daily \\
      --date 2026-11-27T02:00:11Z --target /mnt/target --path '/my files' \\
      --mode Mirror
""",
    ),
    "verify": (
        VERIFIED,
        """\
daily.0, made 2026-11-27T02:00:11Z: 20,000 regular files (3.0 GiB) checked in
  3.2 s, each is as it was when it was copied
  Not looked at  what has no content: directories, symbolic links, special
                 files; owners, permissions, times
""",
    ),
    "verify that finds something": (
        DAMAGED,
        """\
failed: daily.0 (made 2026-11-27T02:00:11Z) is not as it was made
  Checked        20,000 regular files (3.0 GiB) in 3.2 s
  Found          1 changed, 1 missing, 0 unreadable
  Not looked at  what has no content: directories, symbolic links, special
                 files; owners, permissions, times
  Errors         2
    changed: 'a/\\x1b[31mb'
    missing: 'c'
  What to do     restore what is named above from another snapshot, or from the
                 source if that still has it; see docs/verification.md
  Logs           /var/tmp/logs
""",
    ),
    "refused": (
        ended_by(ManageResult("done"), Refused("'x' is not held"), []),
        """\
refused: 'x' is not held
""",
    ),
    "hold": (
        ManageResult("done", text="daily.3 (made 2026-11-27T02:00:11Z) is held as it"),
        """\
daily.3 (made 2026-11-27T02:00:11Z) is held as it
""",
    ),
}


@pytest.fixture(autouse=True)
def spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Result, "spent", "3.2 s")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    yield root
    root.setLevel(before)


def say(root: logging.Logger, screen: Screen, result: Result, named: int = NAMED) -> None:
    handler = ToScreen(screen)
    handler.setFormatter(Formatter(has_times=not screen.is_terminal))
    root.addHandler(handler)
    try:
        say_headline(result)
    finally:
        root.removeHandler(handler)
    are_kept = result.exit_code not in (REFUSED, STOPPED)
    write(screen, told(result, LOGS if are_kept else None, named))


@pytest.mark.parametrize("name", AT_80)
def test_the_end_reads_like_an_answer(name: str, root: logging.Logger) -> None:
    result, text = AT_80[name]
    terminal = Terminal(80)
    say(root, Screen(terminal.stream, {"TERM": "xterm"}), result)
    output = terminal.read()
    assert "\n".join(seen(output)) == text
    check_width(output, 80)


@pytest.mark.parametrize("name", AT_80)
def test_on_a_wider_terminal_and_on_none_it_says_the_same(name: str, root: logging.Logger) -> None:
    """But for the line ends, and the time before the first line of a log."""
    result, text = AT_80[name]
    terminal, log = Terminal(120), io.StringIO()
    say(root, Screen(terminal.stream, {"TERM": "xterm"}), result)
    say(root, Screen(log, {}), result)
    output = terminal.read()
    check_width(output, 120)
    words = text.replace("\\\n", "").split()
    assert " ".join(seen(output)).replace("\\ ", "").split() == words
    begin, *rest = log.getvalue().split()
    assert rest == words
    assert begin.endswith("Z")
    assert not any(line.endswith("\\") for line in log.getvalue().splitlines())


def test_a_wide_terminal_has_fewer_lines(root: logging.Logger) -> None:
    lines = []
    for columns in (80, 120):
        terminal = Terminal(columns)
        say(root, Screen(terminal.stream, {"TERM": "xterm"}), PLAN)
        lines.append(len(seen(terminal.read())))
    assert lines[0] > lines[1]


def test_all_that_is_known_by_name_can_be_had(root: logging.Logger) -> None:
    messages = Messages()
    messages.add(WARNINGS * 10)
    log = io.StringIO()
    say(root, Screen(log, {}), replace(BACKUP, warnings=messages.lines()), MESSAGES_KEPT)
    assert log.getvalue().count("vanished") == MESSAGES_KEPT
    assert "Warnings  120\n" in log.getvalue()
    assert "… and 70 more: see engine.log" in log.getvalue()


def test_what_is_wrong_is_louder() -> None:
    records = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.levelno)

    logger = logging.getLogger("engine.command.execution")
    handler = Collect()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    for result in (BACKUP, PARTIAL, FAILED):
        say_headline(result)
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)
    assert records == [ANSWER, logging.WARNING, logging.ERROR]
    assert level(Screen(None, {}), quiet=True) > ANSWER


@pytest.mark.parametrize(
    ("mode", "title"),
    [
        ("Mirror", "To delete what is kept for that"),
        ("NewDirectory", "To remove these files again"),
    ],
)
def test_what_can_be_deleted_is_called_by_what_it_is(mode: str, title: str) -> None:
    titles = {fact.title: fact.command for fact in replace(RESTORE, mode=mode).facts()}
    assert titles[title] == RESTORE.delete_command


# What stands before a noun, and is never 1.
NEVER_ONE = {"TRIES", "before.files", "name"}
COUNTED = re.compile(
    r"\{([^{}]+)\} (?:more |other )?(?:files|lists|entries|inodes|snapshots|versions|have)\b"
)


def test_what_is_counted_is_one_or_many() -> None:
    assert (plural(1, "file"), plural(2000, "file")) == ("1 file", "2,000 files")
    assert (plural(1, "has", "have"), plural(0, "has", "have")) == ("1 has", "0 have")
    engine = Path(__file__).parents[2] / "ec2/lib/engine"
    found = {
        f"{path.name}: {match[0]}"
        for path in engine.rglob("*.py")
        for match in COUNTED.finditer(path.read_text())
        if match[1] not in NEVER_ONE
    }
    assert found == set()
