"""What leaves is short enough for each service, and nothing in it acts on a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from common.limits import clean, count, document, fitted, from_bytes, shortened, size
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from report.ended import write

TEXTS = st.text(st.characters(codec=None, exclude_categories=())) | st.text(
    '\\"\x1b\ud800é漢', max_size=60
)
VALUES = st.recursive(
    st.integers() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=50,
)


@hypothesis_settings(derandomize=True, database=None)
@given(TEXTS, st.integers(20, 200))
def test_a_text_is_cut_to_its_bytes_in_json_and_only_if_need_be(text: str, limit: int) -> None:
    cut = shortened(clean(text), limit)
    assert len(json.dumps(cut, ensure_ascii=False).encode()) - 2 <= limit
    assert (cut == clean(text)) == (size(clean(text)) <= limit)


def test_of_a_long_path_both_ends_are_kept() -> None:
    cut = shortened("could not be copied: /a" + "/b" * 5000 + "/name")
    assert cut.startswith("could not be copied: /a/b/b")
    assert cut.endswith("/b/b/name")
    assert size(cut) > 1900


@hypothesis_settings(derandomize=True, database=None)
@given(TEXTS)
@example("a\nb\x00\x7f\x85\u2028\u202e\ufeff\udcff")
def test_a_clean_text_is_printable_and_stays_as_it_is(text: str) -> None:
    assert clean(text).isprintable()
    assert clean(clean(text)) == clean(text)
    assert clean(text) == text or not text.isprintable()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"a\xff", r"a\xff"), (b"\xc2", r"\xc2"), ("größe".encode(), "größe")],
)
def test_bytes_that_are_not_utf8_are_escaped(raw: bytes, shown: str) -> None:
    assert from_bytes(raw) == shown


@hypothesis_settings(derandomize=True, database=None)
@given(st.dictionaries(TEXTS, VALUES), st.integers(100, 2000))
def test_a_document_is_json_that_fits_whatever_is_in_it(found: dict[str, Any], limit: int) -> None:
    text = document(found, limit)
    assert len(text.encode()) <= limit
    assert all(c.isprintable() or c == "\n" for c in text)
    kept = json.loads(text)
    whole = {fitted(name): fitted(value) for name, value in found.items()}
    assert list(kept) == list(whole)[: len(kept)]


def test_what_comes_last_is_left_out_first() -> None:
    found = {"BackupStatus": "Partial", "Errors": ["x" * 90] * 20, "Zebra": "z" * 1900}
    assert list(json.loads(document(found, 4000))) == ["BackupStatus", "Errors"]
    assert list(json.loads(document(found))) == list(found)


@pytest.mark.parametrize("path", ["/a" * 2000, "/a\x1b[2J", "/a\nb", "/\udcff"])
def test_a_command_is_shown_as_it_is_or_not_at_all(tmp_path: Path, path: str) -> None:
    found = {"DeleteCommand": f"sudo rm -rf '/mnt/target{path}'", "UndoCommand": "sudo sh '/größe'"}
    write(tmp_path / "message.json", found)
    assert json.loads((tmp_path / "message.json").read_text()) == {
        "DeleteCommand": "It cannot be shown here; see the logs",
        "UndoCommand": "sudo sh '/größe'",
    }


def test_lines_that_stand_for_more_are_counted() -> None:
    lines = [f"vanished: {n}" for n in range(50)]
    assert count([]) == 0
    assert count(lines) == 50
    assert count([*lines, "… and 4950 more"]) == 5000
    assert fitted([*lines, "… and 4950 more"])[-1] == "… and 4980 more"
    assert fitted(lines[:20]) == lines[:20]
