"""What a stack costs a month, as far as it can be seen from here."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from common import PRICES
from common.records import Run

GIB = 2**30
MONTH = timedelta(days=365 / 12)
HOURS_PER_MONTH = 730
ROOT_VOLUME_GB = 30
METRICS = 5


class Cost(NamedTuple):
    """In US dollars a month. storage: None if it is not known."""

    storage: float | None
    instance: float
    rest: float
    region: str

    @property
    def total(self) -> float:
        return (self.storage or 0) + self.instance + self.rest


@cache
def price_list() -> Mapping[str, Any]:
    return tomllib.loads(PRICES.read_text())


def monthly(file_system: Mapping[str, Any] | None, runs: Iterable[Run], now: datetime) -> Cost:
    """file_system: as EFS describes it. Of runs those of the last month count."""
    prices = {name: entry["usd"] for name, entry in price_list()["prices"].items()}
    hours = sum(
        duration.total_seconds() / 3600
        for run in runs
        if run.started and now - run.started < MONTH and (duration := run.duration(now))
    )
    an_hour = prices["instance"] + ROOT_VOLUME_GB * prices["volume"] / HOURS_PER_MONTH
    rest = prices["key"] + prices["dashboard"] + prices["alarm"] + METRICS * prices["metric"]
    return Cost(_storage(file_system, prices), hours * an_hour, rest, price_list()["region"])


def _storage(file_system: Mapping[str, Any] | None, prices: Mapping[str, float]) -> float | None:
    if not file_system:
        return None
    size, mode = file_system["SizeInBytes"], file_system.get("ThroughputMode")
    classes = {
        "ValueInStandard": prices["efs_standard"],
        "ValueInIA": prices["efs_ia_elastic" if mode == "elastic" else "efs_ia_bursting"],
        "ValueInArchive": prices["efs_archive"],
    }
    if "ValueInStandard" not in size:
        return float(size["Value"] / GIB * prices["efs_standard"])
    return float(sum(size.get(name, 0) / GIB * price for name, price in classes.items()))
