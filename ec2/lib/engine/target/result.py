"""What a restore did, or would do: as written to ``--result``, and in a few lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from common.words import plural

from engine.command.execution import Result
from engine.command.summary import Fact
from engine.command.text import size
from engine.copying.tally import Tally, of_workers
from engine.target.figures import Effect, Figures
from engine.target.plan import Plan


@dataclass
class RestoreResult(Figures, Result):
    """repeat_command: of a dry run, to do what it says. excluded: what the snapshot was made
    without, and what was left alone for that. workers: what other machines have copied, by their
    names. examples: paths, by the word for what becomes of them."""

    id: str = ""
    mode: str = ""
    snapshot: str = ""
    snapshot_name: str = ""
    snapshot_date: str = ""
    paths: list[str] = field(default_factory=list)
    target: str = ""
    safety_directory: str = ""
    damaged_directory: str = ""
    undo_command: str = ""
    delete_command: str = ""
    repeat_command: str = ""
    excluded: list[str] = field(default_factory=list)
    workers: dict[str, dict[str, int]] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    advice: ClassVar[dict[str, str]] = {
        "expired": "choose a newer snapshot",
        "verification": "look at what is kept there, or restore these files from another snapshot",
    }

    def take_workers(self, tally: Tally) -> None:
        self.workers = tally.workers
        self.warnings += tally.warnings.lines()

    def headline(self) -> str:
        what = f"{self.snapshot_name}, made {self.snapshot_date}, into {self.target}"
        if self.outcome == "planned":
            return f"A dry run, nothing was changed: it would restore {what}"
        if not self.undo_command and not self.delete_command:
            return f"{self.target} is as {self.snapshot_name}, made {self.snapshot_date}, already"
        return f"Restored {what} in {self.spent}"

    def facts(self) -> list[Fact]:
        """What was done, or would be, and how to go back."""
        is_plan = self.outcome == "planned"
        if self.outcome not in ("restored", "planned") and not self.undo_command:
            return [Fact("To delete what is left", command=self.delete_command)] * bool(
                self.delete_command
            )
        facts = [Fact("Files", self._counts(is_plan))]
        facts += of_workers(self.workers)
        if is_plan and any(self.examples.values()):
            facts.append(Fact("It would", items=[*self._examples()]))
        if self.excluded:
            what = ", ".join(self.excluded)
            facts.append(Fact("Left alone", f"{what}, as the backup excludes that"))
        if self.safety_directory:
            facts.append(Fact("Set aside", f"what was there before, in {self.safety_directory}"))
        for title, command in (
            ("To put it back", self.undo_command),
            (
                "To remove these files again"
                if self.mode == "NewDirectory"
                else "To delete what is kept for that",
                self.delete_command,
            ),
            ("To restore this", self.repeat_command),
        ):
            facts += [Fact(title, command=command)] if command else []
        return facts

    def _counts(self, is_plan: bool) -> str:
        said = "to {}" if is_plan else "{}d"
        counts = [
            f"{number:,} {said.format(effect.word)} ({size(getattr(self, effect.size))})"
            for effect in Effect
            if (number := getattr(self, effect.files))
        ]
        counts.append(f"{self.number_of_files_unchanged:,} {'to keep' if is_plan else 'kept'}")
        compared = self.number_of_files_compared
        return ", ".join(counts) + (f", {compared:,} compared by content" if compared else "")

    def _examples(self) -> Iterator[str]:
        for effect in Effect:
            word, paths = effect.word, self.examples[effect.word]
            yield from (f"{word} {path}" for path in paths)
            more = getattr(self, effect.files) - len(paths)
            if paths and more > 0:
                yield f"{word} {plural(more, 'more file')}; with --log-dir, {word}.txt names all"

    def take_plan(self, plan: Plan) -> None:
        self.add_all(plan.figures)
        self.examples = plan.examples
        self.errors += plan.skipped.lines()
