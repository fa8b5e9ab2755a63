"""What a backup run did, as it is written to ``--result``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from common.statuses import not_copied
from common.words import plural

from engine.command.execution import Result
from engine.command.outcome import Refused
from engine.command.summary import NAMED, Fact
from engine.command.text import Messages, size
from engine.copying.tally import Tally, of_workers
from engine.snapshots.retention import Fate
from engine.stage.figures import Figures
from engine.stage.filling import Filling
from engine.stage.judging import Change
from engine.tree.excluding import counter

PARTIAL = "partial"


@dataclass
class BackupResult(Figures, Result):
    """retention: which snapshots were promoted or have expired, and why. snapshots: all that there
    are, and why they are kept. held: the one before, as so many files were changed or removed;
    mass_change: how many, and some of them. workers: what other machines have copied, by their
    names. requests: what became of what was asked for, by identifier. restore_test_age: in how many
    seconds each file was tested.
    """

    snapshot: str = ""
    restore_test_age: int | None = None
    not_restorable: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)
    retention: list[str] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    held: str = ""
    mass_change: list[str] = field(default_factory=list)
    workers: dict[str, dict[str, int]] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)

    advice: ClassVar[dict[str, str]] = {
        "verification": "look at these files in the source: if they are right, the next backup "
        "copies them anew; if not, restore them from an older snapshot",
    }

    def headline(self) -> str:
        files = f"{plural(self.number_of_files, 'file')}, {size(self.total_file_size)}"
        made = f"Made {self.snapshot.rpartition('/')[2]} in {self.spent}: {files}"
        return f"{made}; {self._not_copied('other file')}" if self.number_of_files_failed else made

    def _not_copied(self, what: str = "file") -> str:
        return not_copied(self.number_of_files_failed, self.number_of_directories_failed, what)

    def facts(self) -> list[Fact]:
        if not self.number_of_files_transferred and not self.snapshot:
            return [Fact("Asked for", "", list(self.requests.values()))] if self.requests else []
        copied = plural(self.number_of_files_transferred, "file")
        facts = [
            Fact("Snapshot", self.snapshot or "none; the next backup goes on with what was copied"),
            Fact("Changed", self._changed() if self.snapshot else ""),
            Fact("Copied", f"{copied}, {size(self.total_transferred_file_size)}"),
            Fact("Excluded", counted(self.number_of_files_excluded, self.excluded_file_size)),
            Fact("Read back", self._read_back() if "read back" in self.phases else ""),
            Fact("Tested", self._tested() if "restore test" in self.phases else ""),
            Fact("Expired", "; ".join(self._expired())),
            Fact("Kept", plural(len(self.snapshots), "snapshot") if self.snapshots else ""),
        ]
        lists = {"Promoted": self._promoted(), "Asked for": list(self.requests.values())}
        facts = [*(fact for fact in facts if fact.text), *of_workers(self.workers)]
        facts += [Fact(title, f"{len(each)}", each) for title, each in lists.items() if each]
        if self.not_restorable:
            failed = f"{self.number_of_files_test_failed:,}"
            facts.append(Fact("Not restorable", failed, self.not_restorable[:NAMED]))
        return facts

    def _changed(self) -> str:
        parts = [
            f"{number:,} {word_of(change)} ({size(getattr(self, change.size))})"
            for change in Change
            if (number := getattr(self, change.files))
        ]
        return ", ".join(parts) or "nothing"

    def _read_back(self) -> str:
        return (
            f"{self.number_of_files_verified:,} as in the source, "
            f"{self.number_of_files_mismatched:,} not, "
            f"{self.number_of_files_changed_since:,} changed since"
        )

    def _tested(self) -> str:
        amount = size(self.test_restored_file_size)
        restored = f"{self.number_of_files_test_restored:,} restored ({amount})"
        return f"{restored}, {self.number_of_files_test_failed:,} could not be"

    def _expired(self) -> list[str]:
        """Each with the reason."""
        reasons = dict(
            line.split(" expires: ", 1) for line in self.retention if " expires: " in line
        )
        return [f"{name}, {reasons[name]}" if name in reasons else name for name in self.expired]

    def _promoted(self) -> list[str]:
        return [line for line in self.retention if " expires: " not in line]

    def take(self, filling: Filling, tally: Tally) -> None:
        self.add_all(filling.figures)
        self.number_of_files_transferred = filling.copied
        self.total_transferred_file_size = filling.copied_bytes
        self.number_of_files_vanished = filling.vanished.total
        self.workers = tally.workers
        self.warnings += filling.warnings.lines() + filling.vanished.lines()
        self.warnings += tally.warnings.lines()
        self.errors += filling.errors.lines() + tally.errors.lines()

    def take_fates(self, fates: Sequence[Fate]) -> None:
        self.expired = [fate.name for fate in fates if not fate.becomes][::-1]
        of_interest = (fate for fate in fates if not fate.is_same_interval)
        self.retention = [str(fate) for fate in of_interest]

    def take_failures(self, filling: Filling) -> None:
        """The snapshot is published without the newest version of some files."""
        if filling.lasting:
            self.outcome = PARTIAL
            self.message = self._not_copied()
            self.errors += [*filling.lasting.lines(), *filling.messages]

    def take_trial(self, figures: Figures, failures: Messages, age: int) -> None:
        self.add_all(figures)
        self.restore_test_age = age
        if failed := self.number_of_files_test_failed:
            self.warn(f"{plural(failed, 'file')} of the snapshots could not be restored for a test")
            self.not_restorable = [self.warnings[-1], *failures.lines()]

    def take_excluded(self, patterns: Sequence[str], filling: Filling) -> None:
        """Raises :class:`Refused` if nothing is left."""
        if self.number_of_files_excluded and not self.number_of_files:
            raise Refused("every file is excluded, so nothing was published; change the patterns")
        for number, pattern in enumerate(patterns):
            if not filling.excluded_by[counter(number)]:
                self.warn(f"the pattern {pattern!r} excluded nothing")


def counted(files: int, amount: int) -> str:
    return f"{files:,} ({size(amount)})" if files else ""


def word_of(change: Change) -> str:
    """For people."""
    return change.files[len("number_of_files_") :].replace("_", " ")
