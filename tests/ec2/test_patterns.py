"""Patterns match what rsync says they do."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from engine.tree.patterns import BadPattern, Patterns, checked, split
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

NAMES = st.text("ab.*[", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
ATOMS = ["a", "b", ".", "*", "**", "***", "?", "/", "[ab]", "[!a]", "[^b-z]", "\\*", "\\[", "[]a]"]
PATTERNS = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=6).map("".join)
TREES = st.lists(st.lists(NAMES, min_size=1, max_size=4), min_size=1, max_size=6)


def make(top: Path, paths: list[str]) -> None:
    for path in paths:
        place = os.path.join(os.fsencode(top), os.fsencode(path))
        if path.endswith("/"):
            os.makedirs(place, exist_ok=True)
            continue
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if not os.path.lexists(place):
            open(place, "w").close()


def copied_by_rsync(top: Path, patterns: list[str]) -> set[str]:
    done = subprocess.run(
        [
            "rsync",
            "-rn",
            "--out-format=%n",
            "-8",
            *(f"--exclude={p}" for p in patterns),
            "./",
            "/none/",
        ],
        cwd=top,
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    return {os.fsdecode(line).rstrip("/") for line in done.stdout.splitlines()} - {"."}


def left_over(top: Path, patterns: list[str]) -> set[str]:
    """What is not left out; what is, is not entered."""
    rules = Patterns(patterns)
    found = set()

    def visit(folder: str) -> None:
        with os.scandir(top / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not rules.matching(path, entry.is_dir()):
                    found.add(path)
                    if entry.is_dir():
                        visit(path)

    visit("")
    return found


TREE = [
    "a", "b/a", "b/c/a", "b/c/d/e", "ab", "b/ab.o", "x.o", "d.o/x", "*", "b/*", "[", "b/[a]",
    "a\\b", "b/a\\b", "é", "b/é.o", "\udcff", "b/\udcff\udcfe", "-x", "#x", ";x", " x ",
    "c/b/c/a", "c/b/d/", "cache/x/y", "b/cache/x", "b/cache.d/x", "!x", "+x", "x]y", "b/x-y", "A",
    "0", "b/~", "a b/c",
]  # fmt: skip

TRIED = [
    "a", "/a", "a/", "b/", "/b/", "b/a", "/b/a", "c/a", "b/c/a", "*.o", "*.o/", "/*.o", "b/*",
    "/b/*", "b/**", "/b/**", "b/***", "/b/***", "**/a", "/**/a", "**a", "a**", "/c/**/a",
    "c/**/a", "b/*/a", "?", "??", "/?", "[ab]", "[!ab]", "[^ab]", "[a-c]", "[]x]", "[x-]y", "\\*",
    "\\[", "[*]", "[[]", "[\\[]", "a\\b", "a\\\\b", "a\\\\[b]", "[[:digit:]]", "[[:upper:]]",
    "[![:alpha:]]*", "é", "?.o", "??.o", "\udcff", "[\udcfe\udcff]", "[\udcf0-\udcff]*", "-x",
    "#x", ";x", "!x", "+x", " x ", "b/[a]", "b/\\[a]", "b/\\[a\\]", "/b/c/", "c/d", "d/e", "c/",
    "*/c", "*/c/", "/*/c", "*b", "b*", "***", "x/***", "cache/***", "/cache/***", "**/cache/***",
    "cache*/**", "a-b", "b[!x]a", "*a*", "**b**", "b**a", "/b**a", "b**/a", "**/*.o", "*/**",
    "b/*/", "[[:alpha:]-z]", "[a-c-e]", "[z-a]", "[!a-]", "x?y", "a?b/c", "/a b/c", "**/", "b**/",
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tree")
    make(top, TREE)
    return top


@pytest.mark.parametrize("pattern", TRIED)
def test_a_pattern_leaves_out_what_rsync_leaves_out(tree: Path, pattern: str) -> None:
    assert left_over(tree, [pattern]) == copied_by_rsync(tree, [pattern])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(TREES, st.lists(PATTERNS, min_size=1, max_size=2))
@example([["a", "b"]], ["**a", "a**b"])
def test_any_patterns_leave_out_what_rsync_leaves_out(
    tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]], patterns: list[str]
) -> None:
    top = tmp_path_factory.mktemp("any")
    for path in paths:
        try:
            make(top, ["/".join(path)])
        except (FileExistsError, NotADirectoryError):
            continue  # another path has a file there
    try:
        expected = left_over(top, patterns)
    except BadPattern:
        return
    assert expected == copied_by_rsync(top, patterns)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("../a", "'..'"),
        ("a/../b", "'..'"),
        ("..", "'..'"),
        ("a\nb", "control character"),
        ("a\0b", "control character"),
        ("/", "names nothing"),
        ("", "names nothing"),
        ("./a", "'.'"),
        ("a//b", "'//'"),
        ("+ a", "rule to rsync"),
        ("- a", "rule to rsync"),
        ("!", "rule"),
        ("a[b", "']'"),
        ("[[:alpha]", "']'"),
        ("a[/]b", "'/'"),
        ("*\\", "backslash"),
        ("[[:word:]]", "class"),
        *((everything, "everything") for everything in ("*", "**", "/*", "/**", "***", "?*")),
        ("**/*", "everything"),
    ],
)
def test_what_makes_no_sense_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(BadPattern, match=re.escape(said)):
        checked(pattern)


def test_what_is_separated() -> None:
    assert split(" *.tmp | /a b/ ||c|") == ["*.tmp", "/a b/", "c"]
    assert split(" ") == []


DEEPEST = "/".join(["a" * 250] * 1000)  # as deep as EFS allows
SLOW = [
    "*a*a*a*a*a*b",
    "**a**a**a*a**b",
    "/*a/**a*a**/a*b",
    "a**b",
    "a/**a**b",
    "*a/*a/**/a*/*b",
    "a*/**a*a/b*c",
]


@pytest.mark.parametrize("pattern", SLOW)
def test_no_name_takes_long(pattern: str) -> None:
    """Whoever can make files chooses their names."""
    rules = Patterns([pattern])
    began = time.process_time()
    for path in ("a" * 255, "/".join(["a" * 255] * 15), DEEPEST, "/".join("a" * 1000)):
        assert rules.matching(path, False) == []
    assert time.process_time() - began < 1


def test_which_patterns_match_and_which_leaves_out() -> None:
    rules = Patterns(["*.o", "/a/", "x.?"])
    assert rules.matching("b/x.o", False) == [0, 2]
    assert rules.matching("a", True) == [1]
    assert rules.matching("a", False) == []
    assert rules.covering("a/b/c") == "/a/"
    assert rules.covering("b/c") == ""
