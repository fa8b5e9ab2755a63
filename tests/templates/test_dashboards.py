"""The dashboards are valid, can be read, and show metrics that exist."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest

from tests.templates.reading import BACKUP, RESTORE, ROOT, Tree, load, of_type

EFS = ("FileSystemId",)
METRICS = {
    ("AWS/EFS", "BurstCreditBalance"): EFS,
    ("AWS/EFS", "PermittedThroughput"): EFS,
    ("AWS/EFS", "TotalIOBytes"): EFS,
    ("AWS/EFS", "StorageBytes"): (*EFS, "StorageClass"),
    ("AWS/Lambda", "Invocations"): ("FunctionName",),
    ("AWS/Lambda", "Errors"): ("FunctionName",),
    ("AWS/DynamoDB", "SuccessfulRequestLatency"): ("TableName", "Operation"),
}
OURS = {("EFSBackup", name) for name in ("SnapshotAge", "RestoreTestAge", "BackupDuration")} | {
    ("EFSBackup", name) for name in ("FilesTransferred", "BytesTransferred", "FilesFailed")
}
# What the guide shows: these of the source and of the backup, and the stack's own in its template.
SHOWN = {
    ("AWS/EFS", name, file_system)
    for name in ("BurstCreditBalance", "PermittedThroughput", "TotalIOBytes")
    for file_system in ("SrcEFS", "DstEFS")
}
COLUMNS = 24


def widgets(path: Path) -> list[Tree]:
    """The widgets, with a reference to X replaced by its name, X."""
    body = of_type(load(path), "AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Sub"]
    found: list[Tree] = json.loads(re.sub(r"\$\{([\w:]+)\}", r"\1", str(body)))["widgets"]
    return found


def metrics(widget: Tree) -> list[list[str]]:
    """Each metric in full: namespace, name, dimensions."""
    written: list[list[str]] = []
    for line in widget["properties"].get("metrics", []):
        names = [part for part in line if isinstance(part, str)]
        above = written[-1] if written else []
        if names[0] == "...":
            names = above[: len(above) - len(names) + 1] + names[1:]
        written.append([above[n] if name == "." else name for n, name in enumerate(names)])
    return written


@pytest.fixture(scope="module", params=[BACKUP, RESTORE], ids=["backup", "restore"])
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_widgets_lie_side_by_side(path: Path) -> None:
    boxes = [[widget[key] for key in ("x", "y", "width", "height")] for widget in widgets(path)]
    assert all(x >= 0 and x + width <= COLUMNS for x, _, width, _ in boxes)
    overlaps = [
        (one, other)
        for one, other in combinations(boxes, 2)
        if one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    ]
    assert overlaps == []


def test_metrics_exist(path: Path) -> None:
    known = METRICS | dict.fromkeys(OURS, ("StackName",))
    for widget in widgets(path):
        for namespace, name, *dimensions in metrics(widget):
            assert tuple(dimensions[::2]) == known.get((namespace, name)), (name, dimensions)
            assert widget["properties"]["region"] == "AWS::Region"


def test_our_metrics_are_published() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src" / "orchestrator").glob("*.py"))
    for namespace, name in OURS:
        assert f'"{namespace}"' in source
        assert f'"{name}"' in source


def test_what_the_guide_shows(path: Path) -> None:
    shown = [metric for widget in widgets(path) for metric in metrics(widget)]
    assert {(metric[0], metric[1], metric[3]) for metric in shown} >= SHOWN


def test_the_backup_shows_its_own_metrics_too() -> None:
    shown = [metric for widget in widgets(BACKUP) for metric in metrics(widget)]
    assert {(metric[0], metric[1]) for metric in shown} == set(METRICS) | OURS


def test_the_restore_shows_what_it_has_in_common() -> None:
    shown = [widget["properties"] for widget in widgets(BACKUP)]
    assert all(widget["properties"] in shown for widget in widgets(RESTORE))


def test_the_page_comes_first_and_over_the_whole_width() -> None:
    page, alarm, *others = widgets(BACKUP)
    assert (page["type"], page["x"], page["y"], page["width"]) == ("custom", 0, 0, COLUMNS)
    assert page["properties"]["endpoint"] == "${ConsolePage.Arn}"
    assert page["properties"]["updateOn"]["resize"], "how wide it is decides on its layout"
    assert (alarm["type"], alarm["properties"]["alarms"]) == ("alarm", ["${SnapshotAgeAlarm.Arn}"])
    assert {widget["type"] for widget in others} == {"metric"}


def test_the_metrics_answer_in_the_order_in_which_a_person_asks() -> None:
    """Is it fine, how fresh, how fast, how full, how expensive."""
    first = {}
    for widget in sorted(widgets(BACKUP), key=lambda widget: (widget["y"], widget["x"])):
        for namespace, name, *_ in metrics(widget):
            first.setdefault((namespace, name), len(first))
    order = [("AWS/Lambda", "Errors"), ("EFSBackup", "SnapshotAge")]
    order += [("EFSBackup", "BackupDuration"), ("AWS/EFS", "StorageBytes")]
    order += [("AWS/EFS", "BurstCreditBalance")]
    assert order == sorted(order, key=first.__getitem__)
