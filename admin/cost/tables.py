"""Tables of estimates, of which those in docs/cost.md are made."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace

from common import PRICES

from admin.cost.model import (
    FPSYNC,
    V15,
    WALK,
    Case,
    Prices,
    aws_backup,
    bursting,
    elastic,
    requests_gb,
    v15,
)

Rows = list[list[str]]


def comparison(prices: Prices, case: Case) -> tuple[Rows, list[str]]:
    """A table, its first row the heading, and what has to be said about it."""
    columns = {
        "Elastic": elastic(prices, case),
        "Bursting": bursting(prices, case),
        "AWS Backup": aws_backup(prices, case),
        "AWS Backup, cold": aws_backup(prices, case, cold=True),
        "v1.5": v15(prices, case),
    }
    estimates = list(columns.values())
    lines = dict.fromkeys(line for e in estimates for line, cost in e.monthly.items() if cost)
    rows = [["US dollars", *columns]]
    rows += [[line, *(dollars(e.monthly.get(line)) for e in estimates)] for line in lines]
    rows.append(["**Total a month**", *(f"**{dollars(e.total)}**" for e in estimates)])
    rows.append(
        ["Total, source not elastic", *(dollars(e.total_without_source) for e in estimates)]
    )
    rows.append(["First backup", *(dollars(e.first) for e in estimates)])
    rows.append(["One full restore", *(dollars(e.restore) for e in estimates)])
    return rows, [e.remark for e in estimates if e.remark]


def dollars(amount: float | None) -> str:
    return f"{amount:,.2f}" if amount else "-"


def engines(prices: Prices, cases: Mapping[str, Case]) -> Rows:
    """What the requests of each engine cost, on both file systems in elastic mode."""
    names = {"v1.5's passes": V15, "fpsync --link-dest": FPSYNC, "walk of three trees": WALK}
    rows = [["US dollars a month", "Requests for each file", *cases]]
    for name, engine in names.items():
        reads = engine.source_reads + engine.backup_reads
        price = reads * prices["efs_read"] + engine.backup_writes * prices["efs_write"]
        costs = [dollars(c.runs * requests_gb(c, price)) for c in cases.values()]
        rows.append([name, f"{reads + engine.backup_writes:.2f}", *costs])
    return rows


def price_list() -> Rows:
    file = tomllib.loads(PRICES.read_text())
    rows = [["Price", "US dollars", "per", "Source"]]
    for price in file["prices"].values():
        rows.append([price["what"], f"{price['usd']:g}", price["unit"], price["source"]])
    return rows


EXAMPLES = {
    "100 GB, 100,000 files": Case(files=100_000, gb=100),
    "1 TB, 1 million files": Case(files=1_000_000, gb=1024),
    "10 TB, 10 million files": Case(files=10_000_000, gb=10_240),
}
SMALL_FILES = Case(files=10_000_000, gb=100)


def document_tables(prices: Prices) -> dict[str, str]:
    """The tables of docs/cost.md by the name in their markers."""
    tables = {"prices": markdown(price_list()), "engines": markdown(engines(prices, EXAMPLES))}
    for name, case in {**EXAMPLES, "small files": SMALL_FILES}.items():
        rows, remarks = comparison(prices, case)
        tables[name] = "\n\n".join([markdown(rows), *remarks])
    one = EXAMPLES["1 TB, 1 million files"]
    tables["transitions"] = markdown(transitions(prices, one))
    return tables


def transitions(prices: Prices, case: Case) -> Rows:
    """The same file system with other lifecycle policies, in elastic mode."""
    never = math.inf
    choices = {
        "none": (never, never),
        "IA after 1 day": (1, never),
        "IA after 7 days": (7, never),
        "IA after 30 days": (30, never),
        "IA after 1 day, Archive after 90 days": (1, 90),
        "IA after 1 day, Archive after 7 days": (1, 7),
    }
    rows = [["Transitions", "US dollars a month", "First backup", "One full restore"]]
    for name, (ia, archive) in choices.items():
        found = elastic(prices, replace(case, ia_days=ia, archive_days=archive))
        rows.append([name, *map(dollars, (found.total, found.first, found.restore))])
    return rows


def markdown(rows: Rows) -> str:
    heading, *body = rows
    numeric = [all(re.fullmatch(r"[*\d,.-]+", row[n]) for row in body) for n in range(len(heading))]
    rule = ["---:" if number else "---" for number in numeric]
    return "\n".join("| " + " | ".join(row) + " |" for row in [heading, rule, *body])


def updated(text: str, tables: Mapping[str, str]) -> str:
    """A document with its tables put between their markers. KeyError: an unknown table."""
    marker = r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)"

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}{tables[match[2]]}\n{match[3]}"

    return re.sub(marker, fill, text, flags=re.DOTALL)
