"""What a run says at its end: a sentence, and below it what is known, a few lines that read like an
answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.command.screen import Screen
from engine.command.text import counted

NAMED = 10  # warnings and errors
INDENT = 4


class Fact(NamedTuple):
    """items: below it, a line each. command: likewise, to be typed."""

    title: str
    text: str = ""
    items: Sequence[str] = ()
    command: str = ""


# What to do, by the cause or outcome of a run that did not end well. Some causes say it themselves.
ADVICE = {
    "files": "put right what is named above, and start it again",
    "partial": "put right what is named above; the next backup tries again",
    "space": "make room there, and start it again",
    "system": "put right what the message names, and start it again: it goes on with what is there",
    "memory": "use a larger machine, and start it again: it goes on with what is there",
    "walk": "see the logs; if memory was short, use a larger machine. Then start it again: it goes "
    "on with what is there",
    "unforeseen": "this is a mistake of the program: please report it with its logs. The snapshots "
    "that exist were not touched",
}


def problems(title: str, lines: Sequence[str], where: Path | None, named: int) -> Iterator[Fact]:
    """The first ones by name, how many there are, and where the rest is."""
    # What rsync said is in its log; the names are in what the engine says.
    messages, total = counted([line for line in lines if not line.startswith("rsync")] or lines)
    if not total:
        return
    items = messages[:named]
    if total > len(items):
        rest = f"… and {total - len(items):,} more"
        items.append(f"{rest}: see engine.log in the logs" if where else rest)
    yield Fact(title, f"{total:,}", items)


def is_long(lines: Sequence[str]) -> bool:
    """Whether not all can be named."""
    _, total = counted(lines)
    return total > NAMED


def write(screen: Screen, facts: Iterable[Fact]) -> None:
    facts = [*facts]
    room = max((len(fact.title) for fact in facts if fact.text), default=0)
    for fact in facts:
        start = f"  {fact.title:{room}}"
        if fact.text:
            screen.line(f"{start}  {fact.text}", len(start) + 2)
        else:
            screen.line(f"  {fact.title}:")
        if fact.command:
            screen.command(" " * INDENT + fact.command)
        for item in fact.items:
            screen.line(" " * INDENT + item, INDENT + 2)
