"""The cost model against bills worked out by hand, and the document against the model."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from admin.command import AdminError, Given
from admin.cost import estimate, model, tables
from admin.cost.model import Case, Prices
from tests.templates.reading import BACKUP, load

DOCUMENT = Path("docs/cost.md")
MEBIBYTE_FILES = Case(files=1024 * 1000, gb=1000)


@pytest.fixture(scope="module")
def prices() -> Prices:
    return model.load_prices()


def test_the_document_has_the_tables_that_the_program_computes(prices: Prices) -> None:
    text = DOCUMENT.read_text()
    computed = tables.document_tables(prices)
    for name in computed:
        assert f"<!-- table: {name} -->" in text
    assert tables.updated(text, computed) == text, "run: make cost UPDATE=docs/cost.md"


def test_a_changed_price_reaches_the_document(prices: Prices, tmp_path: Path) -> None:
    document = tmp_path / "cost.md"
    shutil.copy(DOCUMENT, document)
    document.write_text(
        document.read_text().replace("| EFS Standard | 0.3 |", "| EFS Standard | 9 |")
    )
    assert estimate.main(given(UPDATE=str(document))) == 0
    assert document.read_text() == DOCUMENT.read_text()


def test_storage_is_one_copy_and_the_versions_of_what_changes() -> None:
    # 2 % of 1000 GB each day, seven snapshots: one day's changes are not in Infrequent Access yet.
    held = model.stored(MEBIBYTE_FILES)
    assert held.ia == pytest.approx(980 + 6 * 20)
    inodes = 1024_000 * (0.98 + 7 * 0.02) * 2 / 1024**2
    directories = 1024_000 / 20 * 7 * 6 / 1024**2
    assert held.standard == pytest.approx(20 + inodes + directories)
    assert held.archive == 0
    assert held.into_ia == pytest.approx(20 * 365 / 12)


def test_without_a_transition_everything_is_in_standard() -> None:
    held = model.stored(replace(MEBIBYTE_FILES, ia_days=math.inf))
    assert (held.ia, held.archive, held.into_ia) == (0, 0, 0)
    assert held.standard == pytest.approx(1120, rel=0.01)


def test_versions_that_leave_archive_early_are_billed_for_ninety_days() -> None:
    # Versions live 60 days, 50 of them in Archive: 20 GB leave each day and owe 40 more days.
    held = model.stored(replace(MEBIBYTE_FILES, retain=60, ia_days=1, archive_days=10))
    assert held.archive == pytest.approx(980 + 50 * 20)
    assert held.ia == pytest.approx(9 * 20)
    assert held.deleted_early == pytest.approx(20 * 40)


def test_a_small_file_is_billed_as_128_kib_in_a_colder_class_and_as_4_kib_in_standard() -> None:
    small = Case(files=1_048_576, gb=1, churn=0, retain=1)  # 1 KiB each
    assert model.stored(small).ia == pytest.approx(128)
    assert model.stored(replace(small, ia_days=math.inf)).standard == pytest.approx(
        4 + 2 + 6 / 20, rel=0.001
    )


def test_links_beyond_the_limit_of_efs_are_copies() -> None:
    case = replace(MEBIBYTE_FILES, churn=0)
    assert model.stored(replace(case, retain=177)).ia == pytest.approx(1000)
    assert model.stored(replace(case, retain=178)).ia == pytest.approx(2000)


def test_an_elastic_month(prices: Prices) -> None:
    runs = 365 / 12
    lines = model.elastic(prices, MEBIBYTE_FILES, model.FPSYNC).monthly
    assert lines["Infrequent Access"] == pytest.approx(1100 * 0.016)
    assert lines["Transitions"] == pytest.approx(20 * runs * 0.01)
    assert lines["Data written"] == pytest.approx(20 * runs * 0.06)
    per_run = 1024_000 * 4 / 1024**2  # GB for one request of 4 KiB on each file
    assert lines["Requests"] == pytest.approx(runs * per_run * (2.5 * 0.03 + 2 * 0.06))
    assert lines[model.SOURCE] == pytest.approx(runs * (20 + 2 * per_run) * 0.03)


def test_a_bursting_month_has_no_charges_for_throughput_and_dearer_cold_storage(
    prices: Prices,
) -> None:
    found = model.bursting(prices, MEBIBYTE_FILES)
    assert found.monthly["Infrequent Access"] == pytest.approx(1100 * 0.025)
    assert not {"Requests", "Data written", "Archive"} & set(found.monthly)
    assert found.remark == ""


def test_credits_that_do_not_suffice_are_said(prices: Prices) -> None:
    # Nothing but metadata is in Standard, and three passes look at ten million files.
    idle = Case(files=10_000_000, gb=10, churn=0, retain=1)
    assert "burst credits" in model.bursting(prices, idle, model.V15).remark


@pytest.mark.parametrize(
    ("workers", "divided"), [(0, 1), (1, 2), (3, 4), (7, 4)], ids=lambda value: f"{value}"
)
def test_workers_divide_the_copying_up_to_four_machines(
    prices: Prices, workers: int, divided: int
) -> None:
    """1,024 GB at 100 MiB a second, and a tenth of a millisecond for each of 1,024,000 files."""
    case = replace(MEBIBYTE_FILES, workers=workers, gb=1024)
    copying, looking, start = 1024 * 1024 / 100 / 3600, 1024_000 * 1e-4 / 3600, 5 / 60
    found = model.elastic(prices, case).sharing
    assert found
    hours = start + looking + copying / divided
    assert (found.alone, found.hours) == pytest.approx((start + looking + copying, hours))
    disk = 30 * 0.08 / 730
    saved = copying * (1 - 1 / divided) * (0.17 + disk)
    for more, price in ((found.spot, 0.09), (found.on_demand, 0.17)):
        assert more == pytest.approx(workers * (hours + 5 / 60) * (price + disk) - saved)


def test_workers_are_no_faster_in_bursting_mode(prices: Prices) -> None:
    found = model.bursting(prices, replace(MEBIBYTE_FILES, workers=3)).sharing
    assert found
    assert found.hours == found.alone
    assert 0 < found.spot < found.on_demand


def test_aws_backup_stores_the_same_versions(prices: Prices) -> None:
    assert model.aws_backup(prices, MEBIBYTE_FILES).total == pytest.approx(1120 * 0.05)
    cold = model.aws_backup(prices, MEBIBYTE_FILES, cold=True)
    assert cold.total == pytest.approx((1000 + 89 * 20) * 0.01)


def test_version_1_5_paid_for_standard_alone(prices: Prices) -> None:
    lines = model.v15(prices, MEBIBYTE_FILES).monthly
    assert lines["Standard"] == pytest.approx(1124.2 * 0.30, rel=0.001)


def test_a_restore_from_a_colder_class_costs_more(prices: Prices) -> None:
    def restore(ia: float, archive: float) -> float:
        case = replace(MEBIBYTE_FILES, ia_days=ia, archive_days=archive)
        return model.elastic(prices, case).restore

    warm = restore(math.inf, math.inf)
    assert restore(1, math.inf) - warm == pytest.approx(1000 * 0.01)
    assert restore(1, 90) - warm == pytest.approx(1000 * 0.03)


def given(**values: str) -> Given:
    return Given(values)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"FILES": ""}, "FILES"),
        ({"GB": ""}, "GB"),
        ({"FILES": "0"}, "FILES"),
        ({"FILES": "-5"}, "FILES"),
        ({"FILES": "1.5"}, "FILES"),
        ({"FILES": "many"}, "FILES"),
        ({"FILES": "nan"}, "FILES"),
        ({"FILES": "inf"}, "FILES"),
        ({"GB": "0"}, "GB"),
        ({"GB": "ten"}, "GB"),
        ({"GB": "1,5"}, "GB"),
        ({"GB": "1,0000"}, "GB"),
        ({"GB": "1,00,000"}, "GB"),
        ({"GB": "1000,000"}, "GB"),
        ({"REGION": "eu-west-1"}, r"Only prices of us-east-1 are known.*prices\.toml"),
        ({"CHURN": "101"}, "CHURN"),
        ({"CHURN": "-1"}, "CHURN"),
        ({"CHURN": "2%"}, "CHURN"),
        ({"RETAIN": "0"}, "RETAIN"),
        ({"RETAIN": "100000"}, "RETAIN"),
        ({"INTERVAL": "hourly"}, "INTERVAL"),
        ({"IA": "0"}, "IA"),
        ({"IA": "1.5"}, "IA"),
        ({"IA": "7", "ARCHIVE": "7"}, "ARCHIVE"),
        ({"WORKERS": "-1"}, "WORKERS"),
        ({"WORKERS": "33"}, "WORKERS"),
        ({"WORKERS": "some"}, "WORKERS"),
        ({"IA": "none", "ARCHIVE": "90"}, "ARCHIVE"),
    ],
)
def test_bad_input_is_named(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(AdminError, match=named):
        estimate.main(given(**{"FILES": "1000", "GB": "10", **wrong}))


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(AdminError, match="FILE"):
        estimate.main(given(FILE="1000", GB="10"))


def test_the_table_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert estimate.main(given(FILES="1,000,000", GB="1024", CHURN="100", RETAIN="1")) == 0
    out, _ = capsys.readouterr()
    assert "1,000,000 files, 1,024 GB, 100 % churn, 1 daily snapshots" in out
    assert "Total a month" in out
    assert "list prices of us-east-1" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_nothing_is_broken(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(estimate, "WIDTH", columns)
    assert estimate.main(given(FILES="1000000", GB="200000", WORKERS="1")) == 0
    out, _ = capsys.readouterr()
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= columns
    words = set(out.split())
    assert {"Infrequent", "Transitions", "WORKERS=1", "Elastic", "Bursting", "v1.5"} < words


def test_workers_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    options = {"FILES": "1000000", "GB": "1024"}
    assert estimate.main(given(**options)) == 0
    assert "WORKERS" not in capsys.readouterr().out
    assert estimate.main(given(**options, WORKERS="8")) == 0
    out = capsys.readouterr().out
    assert "With WORKERS=8" in " ".join(out.replace("│", "").split())
    assert "More than 3 workers gain nothing" in out


def test_what_is_assumed_is_what_the_template_does_by_default() -> None:
    parameters = load(BACKUP)["Parameters"]
    names = ("Retain", "IntervalTag", "TransitionToIA", "TransitionToArchive")
    assert [parameters[name]["Default"] for name in names] == [7, "daily", "AFTER_1_DAY", "None"]
    case = estimate.parsed_case(given(FILES="1", GB="1"))
    assert (case.retain, case.interval, case.ia_days, case.archive_days) == (
        7,
        "daily",
        1,
        math.inf,
    )
    assert case == Case(files=1, gb=1)
