"""What a restore did, or would do: as written to ``--result``, and in a few lines for people."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.command.execution import Result
from engine.command.text import size
from engine.copying.tally import Tally
from engine.target.compare import CHANGES
from engine.target.plan import VERBS, Plan

SHOWN = 10
DONE = {"created": "created", "replaced": "replaced", "removed": "removed", "unchanged": "kept"}
TO_DO = {
    "created": "to create",
    "replaced": "to replace",
    "removed": "to remove",
    "unchanged": "to keep",
}
VERB_OF = {verb: kind for kind, verb in VERBS.items()}


@dataclass
class RestoreResult(Result):
    """Files are everything that is not a directory. compared: by content. damaged: no longer in the
    snapshot what they were when they were copied. not_moved: left as they were, as the system
    refused to move them. repeat_command: of a dry run, to do what it says. excluded: what the
    snapshot was made without, and what was left alone for that. workers: what other machines have
    copied, by their names."""

    id: str = ""
    mode: str = ""
    snapshot: str = ""
    snapshot_name: str = ""
    snapshot_date: str = ""
    paths: list[str] = field(default_factory=list)
    target: str = ""
    number_of_files_created: int = 0
    number_of_files_replaced: int = 0
    number_of_files_removed: int = 0
    number_of_files_unchanged: int = 0
    number_of_files_compared: int = 0
    number_of_files_damaged: int = 0
    number_of_files_not_moved: int = 0
    size_created: int = 0
    size_replaced: int = 0
    size_removed: int = 0
    safety_directory: str = ""
    damaged_directory: str = ""
    undo_command: str = ""
    delete_command: str = ""
    repeat_command: str = ""
    excluded: list[str] = field(default_factory=list)
    workers: dict[str, dict[str, int]] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def take_workers(self, tally: Tally) -> None:
        self.workers = tally.workers
        self.warnings += tally.warnings.lines()

    def summary(self) -> list[str]:
        """The answer to what was done, or would be, and how to go back."""
        if self.outcome not in ("restored", "planned") and not self.undo_command:
            return [f"  {line}" for line in self.errors[:SHOWN]]
        is_plan = self.outcome == "planned"
        words = TO_DO if is_plan else DONE
        counts = [
            f"{getattr(self, f'number_of_files_{kind}'):,} {words[kind]}"
            f" ({size(getattr(self, f'size_{kind}'))})"
            for kind in CHANGES
        ]
        begin = "A dry run, nothing was changed" if is_plan else f"{self.outcome.capitalize()}"
        lines = [
            f"{begin}: {self.snapshot_name}, made {self.snapshot_date}, into {self.target}",
            f"  Files: {', '.join(counts)}, {self.number_of_files_unchanged:,} {words['unchanged']}"
            f" ({self.number_of_files_compared:,} of them compared by content)",
        ]
        for kind in self.examples if is_plan else ():
            lines += [f"  {kind} {path}" for path in self.examples[kind]]
            more = getattr(self, f"number_of_files_{VERB_OF[kind]}") - len(self.examples[kind])
            lines += [f"  {kind} … {more:,} more files"] if more > 0 and self.examples[kind] else []
        lines += [f"  {line}" for line in [*self.errors[:SHOWN], *self.warnings[:SHOWN]]]
        if self.excluded:
            lines.append(f"  Left alone, as the backup excludes it: {', '.join(self.excluded)}")
        if self.safety_directory:
            lines.append(f"  What was replaced or removed is in {self.safety_directory}")
        for title, command in (
            ("To put it back", self.undo_command),
            ("To delete what is kept for that", self.delete_command),
            ("To restore this", self.repeat_command),
        ):
            lines += [f"  {title}:  {command}"] if command else []
        return lines

    def add(self, plan: Plan) -> None:
        counts = plan.counts
        self.examples = plan.examples
        self.number_of_files_created = counts["created"]
        self.number_of_files_replaced = counts["replaced"]
        self.number_of_files_removed = counts["removed"]
        self.size_created = counts["created bytes"]
        self.size_replaced = counts["replaced bytes"]
        self.size_removed = counts["removed bytes"]
        self.number_of_files_unchanged = counts["unchanged"]
        self.number_of_files_compared = counts["compared"]
        self.errors += plan.skipped.lines()
