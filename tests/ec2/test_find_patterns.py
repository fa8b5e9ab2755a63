"""Patterns of what to find match what they say, and none takes long."""

from __future__ import annotations

import re
import time

import pytest
from engine.history.search import Pattern
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .test_patterns import DEEPEST, SLOW

ATOMS = ["a", "b", "/", "?", "*", "**", "[ab]", "/**/", "*/"]
NAMES = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5)
STARS = re.compile(r"(?<![^/])\*{2,}/|\*{2,}|\[ab\]|.")
MEANT = {"*": "[^/]*", "?": "[^/]", "**": ".*", "**/": "(?:.*/)?"}


def naive(glob: str) -> str:
    """As a regular expression that tries everything."""
    tokens = (re.sub(r"\*{2,}", "**", token) for token in STARS.findall(glob.strip("/")))
    body = "".join(MEANT.get(token, token) for token in tokens)
    start = "" if glob.startswith("/") else "(?:.*/)?"
    return start + (body or ".*") + ("(?:/.*)?" if "/" in glob else "")


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=6).map("".join), NAMES)
@example("**a**/b", ["a", "b"])
@example("a/**/b/**/c*a", ["a", "b", "a", "b", "c", "ca"])
def test_stars_stand_for_whatever_lets_a_path_match(glob: str, names: list[str]) -> None:
    glob, path = re.sub("/+", "/", glob), "/".join(names)
    expected = re.fullmatch(naive(glob), path) is not None
    assert Pattern.glob(glob).matches(path.encode()) == expected


@pytest.mark.parametrize("glob", [*SLOW, "a/**/a/**/a/**/b", "**/a*a*a/**/a*b", "[a]*?*a*?*b/"])
def test_no_name_takes_long(glob: str) -> None:
    """Whoever can make files chooses their names."""
    pattern = Pattern.glob(glob)
    began = time.process_time()
    for path in ("a" * 255, "/".join(["a" * 255] * 15), DEEPEST, "/".join("a" * 1000)):
        assert not pattern.matches(path.encode())
    assert time.process_time() - began < 1
