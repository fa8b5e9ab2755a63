"""What the function answers, through a real parser of HTML."""

import json
import os
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from engine.history.search import OutOfTime

from console_page import handler
from console_page.settings import Settings, SettingsError
from orchestrator import events
from tests.console_page.conftest import (
    ENVIRONMENT,
    HOSTILE,
    ME,
    NOW,
    ORCHESTRATOR,
    PARAMETERS,
    TEMPLATE,
    World,
    filled,
    member,
    record,
)
from tests.templates.reading import BACKUP, RESTORE, load
from tools import build

# All that the page is made of.
TAGS = {"div", "style", "p", "h2", "h3", "span", "strong", "a", "cwdb-action", "input", "table"}
TAGS |= {"thead", "tbody", "tr", "th", "td", "progress", "code"}
ATTRIBUTES = {"class", "title", "href", "target", "rel", "name", "value", "placeholder", "max"}
ATTRIBUTES |= {"aria-label", "action", "confirmation", "display", "endpoint"}


class Parsed(HTMLParser):
    """Text without style sheets; links; and what each button calls, by its title."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.links: list[tuple[str, str]] = []
        self.buttons: list[tuple[str, dict[str, str | None], dict[str, Any]]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "input":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        _, attributes = self.elements[-1]
        if self._open[-1:] == ["cwdb-action"]:
            assert self.elements[-2][1]["class"] in ("btn", "btn btn-primary")
            self.buttons.append((self.title, attributes, json.loads(data)))
        elif self._open[-1:] != ["style"]:
            self.text += data
            if self._open[-1:] == ["a"]:
                self.title = data
                if attributes.get("href"):
                    self.links.append((data, str(attributes["href"])))


def parsed(world: World, event: dict[str, Any] | None = None, **more: Any) -> Parsed:
    html = world.page(event, **more)
    found = Parsed(html)
    for tag, attributes in found.elements:
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES
        assert re.match("https://[a-z0-9.-]+/", attributes.get("href") or "https://a/")
        assert attributes.get("endpoint", ME) in (ME, ORCHESTRATOR)
    assert all(c.isprintable() or c == "\n" for c in html)
    return found


def search(text: str, **more: Any) -> dict[str, Any]:
    return {"do": "find", "widgetContext": {"forms": {"all": {"find": text}}, **more}}


def test_it_tells_how_it_is(world: World) -> None:
    text = parsed(world).text
    assert "Unsuccessful" in text
    assert "Let NFS in." in text
    assert "1 d 9 h old" in text  # the newest success
    assert "held.before-migration" in text
    assert "partial" in text
    assert "9.0 GiB" in text  # what daily.3 alone holds
    assert "\\x1b" not in text  # of a message, blanks
    assert "<b>access denied</b>" in text


def test_what_it_costs_is_storage_by_class_and_the_time_of_the_instance(world: World) -> None:
    text = parsed(world).text
    assert "Storage $20.25," in text  # 10 GiB at 0.30 and 690 GiB at 0.025
    assert "instance $1.18 " in text  # ten times 41 minutes of c5.xlarge with its disk


def test_a_snapshot_is_restored_by_one_link_with_all_parameters_and_first_dry(world: World) -> None:
    links = [url for title, url in parsed(world).links if title == "Restore"]
    assert len(links) == len(world.members)
    place, _, fragment = links[0].partition("#")
    assert place == "https://eu-west-1.console.aws.amazon.com/cloudformation/home?region=eu-west-1"
    asked = {name: value for name, (value,) in parse_qs(urlsplit(fragment).query).items()}
    assert asked.pop("templateURL") == TEMPLATE
    assert re.fullmatch("[a-zA-Z][a-zA-Z0-9-]{0,127}", asked.pop("stackName"))
    given = {name.removeprefix("param_"): value for name, value in asked.items()}
    made = {"BackupDate": "2026-11-27T03:00:00Z", "RestoreSubDir": "/", "DryRun": "Yes"}
    assert given == {**PARAMETERS, **made, "RestoreMode": "Mirror"}
    known = load(RESTORE)["Parameters"]
    assert {n for n, p in known.items() if "Default" not in p} <= set(given) <= set(known)
    for name, value in given.items():
        assert re.search(known[name].get("AllowedPattern", ""), value), name


def test_the_template_gives_the_function_what_it_asks_for() -> None:
    function = load(BACKUP)["Resources"]["ConsolePage"]["Properties"]
    assert set(function["Environment"]["Variables"]) == set(ENVIRONMENT)


@pytest.mark.parametrize("name", sorted(set(ENVIRONMENT) - {"Email"}))
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({**ENVIRONMENT, name: ""})


def test_nobody_needs_an_address() -> None:
    assert "Email" not in Settings.from_env({**ENVIRONMENT, "Email": ""}).restore


def test_what_acts_is_the_orchestrator_after_a_confirmation(world: World) -> None:
    """The function itself only reads: so that who may look can start and hold nothing."""
    found = parsed(world)
    acting = [button for button in found.buttons if button[0] in ("Back up now", "Hold")]
    assert [title for title, _, _ in acting] == ["Back up now", *["Hold"] * 6]
    for _, action, event in acting:
        assert action["endpoint"] == ORCHESTRATOR
        assert action["confirmation"]
        asked = events.parse({**event, "widgetContext": {"dashboardName": "x"}}, "request")
        assert isinstance(asked, events.Start | events.Hold)
    assert acting[1][2]["snapshot"] == "2026-11-27T03:00:00Z"
    reading = [action["endpoint"] for title, action, _ in found.buttons if title == "Find a file"]
    assert reading == [ME]


def test_the_role_may_only_read() -> None:
    role = load(BACKUP)["Resources"]["ConsolePageRole"]["Properties"]
    allowed = {
        action
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in [statement["Action"]]
        for action in (action if isinstance(action, list) else [action])
    }
    assert allowed - {"logs:CreateLogStream", "logs:PutLogEvents"} == {
        *("dynamodb:GetItem", "dynamodb:Scan", "s3:GetObject", "s3:ListBucket"),
        "elasticfilesystem:DescribeFileSystems",
    }


def test_what_is_asked_for_is_shown_and_not_asked_again(world: World) -> None:
    request = {"Action": "hold", "Snapshot": world.members[0].date, "Name": "x"}
    world.items.append({"BackupId": "requests", "20261127T1": request})
    found = parsed(world)
    assert "to be held" in found.text
    assert len([title for title, _, _ in found.buttons if title == "Hold"]) == 5


def test_two_with_one_date_have_no_button_to_hold_them(world: World) -> None:
    world.members = [member(1, "daily.0"), member(1, "daily.1")]
    world.fill()
    assert [title for title, _, _ in parsed(world).buttons if title == "Hold"] == []


def test_a_running_backup_tells_how_far_it_is(world: World) -> None:
    progress = {"Phase": "copying", "Done": 200, "Total": 1000, "Unit": "files"}
    world.items.append(record(-1, "Running", Progress=progress))
    found = parsed(world)
    assert "copying, 200 of 1,000 files" in found.text
    (bar,) = (attributes for tag, attributes in found.elements if tag == "progress")
    assert (bar["value"], bar["max"]) == ("200", "1000")


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("text", ["*.xlsx", "*"])
def test_hostile_names_are_shown_and_do_nothing(world: World, text: str, width: int) -> None:
    found = parsed(world, search(text, width=width))
    assert f"{len(HOSTILE)} files match" in found.text
    assert "<script>window.hacked = 1</script>" in found.text
    assert "\\x1b[31mred\\x07\\n\\t.xlsx" in found.text
    assert "\\xff\\xfe not utf-8" in found.text
    assert "\\u202exslx" in found.text


@pytest.mark.parametrize(
    "text", ['"><script>alert(1)</script>', "'\"</style>", "\x1b[2J\n", "x" * 10_000, "[z-a]", "/"]
)
def test_a_hostile_question(world: World, text: str) -> None:
    assert (
        "Found for" in (found := parsed(world, search(text)).text) or "no set of letters" in found
    )


HOSTILE_TEXT = "</td></table><script>alert(1)</script>\x1b]0;\x07<cwdb-action>"


@pytest.mark.parametrize(
    "value", [HOSTILE_TEXT, 7, [HOSTILE_TEXT], {"Done": HOSTILE_TEXT}, None, True]
)
@pytest.mark.parametrize("name", sorted(set(record(0)) - {"BackupId"} | {"WhatToDo", "Progress"}))
def test_hostile_contents_of_a_record(world: World, name: str, value: Any) -> None:
    for status in ("Running", "Unsuccessful"):
        world.items = [record(0) | {"BackupStatus": status} | {name: value}]
        parsed(world)


def test_hostile_names_of_snapshots(world: World) -> None:
    world.members = [member(0, "held." + HOSTILE_TEXT, why=HOSTILE_TEXT)]
    world.fill()
    assert "<cwdb-action>" in parsed(world).text


@pytest.mark.parametrize("text", [None, 7, [], "x"])
def test_an_event_of_another_shape(world: World, text: Any) -> None:
    for event in (
        {"do": "find", "text": text, "page": text},
        {"widgetContext": text},
        {"widgetContext": {"forms": text, "width": text, "theme": text}},
    ):
        parsed(world, event)


def test_a_version_is_restored_with_its_path(world: World) -> None:
    found = parsed(world, search("plain*"))
    assert "1 file matches, in 2 versions." in found.text
    links = [parse_qs(urlsplit(url.partition("#")[2]).query) for _, url in found.links]
    paths = [link["param_RestoreSubDir"] for link in links]
    assert paths[:2] == [["/plain report.xlsx"]] * 2
    assert [link["param_BackupDate"][0][:10] for link in links[:2]] == ["2026-11-27", "2026-11-26"]


def test_what_the_restore_template_does_not_take_has_no_link(world: World) -> None:
    world.paths = [b"/".join([b"d" * 200] * 6) + b"/deep.txt"]
    world.fill()
    found = parsed(world, search("deep*"))
    assert "1 file matches" in found.text
    assert len([title for title, _ in found.links]) == len(world.members)


def test_more_than_a_page(world: World) -> None:
    world.paths = [f"{number:03}.txt".encode() for number in range(45)]
    world.fill()
    first = parsed(world, search("*.txt"))
    assert "Page 1 of 3" in first.text
    ((_, _, event),) = (button for button in first.buttons if button[0] == "Next")
    last = parsed(
        world, {**event, "page": 3, **{"widgetContext": {"forms": {"all": {"find": "y"}}}}}
    )
    assert "044.txt" in last.text or "043.txt" in last.text
    assert [title for title, _, _ in last.buttons if title in ("Next", "Previous")] == ["Previous"]


def test_an_answer_that_is_cut_says_so(world: World) -> None:
    world.paths = [f"{number:07}".encode() for number in range(60_000)]
    world.members = world.members[:1]
    world.fill()
    asked = iter(range(10**9))

    def pace() -> None:
        if next(asked) == 3:
            raise OutOfTime

    found = parsed(world, search("*"), pace=pace)
    count = int(re.search(r"At least ([0-9,]+) files match", found.text)[1].replace(",", ""))  # type: ignore[index]
    assert 0 < count < 60_000
    assert "cut short" in found.text
    assert "make find" in found.text


def test_catalogs_that_are_too_large_are_not_brought_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "MOST_BYTES", len(next(iter(world.objects.values()))) + 100)
    found = parsed(world, search("*.xlsx"))
    assert "too large" in found.text
    assert "make find" in found.text
    assert "daily.0" in found.text


@pytest.mark.parametrize(
    ("operation", "still"),
    [
        ("scan", "daily.0"),
        ("list_objects_v2", "The EFS was backed up successfully"),
        ("describe_file_systems", "at least $"),
    ],
)
def test_one_that_cannot_be_read_does_not_hide_the_others(
    world: World, operation: str, still: str
) -> None:
    world.refusing = {operation}
    found = parsed(world)
    assert f"no right to {operation}" in found.text
    assert still in found.text


def test_before_the_first_backup(world: World) -> None:
    world.items, world.members, world.objects = [], [], {}
    text = parsed(world).text
    assert "none yet" in text
    assert "Make one first" in text


def test_forty_snapshots_are_far_below_what_lambda_returns(tmp_path: Path, world: World) -> None:
    (tmp_path / "more").mkdir()
    many = filled(tmp_path / "more", 40)
    html = many.page(search("*"))
    assert len(html.encode()) < 6 * 2**20 / 10
    assert "daily.39" in html


def test_it_describes_itself() -> None:
    assert handler.lambda_handler({"describe": True}, None).startswith("## ")  # type: ignore[arg-type]


def test_what_is_released_runs_alone(tmp_path: Path) -> None:
    """With the standard library and boto3, as Lambda has it, and with nothing of this folder."""
    files = build.lambda_files(Path("src/console_page").resolve(), Path(".cache"))
    (tmp_path / "page.zip").write_bytes(build.zipped(files))
    with zipfile.ZipFile(tmp_path / "page.zip") as archive:
        archive.extractall(tmp_path / "task")
    code = (
        "from console_page.handler import lambda_handler as h; print(h({'describe': True}, None))"
    )
    packages = Path(yaml.__file__).parents[1]
    path = os.pathsep.join([str(tmp_path / "task"), str(packages)])
    done = subprocess.run(
        [sys.executable, "-P", "-s", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("## EFS Backup")


def test_time_is_counted_from_the_call() -> None:
    handler.pace_until(float("inf"))()
    with pytest.raises(OutOfTime):
        handler.pace_until(0)()
    assert NOW.tzinfo
