"""What an undo is asked to do, before it begins and when it has ended."""

from typing import Any

import pytest

from admin import undo
from admin.command import AdminError, Given
from admin.restore import Request
from tests.admin.test_restore import STACK, given, restore


@pytest.fixture
def carried_out(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What stacks would be made for; each of them ends as UNDONE says."""
    requests: list[Request] = []

    def read(words: Given, short: dict[str, str]) -> Request:
        parameters = restore.parameters_for(STACK, words, short)
        return Request(words, lambda service: None, STACK, "url", parameters)

    def carry_out(request: Request, out: Any, kind: str, say_next: Any) -> int:
        assert kind == "undo"
        requests.append(request)
        say_next(out, request, {"Status": "Planned" if request.is_dry else "Undone"})
        return 0

    monkeypatch.setattr(Request, "read", read)
    monkeypatch.setattr(Request, "carry_out", carry_out)
    return requests


def test_an_undo_asks_for_the_restore_in_its_prefix(carried_out: list[Request]) -> None:
    assert undo.main(given(STACK="backup", ID="20261120T021503Z-1f0a", YES="1")) == 0
    (request,) = carried_out
    assert request.parameters["UndoId"] == "20261120T021503Z-1f0a"
    assert request.parameters["RestorePrefix"] == "/app data"
    assert request.parameters["DryRun"] == "No"


def test_a_dry_run_asks_nothing_and_says_what_follows(
    carried_out: list[Request], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        undo.main(
            given(STACK="backup", ID="20261120T021503Z-1f0a", DRYRUN="yes", RestorePrefix="/p")
        )
        == 0
    )
    assert carried_out[0].is_dry
    said = capsys.readouterr().out
    assert "restore 20261120T021503Z-1f0a in fs-00000001:/p; a dry run, which changes" in said
    assert "To undo it: make undo STACK=backup ID=20261120T021503Z-1f0a RestorePrefix=/p" in said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"STACK": "backup"}, "ID is missing"),
        ({"STACK": "backup", "ID": ""}, "ID is missing"),
        ({"STACK": "backup", "ID": "foo", "YES": "1"}, "ID=foo must look like this: 2026"),
        ({"STACK": "backup", "ID": "20261120T021503Z-1f0a"}, "DRYRUN=yes(?s:.*)YES=1"),
    ],
)
def test_nothing_is_undone_without_need_or_question(
    carried_out: list[Request], values: dict[str, str], said: str
) -> None:
    with pytest.raises(AdminError, match=said):
        undo.main(given(**values))
    assert carried_out == []
