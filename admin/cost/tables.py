"""Tables of estimates, of which those in docs/cost.md are made."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from common import PRICES

from admin.cost.model import (
    FPSYNC,
    MOST_MACHINES,
    V15,
    WALK,
    Case,
    Estimate,
    Prices,
    Sharing,
    aws_backup,
    bursting,
    elastic,
    requests_gb,
    v15,
)
from admin.wording import value_of

Rows = list[list[str]]
USELESS_WORKERS = (
    f"More than {MOST_MACHINES - 1} workers gain nothing with the default quotas of EFS: they wait."
)


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
    remarks = [e.remark for e in estimates if e.remark]
    if case.workers:
        rows += with_workers(case, estimates)
        remarks += [USELESS_WORKERS] if 1 + case.workers > MOST_MACHINES else []
    return rows, remarks


def with_workers(case: Case, estimates: Sequence[Estimate]) -> Rows:
    """What workers change when everything is copied."""
    lines: dict[str, Callable[[Estimate, Sharing], str]] = {
        "Hours to copy all": lambda _, s: f"{s.alone:,.1f}",
        f"With {value_of('WORKERS', str(case.workers))}": lambda _, s: f"{s.hours:,.1f}",
        "First backup, Spot": lambda e, s: dollars(e.first + s.spot),
        "First backup, on demand": lambda e, s: dollars(e.first + s.on_demand),
        "One full restore, Spot": lambda e, s: dollars(e.restore + s.spot),
        "One full restore, on demand": lambda e, s: dollars(e.restore + s.on_demand),
    }
    return [
        [title, *(cell(e, e.sharing) if e.sharing else "-" for e in estimates)]
        for title, cell in lines.items()
    ]


def machines(prices: Prices, case: Case) -> Rows:
    """Everything is copied by one machine, and by more of them, in elastic mode."""
    rows = [["Workers", "Hours to copy all", "First backup, Spot", "on demand", "Restore, Spot"]]
    rows[0].append("on demand")
    for workers in (0, 1, 3, 7):
        found = elastic(prices, replace(case, workers=workers))
        shared = found.sharing
        assert shared
        costs = [
            once + more
            for once in (found.first, found.restore)
            for more in (shared.spot, shared.on_demand)
        ]
        rows.append([f"{workers}", f"{shared.hours:,.1f}", *map(dollars, costs)])
    return rows


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
    tables["machines"] = markdown(machines(prices, EXAMPLES["10 TB, 10 million files"]))
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
