"""What the backups of a file system cost a month, beside AWS Backup and version 1.5.

    make cost FILES=1000000 GB=1024 CHURN=2 RETAIN=7
    make cost UPDATE=docs/cost.md

The model and its assumptions are explained in docs/cost.md, whose tables this program computes.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from admin.command import AdminError, Given, console
from admin.program import Command, Option

KIB, GIB = 2**10, 2**30
DAYS_PER_MONTH = 365 / 12
HOURS_PER_MONTH = 730
INTERVALS = {"daily": 1.0, "weekly": 7.0, "monthly": DAYS_PER_MONTH}
"""Days from one backup to the next."""

# How Amazon EFS meters (docs/cost.md names the pages).
INODE = 2 * KIB  # of each file and directory; always in Standard
BLOCK = 4 * KIB  # sizes are rounded up to it
SMALLEST_COLD_FILE = 128 * KIB  # in Infrequent Access and Archive
SMALLEST_REQUEST = 4 * KIB  # of metadata
SMALLEST_TRANSFER = 32 * KIB  # of data
LINKS = 177  # names that one file can have
ARCHIVE_DAYS = COLD_DAYS = 90  # shortest time that Archive, and AWS Backup's cold storage, bill
BURST_PER_GB_DAY = 50 * KIB * 86400 / GIB  # GB of burst credits a day for each GB in Standard

# Assumptions about file systems and runs.
FILES_PER_DIRECTORY = 20
ROOT_VOLUME_GB = 30
BOOT_SECONDS = 300  # starting the instance and installing the programs
COPY_BYTES_PER_SECOND = 100 * 2**20
SMALL_CHANGE = 0.10  # Lambda, DynamoDB, S3, SNS, EventBridge and log groups, a month
METRICS_OF_RUNS = 3

SOURCE = "Source (elastic)"


@dataclass(frozen=True)
class Engine:
    """Requests (NFS operations) of a run for each file at 2 % churn, and its time for each file.

    The sums and times are measured; how they divide into the three kinds is an estimate.
    """

    source_reads: float
    backup_reads: float
    backup_writes: float
    seconds: float


V15 = Engine(2.5, 4.2, 3.0, 1.35e-3)  # 9.7 requests: three passes over each tree
FPSYNC = Engine(2.0, 2.5, 2.0, 0.48e-3)  # 6.5 requests: fpsync with --link-dest
WALK = Engine(0.15, 0.35, 0.40, 0.10e-3)  # 0.9 requests: walk of three trees, Retain 7
CURRENT = WALK

Prices = Mapping[str, float]
PRICE_FILE = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True)
class Case:
    """A file system, and how it is backed up. A transition after `math.inf` days is none."""

    files: int
    gb: float
    churn: float = 0.02
    retain: int = 7
    interval: str = "daily"
    ia_days: float = 1
    archive_days: float = math.inf  # later than ia_days

    @property
    def days(self) -> float:
        return INTERVALS[self.interval]

    @property
    def runs(self) -> float:
        return DAYS_PER_MONTH / self.days

    @property
    def bytes_per_file(self) -> float:
        return self.gb * GIB / self.files

    @property
    def changed_files(self) -> float:
        """Files that a run copies."""
        return self.files * self.churn

    @property
    def changed_gb(self) -> float:
        return self.gb * self.churn

    def transferred_gb(self, files: float) -> float:
        """What copying files is metered as."""
        return files * max(self.bytes_per_file, SMALLEST_TRANSFER) / GIB


@dataclass(frozen=True)
class Stored:
    """GB in each storage class, as billed."""

    standard: float
    ia: float = 0
    archive: float = 0
    deleted_early: float = 0  # GB of Archive that are billed though deleted
    into_ia: float = 0  # GB that change class in a month
    into_archive: float = 0


@dataclass(frozen=True)
class Estimate:
    """Dollars by line: a month's, and what is paid once or for each restore."""

    monthly: Mapping[str, float]
    first: float
    restore: float
    remark: str = ""

    @property
    def total(self) -> float:
        return sum(self.monthly.values())

    @property
    def total_without_source(self) -> float:
        return self.total - self.monthly.get(SOURCE, 0)


def rounded_up(size: float, step: int) -> float:
    return math.ceil(size / step) * step


def metadata_gb(case: Case, files: float) -> float:
    """Inodes of the files, and all directories once for each snapshot."""
    directory = INODE + BLOCK
    directories = case.files / FILES_PER_DIRECTORY * case.retain
    return (files * INODE + directories * directory) / GIB


def stored(case: Case) -> Stored:
    """The steady state: one full copy, and older versions of what changes again and again.

    A link takes no space, but a file has at most LINKS of them: then it is copied again.
    """
    settled = (case.files - case.changed_files) * math.ceil(case.retain / LINKS)
    lifetime = case.retain * case.days  # of a version, in days
    ia_from, archive_from = min(case.ia_days, lifetime), min(case.archive_days, lifetime)
    versions_a_day = case.changed_files / case.days
    warm = versions_a_day * ia_from
    cool = versions_a_day * (archive_from - ia_from)
    cold = versions_a_day * (lifetime - archive_from)
    if math.isinf(case.ia_days):
        warm += settled
    elif math.isinf(case.archive_days):
        cool += settled
    else:
        cold += settled
    hot_size = rounded_up(case.bytes_per_file, BLOCK) / GIB
    cold_size = max(hot_size, SMALLEST_COLD_FILE / GIB)
    archived_days = lifetime - archive_from
    early_days = max(0.0, ARCHIVE_DAYS - archived_days) if archived_days else 0.0
    moved = case.changed_gb * case.runs
    return Stored(
        standard=warm * hot_size + metadata_gb(case, warm + cool + cold),
        ia=cool * cold_size,
        archive=cold * cold_size,
        deleted_early=versions_a_day * early_days * cold_size,
        into_ia=moved if lifetime > ia_from else 0,
        into_archive=moved if archived_days else 0,
    )


def hours(case: Case, engine: Engine, gb: float) -> float:
    """How long an instance runs to look at all files and to copy some."""
    seconds = BOOT_SECONDS + case.files * engine.seconds + gb * GIB / COPY_BYTES_PER_SECOND
    return seconds / 3600


def instance(prices: Prices, running: float) -> float:
    return running * (prices["instance"] + ROOT_VOLUME_GB * prices["volume"] / HOURS_PER_MONTH)


def requests_gb(case: Case, each: float) -> float:
    return case.files * each * SMALLEST_REQUEST / GIB


def from_source(prices: Prices, case: Case, engine: Engine, files: float) -> float:
    """What one run costs on a source in elastic mode."""
    read = case.transferred_gb(files) + requests_gb(case, engine.source_reads)
    return read * prices["efs_read"]


def elastic(prices: Prices, case: Case, engine: Engine = CURRENT) -> Estimate:
    """This project with a backup file system in elastic mode."""
    held = stored(case)

    def requests() -> float:
        reads = requests_gb(case, engine.backup_reads) * prices["efs_read"]
        return reads + requests_gb(case, engine.backup_writes) * prices["efs_write"]

    monthly = {
        "Standard": held.standard * prices["efs_standard"],
        "Infrequent Access": held.ia * prices["efs_ia_elastic"],
        "Archive": (held.archive + held.deleted_early) * prices["efs_archive"],
        "Transitions": held.into_ia * prices["efs_ia_tiering"]
        + held.into_archive * prices["efs_archive_tiering"],
        "Data written": case.runs * case.transferred_gb(case.changed_files) * prices["efs_write"],
        "Requests": case.runs * requests(),
        SOURCE: case.runs * from_source(prices, case, engine, case.changed_files),
        "Instance": case.runs * instance(prices, hours(case, engine, case.changed_gb)),
        "Monitoring and key": extras(prices, case),
    }
    tiering = prices["efs_ia_tiering"] if held.ia or held.archive else 0.0
    tiering += prices["efs_archive_tiering"] if held.archive else 0.0
    everything = case.transferred_gb(case.files)
    first = (
        everything * prices["efs_write"]
        + requests()
        + from_source(prices, case, engine, case.files)
        + case.gb * tiering
        + instance(prices, hours(case, engine, case.gb))
    )
    extra = prices["efs_archive_read"] if held.archive else prices["efs_ia_read"]
    restore = (
        everything * (prices["efs_read"] + prices["efs_write"])
        + case.gb * (extra if held.ia or held.archive else 0)
        + instance(prices, hours(case, engine, case.gb))
    )
    return Estimate(monthly, first, restore)


def bursting(prices: Prices, case: Case, engine: Engine = CURRENT) -> Estimate:
    """The same in bursting mode: no charges for throughput, dearer storage, and no Archive."""
    case = replace(case, archive_days=math.inf)
    held = stored(case)
    monthly = {
        "Standard": held.standard * prices["efs_standard"],
        "Infrequent Access": held.ia * prices["efs_ia_bursting"],
        "Transitions": held.into_ia * prices["efs_ia_tiering"],
        SOURCE: case.runs * from_source(prices, case, engine, case.changed_files),
        "Instance": case.runs * instance(prices, hours(case, engine, case.changed_gb)),
        "Monitoring and key": extras(prices, case),
    }
    copying = instance(prices, hours(case, engine, case.gb))
    first = from_source(prices, case, engine, case.files) + copying
    first += case.gb * prices["efs_ia_tiering"] if held.ia else 0
    restore = case.transferred_gb(case.files) * prices["efs_write"] + copying
    restore += case.gb * prices["efs_ia_read"] if held.ia else 0
    return Estimate(monthly, first, restore, credits_remark(case, engine, held))


def credits_remark(case: Case, engine: Engine, held: Stored) -> str:
    """Whether what is in Standard earns the credits that a run spends; reads count a third."""
    spent = case.transferred_gb(case.changed_files) + requests_gb(
        case, engine.backup_writes + engine.backup_reads / 3
    )
    earned = held.standard * BURST_PER_GB_DAY * case.days
    if spent <= earned:
        return ""
    return (
        f"Bursting: a run spends {spent:,.0f} GB of burst credits, but only {earned:,.0f} GB are "
        "earned from one run to the next. Backups would slow down to 1 MiB/s: use elastic mode."
    )


def extras(prices: Prices, case: Case) -> float:
    """A metric of runs is billed for the hours in which it gets a value."""
    metrics = 1 + METRICS_OF_RUNS * case.runs / HOURS_PER_MONTH
    return (
        prices["key"]
        + prices["dashboard"]
        + prices["alarm"]
        + metrics * prices["metric"]
        + SMALL_CHANGE
    )


def aws_backup(prices: Prices, case: Case, cold: bool = False) -> Estimate:
    """AWS Backup, in warm storage, or all in cold storage with its shortest retention."""
    retain = max(case.retain, math.ceil(COLD_DAYS / case.days)) if cold else case.retain
    gb = case.gb + (retain - 1) * case.changed_gb
    price = prices["backup_cold" if cold else "backup_warm"]
    restore = prices["backup_restore_cold" if cold else "backup_restore"]
    return Estimate({"Backup storage": gb * price}, 0, case.gb * restore)


def v15(prices: Prices, case: Case) -> Estimate:
    """Version 1.5: all in Standard, bursting, never a transition."""
    held = stored(replace(case, ia_days=math.inf, archive_days=math.inf))
    copying = instance(prices, hours(case, V15, case.gb))
    monthly = {
        "Standard": held.standard * prices["efs_standard"],
        SOURCE: case.runs * from_source(prices, case, V15, case.changed_files),
        "Instance": case.runs * instance(prices, hours(case, V15, case.changed_gb)),
        "Monitoring and key": prices["dashboard"] + SMALL_CHANGE,
    }
    first = from_source(prices, case, V15, case.files) + copying
    restore = case.transferred_gb(case.files) * prices["efs_write"] + copying
    return Estimate(monthly, first, restore)


# --- Tables -----------------------------------------------------------------------------------

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
    file = tomllib.loads(PRICE_FILE.read_text())
    rows = [["Price", "US dollars", "per", "Source"]]
    for price in file["prices"].values():
        rows.append([price["what"], f"{price['usd']:g}", price["unit"], price["source"]])
    return rows


def load_prices() -> Prices:
    file = tomllib.loads(PRICE_FILE.read_text())
    return {key: float(price["usd"]) for key, price in file["prices"].items()}


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


# --- Command line -----------------------------------------------------------------------------


def number(name: str, text: str, low: float, high: float, whole: bool = False) -> float:
    try:
        value = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        raise AdminError(f"{name}={text} is not a number") from None
    if not low <= value <= high or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise AdminError(f"{name}={text} must be {kind} from {low:,g} to {high:,g}")
    return value


def days(name: str, text: str) -> float:
    return math.inf if text.lower() == "none" else number(name, text, 1, 365, whole=True)


DEFAULTS = {"CHURN": "2", "RETAIN": "7", "INTERVAL": "daily", "IA": "1", "ARCHIVE": "none"}


def parsed_case(given: Given) -> Case:
    values = {**DEFAULTS, **{name: value for name, value in given.items() if value}}
    interval, ia, archive = values["INTERVAL"], values["IA"], values["ARCHIVE"]
    if interval not in INTERVALS:
        raise AdminError(f"INTERVAL={interval} must be daily, weekly or monthly")
    ia_days, archive_days = days("IA", ia), days("ARCHIVE", archive)
    if archive_days <= ia_days and not math.isinf(archive_days):
        raise AdminError(f"ARCHIVE={archive} must be later than IA, which is {ia}")
    files = given.required("FILES", "1000000 GB=1024 CHURN=2 RETAIN=7")
    return Case(
        files=int(number("FILES", files, 1, 1e12, whole=True)),
        gb=number("GB", given.required("GB", "1024"), 0.001, 1e9),
        churn=number("CHURN", values["CHURN"], 0, 100) / 100,
        retain=int(number("RETAIN", values["RETAIN"], 1, 99_999, whole=True)),
        interval=interval,
        ia_days=ia_days,
        archive_days=archive_days,
    )


def shown(case: Case, prices: Prices) -> Iterator[Table | str]:
    """What is printed for a case."""
    rows, remarks = comparison(prices, case)
    heading, *body = rows
    table = Table(
        title=f"{case.files:,} files, {case.gb:,g} GB, {100 * case.churn:g} % churn, "
        f"{case.retain} {case.interval} snapshots",
        title_justify="left",
        title_style="bold",
    )
    for n, cell in enumerate(heading):
        table.add_column(cell, justify="left" if n == 0 else "right", no_wrap=n == 0)
    for row in body:
        table.add_row(*(cell.strip("*") for cell in row), style="bold" if "**" in row[0] else "")
    yield table
    yield from remarks
    yield "An estimate, with the list prices in admin/prices.toml. docs/cost.md explains each line."


def main(given: Given) -> int:
    prices = load_prices()
    if document := given.get("UPDATE"):
        text = Path(document).read_text()
        Path(document).write_text(updated(text, document_tables(prices)))
        return 0
    for part in shown(parsed_case(given), prices):
        console().print(part)
    return 0


COMMAND = Command(
    "cost",
    main,
    "what backups cost a month",
    (
        Option("FILES", "1000000", "how many files"),
        Option("GB", "1024", "how much data"),
        Option("CHURN", "2", "percent of the files that change from one backup to the next"),
        Option("RETAIN", "7", "how many snapshots are kept"),
        Option("INTERVAL", "daily", "or weekly, monthly"),
        Option("IA", "1", "days until files are in Infrequent Access, or none"),
        Option("ARCHIVE", "none", "days until they are in Archive, or none"),
        Option("UPDATE", "docs/cost.md", "write the tables of a document anew instead"),
    ),
    stack=False,
)
