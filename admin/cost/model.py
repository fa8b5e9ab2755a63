"""The model, and its assumptions, which docs/cost.md explains. Pure, but for the list of prices."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from common import PRICES

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
COPY_BYTES_PER_SECOND = 100 * 2**20  # by one machine
MOST_MACHINES = 4  # that an elastic file system with default quotas keeps busy; a bursting one, 1
IDLE_SECONDS = 300  # until a worker that has nothing to do ends itself
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
    workers: int = 0  # machines that copy, besides the run's own

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
class Sharing:
    """What workers change when everything is copied: the hours that it takes, without and with
    them, and the dollars that this costs more, or less."""

    alone: float
    hours: float
    spot: float
    on_demand: float


@dataclass(frozen=True)
class Estimate:
    """Dollars by line: a month's, and what is paid once or for each restore."""

    monthly: Mapping[str, float]
    first: float
    restore: float
    remark: str = ""
    sharing: Sharing | None = None

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


def hours(case: Case, engine: Engine, gb: float, machines: int = 1) -> float:
    """How long an instance runs to look at all files and to copy some."""
    copying = gb * GIB / COPY_BYTES_PER_SECOND / machines
    return (BOOT_SECONDS + case.files * engine.seconds + copying) / 3600


def instance(prices: Prices, running: float, kind: str = "instance") -> float:
    return running * (prices[kind] + ROOT_VOLUME_GB * prices["volume"] / HOURS_PER_MONTH)


def sharing(prices: Prices, case: Case, engine: Engine, most: int) -> Sharing:
    """All is copied by the run and its workers, of which ``most`` machines have something to do."""
    alone = hours(case, engine, case.gb)
    together = hours(case, engine, case.gb, min(1 + case.workers, most))
    run = instance(prices, together) - instance(prices, alone)
    worker = together + IDLE_SECONDS / 3600
    kinds = ("spot", "instance")
    more = (run + case.workers * instance(prices, worker, kind) for kind in kinds)
    return Sharing(alone, together, *more)


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
    return Estimate(monthly, first, restore, sharing=sharing(prices, case, engine, MOST_MACHINES))


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
    remark = credits_remark(case, engine, held)
    return Estimate(monthly, first, restore, remark, sharing(prices, case, engine, most=1))


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


def price_region() -> str:
    return str(tomllib.loads(PRICES.read_text())["region"])


def load_prices() -> Prices:
    file = tomllib.loads(PRICES.read_text())
    return {key: float(price["usd"]) for key, price in file["prices"].items()}
