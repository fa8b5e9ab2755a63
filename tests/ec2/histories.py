"""Histories: random moves against a file system and its backup, a run after each, and a model.

    python -m tests.ec2.histories --runs 100 --seed 1

makes 100 backups in histories of 6 to 10 moves each, with the seeds 1, 2, 3 and so on. The model
knows what each published snapshot is, to the last attribute and with its hard links, and says after
each move what there has to be. A failure prints the seed and the moves that led to it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from local.tree import Tree, differences, inodes, read_tree, without
from tests.changes import Changes
from tests.trees import others_of

from .conftest import DAMAGES, LEVELS, Backup, Outcome, end_tree, exchanging, inside
from .test_exchanged import EXCHANGES, release
from .test_history import UNPRIVILEGED, closed_ones, meddle
from .test_interruptions import slow_rsync
from .test_restore_history import copies_and_twins

DAY = 86400 * 10**9
KEPT, ALL = 4, 20  # snapshots that remain after a run, and more than a history makes
COMPLETE = ".daily.complete"
RSYNC_LEVELS = 12  # rsync, which moves the backup, takes no longer paths


class OwnChanges(Changes):
    """Without other owners: what is theirs would be closed to the run in the backup, too."""

    def change_owner(self) -> None:
        self.change_mode()


def outside_of(top: Path) -> dict[bytes, tuple[int, int]]:
    """What no run may touch: not even the time of the last change of its attributes."""
    return {path: (info.st_ino, info.st_ctime_ns) for path, info in inodes(top).items()}


class History:
    """A source, its backup, and the model: what the snapshots are, the newest first."""

    def __init__(self, home: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.backup = Backup(home)
        self.snapshots: list[Tree] = []
        self.runs = 0
        self.moves: list[str] = []
        self.damage = False
        flat = self.backup.source / "flat"
        flat.mkdir()
        (self.backup.source / "never empty").touch()
        self.closes = self.chance.random() < 0.5
        self.levels = self.chance.choice([RSYNC_LEVELS, 30])
        kind = OwnChanges if self.closes else Changes
        self.changes = kind(flat, self.chance.randrange(2**32))
        self.changes.make(self.chance.randrange(60, 120))
        self.outside = home / "outside"
        for number in range(20):
            place = self.outside / f"d{number}"
            place.mkdir(parents=True)
            (place / "file").write_text("of the instance")
        self.untouched = outside_of(self.outside)

    def play(self) -> None:
        self._move(changed)
        possible = [
            *(changed, nothing, exchanged, long_paths, truncated, attacked, damaged, clock_jumped),
            *(hard_links, removed_by_hand, renamed_by_hand, killed, stopped),
            *([closed] * 2 if self.closes else []),
            *([moved] if self.levels == RSYNC_LEVELS else []),
        ]
        for _ in range(self.chance.randrange(6, 11)):
            self._move(self.chance.choice(possible))
        self.publish()  # whatever the last move left
        self._verify_all()

    def _move(self, move: Move) -> None:
        self.moves.append(move.__name__)
        if self.chance.random() < 0.5:
            self.changes.make(self.chance.choice([1, 5, 20]))
        move(self)
        assert outside_of(self.outside) == self.untouched, "something outside was touched"

    def found(self) -> list[Tree]:
        """What is published, or complete and only to be given its name, the newest first."""
        folder = self.backup.target / self.backup.label
        complete = [COMPLETE] if (folder / COMPLETE).is_dir() else []
        names = [*complete, *sorted(self.backup.names(), key=number_of)]
        return [read_tree(folder / name) for name in names]

    def run(self, prefix: list[str] | None = None, **options: str) -> Outcome:
        self.runs += 1
        return self.backup.run(prefix, **options)

    def publish(self) -> None:
        """A run of which nothing keeps it from being exact."""
        wanted = read_tree(self.backup.source)
        outcome = self.run(retain=str(KEPT))
        result = outcome.result
        assert (outcome.exit_code, result["outcome"]) == (0, "published"), outcome.stderr
        assert result["errors"] == [], result["errors"]
        assert result["number_of_files_failed"] == 0
        now = self.found()
        assert not (wrong := differences(wanted, now[0])), wrong
        assert read_tree(self.backup.source) == wanted, "the source was changed"
        self.snapshots = [wanted, *self.snapshots][:KEPT]
        assert now == self.snapshots, "an older snapshot is not what it was"
        assert self.backup.hidden() == []
        assert self.backup.verify(0).exit_code == 0, "the newest one differs from its list"

    def newest_but_for(self, outcome: Outcome, *tops: str) -> Tree:
        """The newest snapshot, which may differ from the source below ``tops`` only."""
        now = self.found()
        wrong = differences(others_of(read_tree(self.backup.source), tops), others_of(now[0], tops))
        assert not wrong, wrong
        assert now[1:] == self.snapshots, "an older snapshot is not what it was"
        named = outcome.result["outcome"] == "partial"
        assert named == bool(outcome.result["errors"]), outcome.result
        assert named == bool(outcome.result["number_of_files_failed"]), outcome.result
        self.snapshots = now
        return now[0]

    def interrupted(self, state: Tree) -> None:
        """After a run that was ended: the snapshots are as before, or one more, of ``state``."""
        now = self.found()
        assert now in (self.snapshots, [state, *self.snapshots]), "a snapshot is not what it was"
        self.snapshots = now

    def newest_or_older(self, state: Tree) -> None:
        """Each file of the newest snapshot is that of ``state``, or what it was before."""
        now = self.found()
        assert now[1:] == self.snapshots, "an older snapshot is not what it was"
        older = self.snapshots[0] if self.snapshots else {}
        new, old, kept = (without("inode", tree) for tree in (state, older, now[0]))
        for path, entry in kept.items():
            is_directory = entry.mode.startswith("d")
            assert is_directory or entry in (new.get(path), old.get(path)), path
        self.snapshots = now

    def _verify_all(self) -> None:
        for place in range(len(self.snapshots)):
            done = self.backup.verify(place)
            excused = self.damage and "list of digests" in done.result["message"]
            assert done.exit_code == 0 or excused, done.stderr


Move = Callable[[History], None]


def changed(history: History) -> None:
    history.changes.make(history.chance.choice([1, 5, 20]))
    history.publish()


def nothing(history: History) -> None:
    history.publish()


def exchanged(history: History) -> None:
    """Releases with equal sizes and times change places, in one of several ways."""
    source = history.backup.source
    for number, name in enumerate(("live", "next", "old", "was", "between")):
        subprocess.run(["rm", "-rf", source / name], check=True)
        if number < 2:
            release(source / name, f"{number}{history.chance.randrange(10)}")
    history.publish()
    history.chance.choice(EXCHANGES)(source)
    history.publish()


def long_paths(history: History) -> None:
    source, chance = history.backup.source, history.chance
    if chance.random() < 0.3:
        subprocess.run(["rm", "-rf", source / "deep"], check=True)
    with inside(source, "deep", *LEVELS[: chance.randrange(history.levels)]):
        name = f"file {chance.randrange(3)}"
        Path(name).write_text(f"{chance.randrange(100)}")
        with contextlib.suppress(FileExistsError):
            os.link(name, f"another name of {name}")
    history.publish()


def truncated(history: History) -> None:
    """One file is cut off by another process each time it is copied, one time to five."""
    path = history.backup.source / "log"
    times = history.chance.randrange(1, 6)
    path.write_bytes(history.chance.randbytes(200_000))
    history.publish()
    older = history.snapshots[0][b"log"]
    path.write_bytes(history.chance.randbytes(200_000))
    tries = history.backup.home / f"tries {history.runs}"
    body = f"""
list=$(printf '%s\\n' "$@" | sed -n 's/--files-from=//p')
[[ $list ]] && grep -qz '^./log$' "$list" || exec "$REAL" "$@"
"$REAL" "$@"; status=$?
echo once more >>"{tries}"
(($(wc -l <"{tries}") <= {times})) || exit $status
echo half >"${{@: -1}}/log"
exit 23
"""
    with mock.patch.dict(os.environ, slow_rsync(history.backup.home / "shim", body)):
        if times < 3:
            history.publish()
            return
        outcome = history.run(retain=str(ALL), max_failed_percent="100")
    assert (outcome.exit_code, outcome.result["outcome"]) == (0, "partial"), outcome.stderr
    assert history.newest_but_for(outcome, "log")[b"log"] == older
    assert any(error.startswith("'log'") for error in outcome.result["errors"])


def closed(history: History) -> None:
    """Files and directories that cannot be read are as they were, and what else there is, is."""
    history.publish()
    files = closed_ones(history.changes)
    older = without("inode", history.snapshots[0])
    history.changes.top.touch()
    outcome = history.run(UNPRIVILEGED, retain=str(ALL), max_failed_percent="100")
    assert outcome.exit_code == 0, outcome.stderr
    tops = [str(path.relative_to(history.backup.source)) for path in files]
    newest = without("inode", history.newest_but_for(outcome, *tops))
    source = without("inode", read_tree(history.backup.source))
    for path in newest.keys() | source.keys():
        assert newest.get(path) in (source.get(path), older.get(path)), path
    for path, mode in files.items():
        path.chmod(mode)


def attacked(history: History) -> None:
    """A second process exchanges a directory for a link that leads out, while the run goes."""
    source = history.backup.source
    eve, link = source / "eve", source / "link"
    for number in range(20):
        (eve / f"d{number}").mkdir(parents=True, exist_ok=True)
        (eve / f"d{number}" / "file").write_text(f"eve's {history.runs}")
    if not link.is_symlink():
        link.symlink_to(history.outside)
        os.lchown(link, 12345, 12345)
    before = history.found()
    with exchanging(eve, link):
        outcome = history.run(retain=str(ALL), max_failed_percent="100")
    published = outcome.result["outcome"] in ("published", "partial")
    assert published == (outcome.exit_code == 0), outcome.stderr
    if published:
        history.newest_but_for(outcome, "eve", "link", ".")
    else:
        assert history.found() == before
    search = ["grep", "-rlF", "of the instance", history.backup.target]
    found = subprocess.run(search, stdout=subprocess.PIPE)
    assert found.stdout == b"", "a file of the instance is in the backup"


def damaged(history: History) -> None:
    """Some of the small files beside the snapshots, each in one of several ways."""
    folder = history.backup.target / history.backup.label
    files = sorted(path for path in folder.glob(".daily.*") if path.is_file())
    history.damage = True
    for path in history.chance.sample(files, min(history.chance.randrange(1, 4), len(files))):
        kind = history.chance.choice([*DAMAGES])
        history.moves.append(f"{kind}: {path.name}")
        DAMAGES[kind](path)
    history.publish()


def moved(history: History) -> None:
    """The backup goes on elsewhere, as a copy in which all inodes are others."""
    backup = history.backup
    other = backup.home / f"backup {history.runs}"
    subprocess.run(["rsync", "-aH", f"{backup.target}/", f"{other}/"], check=True)
    subprocess.run(["rm", "-rf", backup.target], check=True)
    backup.target = other
    left = history.found()
    history.damage |= left != history.snapshots  # what rsync left without its time may be unknown
    history.snapshots = left
    history.publish()


def clock_jumped(history: History) -> None:
    """The last run was made by a clock that was days off; only the ctime tells of a change."""
    days = history.chance.choice([-400, -1, 1, 400])
    about = history.backup.about(history.backup.snapshot(0))
    if about.is_file():  # else it was damaged
        noted = json.loads(about.read_text())
        noted["run"]["started"] += days * DAY
        about.write_text(json.dumps(noted))
    history.changes.rewrite_alike()
    history.publish()


def hard_links(history: History) -> None:
    copies_and_twins(history.changes)
    history.changes.link()
    history.publish()


def removed_by_hand(history: History) -> None:
    number = history.chance.randrange(len(history.snapshots))
    subprocess.run(["rm", "-rf", path_of(history, number)], check=True)
    del history.snapshots[number]
    history.publish()


def renamed_by_hand(history: History) -> None:
    """One becomes the oldest."""
    number = history.chance.randrange(len(history.snapshots))
    between = history.backup.home / "between"
    path_of(history, number).rename(between)
    names = history.backup.names()
    last = max((number_of(name) for name in names), default=-1)
    between.rename(history.backup.snapshot(last + 1))
    history.snapshots.append(history.snapshots.pop(number))
    history.publish()


def number_of(name: str) -> int:
    return int(name.rpartition(".")[2])


def path_of(history: History, place: int) -> Path:
    """Of the snapshot at a place from the newest on: numbers may have gaps."""
    names = sorted(history.backup.names(), key=number_of)
    return history.backup.target / history.backup.label / names[place]


def killed(history: History) -> None:
    """SIGKILL to everything, once or twice, with changes by hand of what is hidden."""
    for _ in range(history.chance.randrange(1, 3)):
        history.changes.make(history.chance.choice([0, 3, 20]))
        state = read_tree(history.backup.source)
        history.runs += 1
        process = history.backup.start(retain=str(ALL))
        time.sleep(history.chance.uniform(0.05, 0.9))
        end_tree(process)
        process.communicate()
        history.interrupted(state)
        if history.chance.random() < 0.5:
            meddle(history.backup, history.changes)
    history.publish()


def stopped(history: History) -> None:
    """SIGTERM, as at the end of the window."""
    history.changes.make(20)
    state = read_tree(history.backup.source)
    history.runs += 1
    process = history.backup.start(retain=str(ALL))
    time.sleep(history.chance.uniform(0.3, 0.9))
    process.send_signal(signal.SIGTERM)
    outcome = history.backup.finish(process)
    if outcome.result.get("outcome") == "partial":  # a few had no time
        history.newest_or_older(state)
    else:
        before = len(history.snapshots)
        history.interrupted(state)
        is_one_more = len(history.snapshots) > before
        expected = "published" if is_one_more else "stopped"
        assert outcome.result.get("outcome", expected) == expected, outcome.stderr
    history.publish()


@contextlib.contextmanager
def home_of(seed: int) -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix=f"history-{seed}."))
    try:
        (home / "scratch").mkdir()  # runs that are killed leave their files behind
        with mock.patch.dict(os.environ, TMPDIR=str(home / "scratch")):
            yield home
    finally:
        subprocess.run(["rm", "-rf", home], check=True)  # too deep for Python


def play(seed: int) -> int:
    """Play the history of this seed; how many runs it had."""
    with home_of(seed) as home:
        history = History(home, seed)
        try:
            history.play()
        except BaseException:
            print(f"seed {seed}: {', '.join(history.moves)}", file=sys.stderr)
            raise
        return history.runs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="backups to make, at least")
    parser.add_argument("--seed", type=int, default=1, help="of the first history")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after them")
    options = parser.parse_args()
    runs = failed = 0
    begun = time.monotonic()
    for histories, seed in enumerate(itertools.count(options.seed), 1):
        if runs >= options.runs or time.monotonic() - begun > options.seconds:
            break
        try:
            runs += play(seed)
        except Exception:
            traceback.print_exc()
            failed += 1
        print(f"seed {seed}: {histories} histories, {runs} runs, {failed} wrong", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
