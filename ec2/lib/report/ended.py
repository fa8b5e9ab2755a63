"""What is known of a run when it ends; how backups and restores say it alike."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from common.consoles import Console
from common.limits import count, document, fitted, from_bytes
from common.words import plural

from report.verdicts import Verdict

UNSHOWN = "It cannot be shown here; see the logs"


@dataclass(frozen=True)
class Ended:
    """All that is known of a run when it ends.

    result: what the engine wrote, {} if nothing. warnings: the engine's, and those of the script.
    cause, failure: why the script did not run the engine to its end, in a word and in a sentence.
    exit_status: of the engine.
    """

    result: dict[str, Any]
    warnings: list[str]
    cause: str
    failure: str
    exit_status: int

    verdicts: ClassVar[Mapping[str, Verdict]]

    @property
    def outcome(self) -> str:
        """How it ended: a key of the verdicts."""
        if self.failure:
            return "not started"
        if "outcome" not in self.result:
            return self.without_result
        ended = str(self.result["outcome"])
        return ended if ended in self.verdicts and self.verdicts[ended].status else "unknown"

    @property
    def without_result(self) -> str:
        return "died"

    @property
    def why(self) -> str:
        """The cause: another one, if it says more."""
        return self.cause if self.failure else str(self.result.get("cause", ""))

    @property
    def verdict(self) -> Verdict:
        by_outcome = self.verdicts[self.outcome]
        by_cause = self.verdicts.get(self.why, by_outcome)
        texts = (text or other for text, other in zip(by_cause, by_outcome))
        return Verdict(*(text.format(run=self) for text in texts))

    @property
    def reason(self) -> str:
        return self.failure or str(self.result.get("message", ""))

    @property
    def but(self) -> str:
        return f", with {plural(count(self.warnings), 'warning')}" if self.warnings else ""


def camel(name: str) -> str:
    """As records and notifications have what the engine calls number_of_files."""
    return "".join(map(str.capitalize, name.split("_")))


def by_workers(found: Any) -> dict[str, Any]:
    """What other machines have copied, as an engine's result says: how many there were, and a line
    for each. Nothing if there were none."""
    workers = found if isinstance(found, dict) else {}
    lines = [
        f"{name}: {plural(done['lists'], 'list')}, {plural(done['files'], 'file')}, "
        f"{plural(done['bytes'], 'byte')}"
        for name, done in sorted(workers.items())
        if isinstance(done, dict)
        and all(isinstance(done.get(what), int) for what in ("lists", "files", "bytes"))
    ]
    return {"NumberOfWorkers": len(lines), "Workers": lines} if lines else {}


def console_link(place: str, topic: str) -> str:
    """``s3://bucket/prefix/`` in the console, in the region and partition of the topic's ARN."""
    _, partition, _, region = topic.split(":")[:4]
    return Console(partition, region).objects(place)


def write(path: Path, found: dict[str, Any]) -> None:
    """A command that was cut, or in which a character is escaped, would be another command."""
    whole = {
        name: UNSHOWN if name.endswith("Command") and fitted(value) != value else value
        for name, value in found.items()
    }
    path.write_text(document(whole), encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """The map that a JSON file holds; an empty one if it is missing, cut off, or something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="backslashreplace"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def argument(word: str) -> str:
    """A word of the command line as text: it may hold the bytes of names, in any locale."""
    return from_bytes(os.fsencode(word))
