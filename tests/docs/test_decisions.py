"""docs/decisions.md is what core.decide says, of each event in each state."""

from pathlib import Path

from orchestrator.core import World, decide
from orchestrator.events import Check, Close, Event, Start, Stop, Terminated, Terminating
from orchestrator.record import Record, Step
from tests.orchestrator.test_core import FAILED, HOOKED, at, record, texts, world

PAGE = Path("docs/decisions.md")
BEGIN, END = "<!-- decisions -->\n", "<!-- end -->"
EVENTS: dict[str, Event] = {
    "start of b": Start("b"),
    "start of a, again": Start("a"),
    "stop of a": Stop("a"),
    "close of a": Close("a"),
    "check": Check(),
    "its instance terminates": Terminating("group", "i-1", "hook", "token"),
    "its instance is gone": Terminated("group", "i-1"),
}
UNDONE = {"a": frozenset({Step.NOTIFICATION, Step.EVENT})}
CALLED = {"InstanceId": "i-1", "BeforeBackup": "done"}
COPIES = record("a", **CALLED)
REPORTED = record("a", "Success", BackupStopTime="2026-03-01T02:30:00Z", **CALLED)
ENDED = Record({**REPORTED.attributes, "AfterBackup": "done"})
COPYING = world(COPIES, lock="a", desired=1, instances="i-1", newest="01:00")
STATES: dict[str, tuple[str, World]] = {
    "Nothing has run": ("02:00", world(newest="01:00")),
    "a is noted, and the function before it has not answered": (
        "02:01",
        world(record("a"), lock="a", newest="01:00"),
    ),
    "The function before a has failed": (
        "02:02",
        world(record("a", BeforeBackup=FAILED), lock="a", newest="01:00"),
    ),
    "The instance of a copies": ("03:00", COPYING),
    "The instance of a hangs after its window, and has asked for workers": (
        "05:30",
        world(COPIES, instances="i-1", newest="01:00", workers=2),
    ),
    "a is asked to stop": (
        "04:50",
        world(COPIES, lock="a", ending="i-1", newest="01:00"),
    ),
    "a has reported, and its instance is being ended": (
        "02:40",
        world(REPORTED, lock="a", ending="i-1", newest="01:00"),
    ),
    "The window of a is over, and it has not reported": ("05:00", COPYING),
    "a is over, and AWS refused to notify and tell": (
        "03:00",
        world(ENDED, newest="02:30", unfinished=UNDONE),
    ),
}


def sections() -> str:
    return "\n\n".join(section(state, *STATES[state]) for state in STATES)


def section(state: str, time: str, given: World) -> str:
    head = [f"### {state} ({time})", "", "| event | decision | actions |", "| --- | --- | --- |"]
    return "\n".join([*head, *(row(name, event, given, time) for name, event in EVENTS.items())])


def row(name: str, event: Event, given: World, time: str) -> str:
    decision = decide(event, given, HOOKED, at(time))
    return f"| {name} | {decision.reason} | {'; '.join(texts(decision)) or 'none'} |"


def test_the_page_is_what_the_orchestrator_decides() -> None:
    said = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert said == sections(), "put the second text into docs/decisions.md"
