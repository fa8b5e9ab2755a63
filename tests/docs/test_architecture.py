"""docs/architecture.md: what it says of where to add something is where the example is."""

import re
import subprocess
from pathlib import Path

import pytest

DOCUMENT = Path("docs/architecture.md")
NOT_MEANT = (":!tests", ":!docs/adr", ":!docs/performance", ":!CHANGELOG.md", f":!{DOCUMENT}")
ROW = re.compile(r"^\| (?:a|an) ([\w ]+) \| (`[^|]*`) \| (`[^|]*`) \|$", re.MULTILINE)
ROWS = ROW.findall(DOCUMENT.read_text())


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_what_the_page_promises_to_tell_is_there() -> None:
    assert [what for what, _, _ in ROWS] == [
        "parameter",
        "status",
        "metric",
        "restore mode",
        "command of the engine",
    ]


@pytest.mark.parametrize(("what", "example", "places"), ROWS)
def test_all_places_of_the_example_are_named(what: str, example: str, places: str) -> None:
    words = [part for word in quoted(example) for part in ("-e", word)]
    tracked = [
        "git",
        "grep",
        "--untracked",
        "--files-with-matches",
        "--word-regexp",
        "--fixed-strings",
    ]
    found = subprocess.run(
        [*tracked, *words, "--", *NOT_MEANT], capture_output=True, text=True, check=True
    )
    assert sorted(quoted(places)) == sorted(found.stdout.split())
