"""The report of an acceptance: a table for people, in a file that can be attached."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from admin.acceptance.found import Found, shown
from admin.acceptance.rows import Row
from admin.command import printable

HEADING = "| | row | expected | found | | proof |\n| --- | --- | --- | --- | --- | --- |"


def cell(text: str) -> str:
    return printable(text).replace("|", "\\|").strip()


def line(row: Row, found: Found) -> str:
    words = (row.letter, row.title, row.expected, found.text, shown(found), found.proof)
    return "| " + " | ".join(map(cell, words)) + " |"


def write(path: Path, name: str, region: str, rows: Iterable[tuple[Row, Found]]) -> None:
    """Anew after each row: whoever is interrupted has what was found until then."""
    lines = [line(row, found) for row, found in rows]
    text = (
        f"# Acceptance {name}\n\nIn {region}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.\n\n"
        + "\n".join([HEADING, *lines])
        + "\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
