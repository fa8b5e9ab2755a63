"""The page in a real browser, on a dashboard that behaves as CloudWatch's.

What it needs, tools/setup.sh installs for `make test`; elsewhere than on Debian there is none.
"""

import os
import shutil
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.dashboard import Dashboard, server
from tests.console_page.conftest import ME, ORCHESTRATOR, World, filled

BROWSER = shutil.which("chromium-headless-shell")
IS_DEBIAN = "\nID=debian\n" in Path("/etc/os-release").read_text()
# Of pixels, on the dashboard; CloudWatch's grid gives a widget any of them.
WIDTHS = [400, 600, 1000, 1020, 1600]
SHOTS = os.environ.get("SCREENSHOTS")  # docs/images: writes the pictures of the documents

pytestmark = pytest.mark.skipif(not IS_DEBIAN, reason="Debian alone has this browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert BROWSER, "no browser is installed: run tools/setup.sh page"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def dashboard(browser: Any) -> Iterator[Any]:
    """dashboard(world, width, theme): a page that has been opened."""
    opened: list[Any] = []

    def show(world: World, width: int = 1100, theme: str = "light") -> Any:
        shown = Dashboard(world.call, ME)
        served = server(shown, socketserver.ThreadingTCPServer, ("127.0.0.1", 0))
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        page = browser.new_page(viewport={"width": width, "height": 900})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        opened.append((served, thread, page, errors))
        page.goto(f"http://127.0.0.1:{served.server_address[1]}{shown.path}?theme={theme}")
        page.wait_for_selector(".efs-backup")
        return page

    show.refused = False  # whether the browser is to complain
    yield show
    for served, thread, page, errors in opened:
        page.close()
        served.shutdown()
        served.server_close()
        thread.join()
        assert show.refused or errors == []


def find(page: Any, text: str) -> None:
    page.fill("input[name=find]", text)
    page.click("text=Find a file")
    page.wait_for_selector("h2:has-text('Found for')")


def does_not_fit(page: Any) -> list[str]:
    """What is wider than its place, or lies outside of the window."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('#widget *')].filter((e) => {
             const box = e.getBoundingClientRect();
             return box.width && (box.right > innerWidth + 1 || box.left < 0);
           }).map((e) => e.outerHTML.slice(0, 200))"""
    )
    return found


def broken(page: Any) -> list[str]:
    """Numbers and times that do not stand on one line."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('#widget td')]
             .filter((e) => /^[-0-9,.: ]+( [A-Za-z]+)?$/.test(e.innerText))
             .filter((e) => {
               const range = document.createRange();
               range.selectNodeContents(e);
               return range.getClientRects().length > 1;
             }).map((e) => e.innerText)"""
    )
    return found


def contrasts(page: Any) -> list[float]:
    """Of each text with its background, as WCAG has it."""
    found: list[float] = page.evaluate(
        """() => {
             const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
             const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
               .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
               .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
             const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
             const behind = (e) => {
               for (; e; e = e.parentElement) {
                 const color = rgb(getComputedStyle(e).backgroundColor);
                 if (color.length < 4 || color[3] > 0) return color;
               }
               return [255, 255, 255];
             };
             return [...document.querySelectorAll('.efs-backup *')]
               .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
               .filter((e) => e.getBoundingClientRect().width)
               .map((e) => ratio(light(rgb(getComputedStyle(e).color)), light(behind(e))));
           }"""
    )
    return found


@pytest.mark.parametrize("snapshots", [0, 7, 40])
def test_it_fits_at_every_width_in_both_modes(
    dashboard: Any, tmp_path: Path, world: World, snapshots: int
) -> None:
    (tmp_path / "its").mkdir()
    shown = filled(tmp_path / "its", snapshots)
    for width in WIDTHS:
        theme = "dark" if width in (600, 1020) else "light"
        page = dashboard(shown, width, theme)
        assert does_not_fit(page) == []
        assert broken(page) == []
        assert page.is_visible("text=Back up now")
        assert page.locator("text=Restore").count() == snapshots
        assert min(contrasts(page)) >= 4.5
        assert ("dark" in page.get_attribute(".efs-backup", "class").split()) == (theme == "dark")


@pytest.mark.parametrize("width", [400, 1100])
def test_hostile_names_are_text(dashboard: Any, world: World, width: int) -> None:
    page = dashboard(world, width)
    find(page, "*.xlsx")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#widget script, #widget img, #widget b").count() == 0
    assert "<script>window.hacked = 1</script>" in page.inner_text("#widget")
    assert does_not_fit(page) == []
    assert {endpoint for endpoint, _ in world.calls} == {ME}
    assert page.input_value("input[name=find]") == "*.xlsx"


def test_nothing_starts_without_a_confirmation(dashboard: Any, world: World) -> None:
    page = dashboard(world)
    page.click("text=Back up now")
    assert "Start a backup of fs-0a0a0a0a now?" in page.inner_text("#ask")
    page.click("#cancel")
    assert ORCHESTRATOR not in {endpoint for endpoint, _ in world.calls}
    page.click("text=Back up now")
    page.click("#confirm")
    page.wait_for_selector("#popup[open]")
    assert "start it is" in page.inner_text("#popup")
    endpoint, event = world.calls[-1]
    assert (endpoint, event["mode"], event["action"]) == (ORCHESTRATOR, "backup", "start")


def test_a_hold_is_asked_of_the_orchestrator(dashboard: Any, world: World) -> None:
    page = dashboard(world)
    page.click("a.btn:has-text('Hold') >> nth=0")
    assert "daily.0 (made 2026-11-27T03:00:00Z)" in page.inner_text("#ask")
    page.click("#confirm")
    page.wait_for_selector("#popup[open]")
    endpoint, event = world.calls[-1]
    assert (endpoint, event["action"]) == (ORCHESTRATOR, "hold")
    assert (event["snapshot"], event["name"]) == (
        "2026-11-27T03:00:00Z",
        "console-20261127T030000Z",
    )


def test_without_the_right_the_console_says_so(dashboard: Any, world: World) -> None:
    world.refusing = {ORCHESTRATOR}
    page = dashboard(world)
    page.click("text=Back up now")
    page.click("#confirm")
    page.wait_for_selector("#popup[open]")
    assert "AccessDenied" in page.inner_text("#popup")


def test_what_is_typed_stays_until_it_is_closed(dashboard: Any, world: World) -> None:
    page = dashboard(world)
    find(page, "plain*")
    assert "1 file matches" in page.inner_text("#widget")
    page.click("a.btn:has-text('Close')")
    page.wait_for_selector("h2:has-text('Found for')", state="detached")


def test_an_answer_that_is_not_ours_could_do_nothing(dashboard: Any, world: World) -> None:
    """The harness makes inert what it shows, as the console does: else these tests show nothing."""
    dashboard.refused = True
    world.page = lambda *_: (  # type: ignore[method-assign]
        "<div class=efs-backup><script>window.hacked = 1</script>"
        "<p onclick='window.hacked = 1'>x</p><iframe src='/'></iframe></div>"
    )
    page = dashboard(world)
    page.click("text=x")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#widget script, #widget iframe").count() == 0


if SHOTS:

    def test_pictures(dashboard: Any, world: World) -> None:
        world.items[0] |= {
            "Message": "The EFS backup was unsuccessful. fs-0a0a0a0a could not be mounted",
            "WhatToDo": "Let NFS from the stack's security group into that of the source.",
        }
        for name, width, theme in (
            ("light", 1200, "light"),
            ("dark", 1200, "dark"),
            ("narrow", 420, "light"),
        ):
            page = dashboard(world, width, theme)
            page.locator("#widget").screenshot(path=f"{SHOTS}/console-page-{name}.png")
        world.paths = [b"2026/q3/report.xlsx", b"2026/q4/report.xlsx", b"2026/q4/report final.xlsx"]
        world.fill()
        page = dashboard(world, 1200)
        find(page, "report*.xlsx")
        page.locator("#widget").screenshot(path=f"{SHOTS}/console-page-find.png")
