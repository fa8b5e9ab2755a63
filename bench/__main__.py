"""Measures backups and restores beside other ways to make them, and prints tables.

python -m bench                                 10,000 files, 0.2, 1 and 3 ms, all methods
python -m bench --files 100k --delay 1
python -m bench --restore                       restores instead, of each kind of damage
python -m bench --restore everything --delay 1
python -m bench --growth 10k 100k 1M            on a local file system, this project alone
python -m bench --wide 1M                       one directory, on a local file system
python -m bench --catalogs 1M                   questions to the catalogs of thirty snapshots
python -m bench --machines 1 2 4 --files 20k --delay 3 --jobs 1
                                                first backups that several machines copy
python -m bench --save docs/performance         writes the samples as JSON, and plots, there
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench import catalogs, growth, machines, nfs, report, restores, wide
from bench.methods import METHODS
from tests.nfs.rig import Rig

FACTORS = {"": 1, "k": 1_000, "M": 1_000_000}
PLACES = ("directory", "save")  # where something lies is no part of a result


def count(text: str) -> int:
    match = re.fullmatch(r"(\d+)([kM]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no count such as 500, 10k or 1M")
    return int(match[1]) * FACTORS[match[2]]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--files", type=count, nargs="*", metavar="N", help="sizes of the tree on NFS (10k)")
    add("--delay", type=float, nargs="+", default=[0.2, 1, 3], metavar="MS", help="round trips")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    add("--rounds", type=int, default=2, help="how often each is measured (2)")
    add("--changed", type=float, default=2, metavar="PERCENT", help="files that change (2)")
    add("--retain", type=int, default=3, help="snapshots that are kept (3)")
    add("--jobs", type=int, default=16, help="parallel jobs, where a method has them (16)")
    add("--growth", type=count, nargs="*", default=[], metavar="N", help="sizes on a local one")
    add("--restore-growth", type=count, nargs="*", default=[], metavar="N", help="likewise")
    add("--wide", type=count, nargs="*", default=[], metavar="N", help="files of one directory")
    add("--catalogs", type=count, nargs="*", default=[], metavar="N", help="files of a snapshot")
    add("--machines", type=int, nargs="+", metavar="N", help="how many copy a first backup")
    add("--directory", type=Path, help="where --growth makes its trees (the temporary directory)")
    add("--save", type=Path, default=Path(".cache/bench"), metavar="DIR", help="(.cache/bench)")
    add("--restore", nargs="*", choices=restores.CASES, metavar="CASE", help="all, or some of them")
    options = parser.parse_args()
    if options.restore == []:
        options.restore = list(restores.CASES)
    if options.files is None:
        is_local = options.growth or options.restore_growth or options.wide or options.catalogs
        options.files = [] if is_local else [count("10k")]
    return options


def machine() -> dict[str, object]:
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": models[0] if models else platform.machine(),
        "processors": os.cpu_count(),
        "memory_gb": round(memory / 1e9),
        "kernel": platform.release().partition("-")[0],
        "load_before": os.getloadavg()[0],
    }


def write(path: Path, results: dict[str, object]) -> None:
    path.write_text(json.dumps(results, indent=1, default=str) + "\n")


def save_restores(options: argparse.Namespace, about: dict[str, object]) -> None:
    """After each sample, as all of them take long."""
    samples: list[restores.Restored] = []
    kinds = [] if len(options.restore) == len(restores.CASES) else options.restore
    words = ["restore", *map(str, options.files), *kinds]
    path = options.save / ("-".join(words).replace(" ", "-").replace("%", "percent") + ".json")
    options.save.mkdir(parents=True, exist_ok=True)
    for files in options.files:
        with Rig(gigabytes=2 + files // 50_000) as rig:
            for sample in restores.measure(
                rig, files, options.delay, options.restore, options.rounds, options.jobs
            ):
                print(sample, file=sys.stderr, flush=True)
                samples.append(sample)
                write(path, {**about, "samples": [*map(asdict, samples)]})
    print(report.restore_table(samples))
    report.plot_restores(samples, path.with_suffix(".png"))


def save_machines(options: argparse.Namespace, about: dict[str, object]) -> None:
    samples: list[machines.Shared] = []
    options.save.mkdir(parents=True, exist_ok=True)
    for files in options.files:
        with Rig(gigabytes=2 + files // 50_000) as rig:
            for sample in machines.measure(
                rig, files, options.delay, options.machines, options.jobs
            ):
                print(sample, file=sys.stderr, flush=True)
                samples.append(sample)
                write(options.save / "machines.json", {**about, "samples": [*map(asdict, samples)]})
    print(report.machines_table(samples))


def main() -> int:
    options = parse()
    chosen = {name: value for name, value in vars(options).items() if name not in PLACES}
    about: dict[str, object] = {"machine": machine(), "options": chosen}
    if options.restore:
        save_restores(options, about)
        return 0
    if options.machines:
        save_machines(options, about)
        return 0
    samples: list[nfs.Sample] = []
    settings = nfs.Settings(
        options.jobs, options.retain, options.changed, options.rounds, options.methods
    )
    for files in options.files:
        with Rig(packages=("rsnapshot",), gigabytes=2 + files // 50_000) as rig:
            for sample in nfs.measure(rig, files, options.delay, settings):
                print(sample, file=sys.stderr, flush=True)
                samples.append(sample)
    grown: list[growth.Growth] = []
    for measure, sizes in (
        (growth.measure, options.growth),
        (growth.measure_restores, options.restore_growth),
        (wide.measure, options.wide),
        (catalogs.measure, options.catalogs),
    ):
        for files in sizes:
            for row in measure(files, options.directory):
                print(row, file=sys.stderr, flush=True)
                grown.append(row)

    options.save.mkdir(parents=True, exist_ok=True)
    if samples:
        name = "nfs-" + "-".join(str(files) for files in options.files)
        print(report.nfs_table(samples))
        report.plot_nfs(samples, options.save / f"{name}.png")
        write(options.save / f"{name}.json", {**about, "samples": [*map(asdict, samples)]})
    if grown:
        print(report.growth_table(grown))
        name = "wide" if options.wide else "growth" if options.growth else "growth-restore"
        name = "catalogs" if options.catalogs else name
        if not options.wide and not options.catalogs:
            report.plot_growth(grown, options.save / f"{name}.png")
        write(options.save / f"{name}.json", {**about, "samples": [*map(asdict, grown)]})
    print(f"saved in {options.save}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
