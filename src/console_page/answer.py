"""The answer to a search, as `make find` gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from xml.etree.ElementTree import Element

from common.words import plural
from engine.command.outcome import EngineError
from engine.command.text import shown as shown_path
from engine.command.text import size, spoken
from engine.history import search, shown
from engine.history.members import Member

from console_page.html import Content, button, tag
from console_page.in_bucket import InBucket
from console_page.links import Restore
from console_page.page import Request

RANGES = 5  # that are named of a version


def answer(
    request: Request,
    catalogs: InBucket,
    members: Sequence[Member],
    restore: Restore,
    pace: Callable[[], None],
) -> list[Element]:
    """pace: raises OutOfTime."""
    if not request.text:
        return [tag("p", "Type a name, like report*.xlsx, or a path with a slash, like /images/.")]
    try:
        question = search.Question([search.Pattern.glob(request.text)], request.page, pace=pace)
        found = search.search(members, catalogs, question)
    except EngineError as error:
        return [tag("p", f"{error}. To search all the same: ", in_full(request), class_="problem")]
    return [tag("h2", f"Found for {request.text}"), *answer_of(request, found, restore)]


def in_full(request: Request) -> Element:
    return tag("code", "make find")


def answer_of(request: Request, found: search.Answer, restore: Restore) -> Iterator[Element]:
    per_page = search.PER_PAGE
    match = "matches" if found.files == 1 else "match"
    at_least = "At least " if found.is_cut else ""
    words = [
        f"{at_least}{plural(found.files, 'file')} {match}, in {plural(found.versions, 'version')}.",
        *shown.searched(found),
    ]
    yield tag("p", " ".join(words))
    if found.is_cut:
        text = "This was cut short: there was no time to read all catalogs. The whole answer: "
        yield tag("p", text, in_full(request), class_="problem")
    for line in shown.lost_lines(found.lost):
        yield tag("p", line, class_="problem")
    for file in found.found:
        yield from file_of(file, restore)
    first, last = request.page > 1, request.page * per_page < found.files
    pages = [("Previous", -1)] * first + [("Next", 1)] * last
    yield tag(
        "p",
        shown.pages(found.files, request.page, per_page),
        " ",
        [
            [button(title, request.me, {"do": "find", "text": request.text, "page": n}), " "]
            for title, step in pages
            for n in [request.page + step]
        ],
    )


def file_of(file: search.File, restore: Restore) -> Iterator[Element]:
    yield tag("h3", "/" + shown_path(file.path))
    if file.gone:
        yield tag("div", f"gone since {shown.minute(file.gone)} ({file.gone.name})")
    for held in file.versions:
        version = held.version
        time = spoken(version.mtime_ns // 10**9).replace("T", " ").replace("Z", "")
        where = [f"{shown.days(each.members)}: {shown.names(each)}" for each in held.ranges]
        url = shown.restore_command(held.newest, file.path, restore)
        link: Content = (
            tag("a", "Restore", href=url, target="_blank", rel="noopener") if url else ""
        )
        more = "; …" if len(where) > RANGES else ""
        text = f"{size(version.size)}, of {time}, in {'; '.join(where[:RANGES])}{more} "
        yield tag("div", text, link)
