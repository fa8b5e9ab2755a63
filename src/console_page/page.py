"""The page, from what is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

from common.records import Position, Run, spoken
from common.statuses import INCOMPLETE, PARTIAL, RUNNING, SUCCESS
from engine.history import shown
from engine.history.members import Member, unambiguous

from console_page.cost import monthly
from console_page.html import Content, button, style, tag
from console_page.known import Known
from console_page.links import Restore
from console_page.settings import Settings
from console_page.style import CSS

RUNS = 10
NARROW = 1000  # pixels, below which a row is a block
KINDS = {SUCCESS: "good", RUNNING: "busy", PARTIAL: "fair", INCOMPLETE: "fair"}


@dataclass(frozen=True)
class Request:
    """What the dashboard asks. me: the ARN of this function, text: of the search box."""

    me: str
    dark: bool = False
    width: int = 1200
    find: bool = False
    text: str = ""
    page: int = 1

    @classmethod
    def of(cls, event: Mapping[str, Any], me: str) -> Request:
        context = _map(event.get("widgetContext"))
        forms = _map(_map(context.get("forms")).get("all"))
        width, page = context.get("width"), event.get("page")
        return cls(
            me,
            dark=context.get("theme") == "dark",
            width=width if isinstance(width, int) and width > 0 else 1200,
            find=event.get("do") == "find",
            # Of another page of the answer, the button has the text: the box may have changed.
            text=str(event.get("text") or forms.get("find") or "").strip(),
            page=page if isinstance(page, int) and 0 < page < 10**9 else 1,
        )

    @property
    def narrow(self) -> bool:
        return self.width < NARROW


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def rendered(
    request: Request,
    settings: Settings,
    known: Known,
    answer: Content,
    restore: Restore,
    now: datetime,
) -> Element:
    """answer: to what was searched for."""
    classes = ["efs-backup", *["dark"] * request.dark, *["narrow"] * request.narrow]
    return tag(
        "div",
        style(CSS),
        head(settings, known, now),
        [tag("p", problem, class_="problem") for problem in known.problems],
        search_box(request),
        answer,
        tag("h2", "Snapshots"),
        snapshots(request, settings, known, restore, now),
        tag("h2", "The last backups"),
        runs(request, known.runs[:RUNS], now),
        class_=" ".join(classes),
    )


def head(settings: Settings, known: Known, now: datetime) -> Element:
    """Is it fine, how fresh, how expensive; and the button."""
    last = known.runs[0] if known.runs else None
    newest = known.newest
    fresh = f"{spoken(now - newest)} old" if newest else "none yet"
    spent = cost(known, now)
    facts = [
        fact("Last backup", status(last) if last else "none yet"),
        fact("Newest complete snapshot", fresh),
        fact("Cost", spent[0]),
    ]
    start = button(
        "Back up now",
        settings.orchestrator,
        {"mode": "backup", "action": "start"},
        f"Start a backup of {settings.restore['SrcEFS']} now?",
        "popup",
        "btn-primary",
    )
    running: list[Element] = []
    if last and last.running:
        position = Position.of(last, now)
        bar = {"max": str(position.total), "value": str(position.done)} if position.total else {}
        running = [tag("p", tag("progress", **bar), " ", str(position), class_="running")]
    top = tag("div", facts, tag("div", start), class_="facts")
    return tag("div", top, tag("p", spent[1], class_="what-to-do"), running)


def fact(title: str, value: Content) -> Element:
    return tag("div", tag("span", title, class_="label"), tag("strong", value))


def cost(known: Known, now: datetime) -> tuple[str, str]:
    """In short, and of what that is the sum."""
    found = monthly(known.file_system, known.runs, now)
    storage = "unknown" if found.storage is None else f"${found.storage:,.2f}"
    at_least = "at least" if found.storage is None else "about"
    return (
        f"{at_least} ${found.total:,.2f} a month",
        f"Storage {storage}, instance ${found.instance:,.2f} for the backups of the last month,"
        f" key, alarm, metrics and dashboard ${found.rest:,.2f}: list prices of {found.region},"
        " without requests, tax and discounts.",
    )


def search_box(request: Request) -> Element:
    box = tag(
        "input",
        name="find",
        value=request.text[:1000],
        placeholder="report*.xlsx",
        title="A name, or a path with a slash; * and ? stand for anything but a slash, ** for all",
    )
    box.set("aria-label", "Name of a file")
    back = button("Close", request.me, {}) if request.find else []
    find = button("Find a file", request.me, {"do": "find"})
    return tag("div", box, " ", find, " ", back, class_="find")


def table(request: Request, headings: Sequence[str], rows: Sequence[Sequence[Content]]) -> Element:
    """With its headings above it, or where there is no room, beside each value."""
    if not request.narrow:
        top = tag("tr", [tag("th", heading) for heading in headings])
        body = [tag("tr", [tag("td", cell) for cell in row]) for row in rows]
        return tag("table", tag("thead", top), tag("tbody", body))
    blocks = [
        tag("div", [fact(h, cell) for h, cell in zip(headings, row, strict=True)], class_="block")
        for row in rows
    ]
    return tag("div", blocks)


SNAPSHOT_HEADINGS = ("Snapshot", "Made (UTC)", "Age", "Files", "Size", "Only here", "State", "")


def snapshots(
    request: Request, settings: Settings, known: Known, restore: Restore, now: datetime
) -> Element:
    if not known.members:
        return tag("p", "There is none yet, or the list of them cannot be read.")
    to_hold = known.to_hold
    rows: list[list[Content]] = [
        [
            tag("div", member.name, title=f"{member}. {member.why}", class_="words"),
            shown.minute(member),
            shown.age(now.timestamp() - member.made),
            shown.UNKNOWN if member.files is None else f"{member.files:,}",
            shown.amount(member.bytes),
            shown.amount(member.frees),
            state(member, to_hold),
            acts(member, known.members, settings, restore, to_hold),
        ]
        for member in known.members
    ]
    return table(request, SNAPSHOT_HEADINGS, rows)


def state(member: Member, to_hold: set[str]) -> list[Element]:
    word, kind = ("partial", "fair") if member.is_partial else ("complete", "good")
    marks = [tag("span", word, class_=f"mark {kind}")]
    if member.is_held:
        marks.append(tag("span", "held", class_="mark busy"))
    elif to_hold & {member.name, member.date}:
        marks.append(tag("span", "to be held", class_="mark busy"))
    return marks


def acts(
    member: Member,
    members: Sequence[Member],
    settings: Settings,
    restore: Restore,
    to_hold: set[str],
) -> list[Content]:
    found: list[Content] = [link("Restore", restore(member, "/", False), member)]
    name = unambiguous(member, members)
    # Two with one date cannot be told apart after the next backup.
    if not member.is_held and name == member.date and name not in to_hold:
        event = {"mode": "backup", "action": "hold", "snapshot": name, "name": hold_name(member)}
        question = f"Have the next backup hold {member} as {event['name']}, until it is released?"
        found += [" ", button("Hold", settings.orchestrator, event, question, "popup")]
    return found


def hold_name(member: Member) -> str:
    return "console-" + "".join(c for c in member.date if c.isalnum())


def link(title: str, url: str, member: Member) -> Content:
    if not url:
        return ""
    hint = f"Opens the page that creates a stack, which shows what restoring {member} would change"
    return tag("a", title, href=url, target="_blank", rel="noopener", title=hint)


RUN_HEADINGS = ("Started (UTC)", "Status", "Took", "Files", "Transferred", "Bytes", "Message")


def runs(request: Request, found: Sequence[Run], now: datetime) -> Element:
    if not found:
        return tag("p", "There was none yet.")
    return table(request, RUN_HEADINGS, [run_row(run, now) for run in found])


def run_row(run: Run, now: datetime) -> list[Content]:
    files, transferred, size = (
        run.number(name)
        for name in ("NumberOfFiles", "NumberOfFilesTransferred", "TotalTransferredFileSize")
    )
    duration = run.duration(now)
    said: list[Content] = [run.message]
    if run.failed:
        said.append(tag("div", str(run.attributes.get("WhatToDo", "")), class_="what-to-do"))
    return [
        f"{run.started:%Y-%m-%d %H:%M}" if run.started else "",
        status(run),
        spoken(duration) if duration else "",
        "" if files is None else f"{files:,}",
        "" if transferred is None else f"{transferred:,}",
        "" if size is None else shown.amount(size),
        tag("div", said, class_="words"),
    ]


def status(run: Run) -> Element:
    return tag("span", run.status, class_=f"mark {KINDS.get(run.status, 'bad')}")
