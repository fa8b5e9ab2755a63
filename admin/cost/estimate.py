"""What backups cost a month: make cost FILES=1000000 GB=1024 CHURN=2 RETAIN=7

    make cost UPDATE=docs/cost.md

The model is explained in docs/cost.md, whose tables this program computes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table
from rich.text import Text

from admin.command import AdminError, Given, console
from admin.cost.model import INTERVALS, Case, Prices, load_prices, price_region
from admin.cost.tables import Rows, comparison, document_tables, updated
from admin.wording import name_of, value_of
from tools import build


def number(name: str, text: str, low: float, high: float, whole: bool = False) -> float:
    """Commas may only group thousands: to who means 1.5 by 1,5, it would be 15."""
    is_grouped = re.fullmatch(r"[0-9]{1,3}([,_][0-9]{3})+(\.[0-9]+)?", text, re.ASCII)
    try:
        value = float(text.replace(",", "") if is_grouped else text)
    except ValueError:
        raise AdminError(f"{value_of(name, text)} is not a number") from None
    if not low <= value <= high or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise AdminError(f"{value_of(name, text)} must be {kind} from {low:,g} to {high:,g}")
    return value


def days(name: str, text: str) -> float:
    return math.inf if text.lower() == "none" else number(name, text, 1, 365, whole=True)


FILE = "ec2/lib/common/prices.toml"
WIDTH = 80
MOST_WORKERS = 32
DEFAULTS = {
    "CHURN": "2",
    "RETAIN": "7",
    "INTERVAL": "daily",
    "IA": "1",
    "ARCHIVE": "none",
    "WORKERS": "0",
}


def parsed_case(given: Given) -> Case:
    values = {**DEFAULTS, **{name: value for name, value in given.items() if value}}
    interval, ia, archive = values["INTERVAL"], values["IA"], values["ARCHIVE"]
    if interval not in INTERVALS:
        raise AdminError(f"{value_of('INTERVAL', interval)} must be daily, weekly or monthly")
    ia_days, archive_days = days("IA", ia), days("ARCHIVE", archive)
    if archive_days <= ia_days and not math.isinf(archive_days):
        raise AdminError(
            f"{value_of('ARCHIVE', archive)} must be later than {name_of('IA')}, which is {ia}"
        )
    files = given.required("FILES", f"1000000 {value_of('GB', '1024')}")
    return Case(
        files=int(number("FILES", files, 1, 1e12, whole=True)),
        gb=number("GB", given.required("GB", "1024"), 0.001, 1e9),
        churn=number("CHURN", values["CHURN"], 0, 100) / 100,
        retain=int(number("RETAIN", values["RETAIN"], 1, 99_999, whole=True)),
        interval=interval,
        ia_days=ia_days,
        archive_days=archive_days,
        workers=int(number("WORKERS", values["WORKERS"], 0, MOST_WORKERS, whole=True)),
    )


def shown(case: Case, prices: Prices, width: int) -> Iterator[Table | Text | str]:
    """What is printed for a case."""
    rows, remarks = comparison(prices, case)
    yield Text(
        f"{case.files:,} files, {case.gb:,g} GB, {100 * case.churn:g} % churn, "
        f"{case.retain} {case.interval} snapshots",
        style="bold",
    )
    for numbers in beside(rows, width):
        yield table_of([[row[0], *(row[n] for n in numbers)] for row in rows])
    yield from remarks
    region = price_region()
    # A program that was installed has no documents beside it.
    explained = " docs/cost.md explains it." if (build.ROOT / "docs/cost.md").exists() else ""
    yield f"An estimate, with list prices of {region} ({FILE}).{explained}"


def beside(rows: Rows, width: int) -> Iterator[list[int]]:
    """The columns of each table, of which there is one more where the next would be too wide. The
    words of the first column may give way: a part of an amount would be another amount."""
    first, *others = (
        3 + max(len(word) for cell in column for word in cell.strip("*").split(" "))
        for column in zip(*rows, strict=True)
    )
    numbers: list[int] = []
    for n in range(1, 1 + len(others)):
        if numbers and 1 + first + sum(others[each - 1] for each in [*numbers, n]) > width:
            yield numbers
            numbers = []
        numbers.append(n)
    yield numbers


def table_of(rows: Rows) -> Table:
    heading, *body = rows
    table = Table(heading[0])
    for cell in heading[1:]:
        table.add_column(cell.replace(" ", "\n"), justify="right", no_wrap=True)
    for row in body:
        table.add_row(*(cell.strip("*") for cell in row), style="bold" if "**" in row[0] else "")
    return table


def main(given: Given) -> int:
    region = price_region()
    if given.get("REGION", region) != region:
        raise AdminError(
            f"Only prices of {region} are known. To compute with those of another region, change"
            f" them in {FILE}"
        )
    prices = load_prices()
    if document := given.get("UPDATE"):
        text = Path(document).read_text()
        Path(document).write_text(updated(text, document_tables(prices)))
        return 0
    out = console(WIDTH)
    for part in shown(parsed_case(given), prices, out.width):
        out.print(part)
    return 0
