"""Tables and plots of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from bench.growth import Growth
from bench.machines import Shared
from bench.methods import METHODS
from bench.nfs import Sample
from bench.restores import METHODS as RESTORING
from bench.restores import Restored

OURS = "this project"
Measured = Sample | Restored


def ordered(values: Iterable[float]) -> list[float]:
    return sorted(set(values))


def middle(
    samples: Sequence[Measured], value: Callable[[Measured], float], **where: object
) -> float:
    """The median of the samples whose fields are as in ``where``; 0 if there is none."""
    chosen = [
        value(sample)
        for sample in samples
        if all(getattr(sample, name) == wanted for name, wanted in where.items())
    ]
    return median(chosen) if chosen else 0.0


def seconds(sample: Measured) -> float:
    return sample.seconds


def calls_per_file(sample: Measured) -> float:
    return sample.calls / sample.files


def nfs_table(samples: list[Sample]) -> str:
    lines = ["| files | round trip | method | seconds | times ours | NFS calls per file |"]
    lines.append("| ---: | ---: | --- | ---: | ---: | ---: |")
    methods = [method for method in METHODS if any(s.method == method for s in samples)]
    for files in ordered(sample.files for sample in samples):
        for delay_ms in ordered(s.delay_ms for s in samples if s.files == files):
            ours = middle(samples, seconds, files=files, delay_ms=delay_ms, method=OURS)
            for method in methods:
                where = {"files": files, "delay_ms": delay_ms, "method": method}
                took = middle(samples, seconds, **where)
                ratio = f"{took / ours:.1f}" if ours else ""
                lines.append(
                    f"| {files:,} | {delay_ms:g} ms | {method} | {took:.1f} | {ratio} "
                    f"| {middle(samples, calls_per_file, **where):.2f} |"
                )
    return "\n".join(lines)


def restore_table(samples: list[Restored]) -> str:
    lines = ["| case | files | round trip | method | seconds | times ours | NFS calls per file |"]
    lines.append("| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for case, files, delay_ms in dict.fromkeys((s.case, s.files, s.delay_ms) for s in samples):
        where = {"case": case, "files": files, "delay_ms": delay_ms}
        ours = middle(samples, seconds, **where, method=OURS)
        for method in RESTORING:
            took = middle(samples, seconds, **where, method=method)
            if took:
                calls = middle(samples, calls_per_file, **where, method=method)
                lines.append(
                    f"| {case} | {files:,} | {delay_ms:g} ms | {method} | {took:.1f} "
                    f"| {took / ours if ours else 0:.1f} | {calls:.2f} |"
                )
    return "\n".join(lines)


def growth_table(grown: list[Growth]) -> str:
    lines = ["| files | what | seconds | CPU seconds | largest process |"]
    lines.append("| ---: | --- | ---: | ---: | ---: |")
    for row in grown:
        lines.append(
            f"| {row.files:,} | {row.what} | {row.seconds:.1f} | {row.cpu_seconds:.1f} "
            f"| {row.peak_mb:.0f} MB |"
        )
    return "\n".join(lines)


def machines_table(samples: Sequence[Shared]) -> str:
    lines = [
        "| files | round trip | machines | seconds | times one | of the processor | by others |"
    ]
    lines.append("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in samples:
        alone = [s for s in samples if (s.files, s.delay_ms, s.machines) == (*row.setting, 1)]
        times = f"{alone[0].seconds / row.seconds:.2f}" if alone else ""
        lines.append(
            f"| {row.files:,} | {row.delay_ms:g} ms | {row.machines} | {row.seconds:.0f} | {times} "
            f"| {row.processor_seconds:.0f} | {row.files_by_workers:,} |"
        )
    return "\n".join(lines)


def bars(
    axes: Axes, samples: Sequence[Measured], files: float, value: Callable[[Measured], float]
) -> None:
    known = [*METHODS, *RESTORING]
    methods = [name for name in dict.fromkeys(known) if any(s.method == name for s in samples)]
    delays = ordered(sample.delay_ms for sample in samples if sample.files == files)
    width = 0.8 / len(methods)
    for number, method in enumerate(methods):
        places = [place + number * width for place in range(len(delays))]
        heights = [
            middle(samples, value, files=files, delay_ms=delay_ms, method=method)
            for delay_ms in delays
        ]
        drawn = axes.bar(places, heights, width, label=method)
        axes.bar_label(drawn, fmt="%.3g", fontsize=7)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(delays))])
    axes.set_xticklabels([f"{delay_ms:g} ms" for delay_ms in delays])
    axes.set_xlabel("network round trip")


def plot_nfs(samples: list[Sample], path: Path) -> None:
    sizes = ordered(sample.files for sample in samples)
    figure, grid = pyplot.subplots(
        len(sizes), 2, figsize=(13, 4.5 * len(sizes)), squeeze=False, layout="constrained"
    )
    for row, files in zip(grid, sizes, strict=True):
        bars(row[0], samples, files, seconds)
        row[0].set_title(f"{files:,} files: seconds for one backup")
        bars(row[1], samples, files, calls_per_file)
        row[1].set_title(f"{files:,} files: NFS calls per file")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.savefig(path, dpi=110)


def plot_restores(samples: list[Restored], path: Path) -> None:
    groups = dict.fromkeys((s.files, s.case) for s in samples)
    figure, grid = pyplot.subplots(
        len(groups), 2, figsize=(13, 3.5 * len(groups)), squeeze=False, layout="constrained"
    )
    for row, (files, case) in zip(grid, groups, strict=True):
        chosen = [s for s in samples if (s.files, s.case) == (files, case)]
        for axes, value, what in ((row[0], seconds, "seconds"), (row[1], calls_per_file, "calls")):
            bars(axes, chosen, files, value)
            each = " per file" if what == "calls" else ""
            axes.set_title(f"Restore, {case}, {files:,} files: {what}{each}")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.savefig(path, dpi=110)


def plot_growth(grown: list[Growth], path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")
    for what in dict.fromkeys(row.what for row in grown):
        rows = [row for row in grown if row.what == what]
        axes.plot([row.files for row in rows], [row.seconds for row in rows], "o-", label=what)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("files")
    axes.set_ylabel("seconds")
    axes.set_title("On a local file system")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
