"""Catalogs of thirty snapshots: what a question costs, beside zgrep over all of them."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import admin  # finds the engine
from bench.growth import HERE, Growth, measure_command

assert admin
from engine.history.catalog import Version, totals_of, write_catalog, write_changes  # noqa: E402

EC2 = HERE.parent / "ec2"
SNAPSHOTS = 30
CHANGED = 0.02
DAY = 86_400
BEGIN = 1_790_000_000


class Made:
    """A folder with catalogs of snapshots that nobody made; ``wanted`` is a file in it."""

    def __init__(self, home: Path, files: int) -> None:
        self._dice = random.Random(1)
        self._folder = home / "files"
        self._folder.mkdir()
        self._paths = self._some_paths(files)
        self.wanted = os.path.basename(self._paths[files // 2]).decode()
        (self._folder / ".daily.origin").touch()
        self._make()

    def _some_paths(self, files: int) -> list[bytes]:
        """45 files a directory."""
        letters = b"abcdefghijklmnopqrstuvwxyz"
        dice = self._dice
        words = [bytes(dice.choices(letters, k=dice.randint(4, 10))) for _ in range(3000)]
        folders = [b"/".join(dice.choices(words, k=3)) for _ in range(files // 45 + 1)]
        endings = (b".xlsx", b".txt", b".jpg", b".pdf")
        found: set[bytes] = set()
        while len(found) < files:
            name = b"%s-%d%s" % (dice.choice(words), dice.randrange(10_000), dice.choice(endings))
            found.add(dice.choice(folders) + b"/" + name)
        return sorted(found)

    def _version(self) -> bytes:
        dice = self._dice
        time = (BEGIN - dice.randrange(10**8)) * 10**9 + dice.randrange(10**9)
        return Version(
            "f", dice.randrange(1 << 20), time, dice.randbytes(16).hex(), 0o644, 1000, 1000, 0
        ).fields()

    def _make(self) -> None:
        state = {path: self._version() for path in self._paths}
        before: tuple[str, Path] | None = None
        for number in range(SNAPSHOTS):
            identifier = f"{number:016x}"
            catalog = self._folder / f".daily.catalog.{identifier}.gz"
            write_catalog(catalog, (path + b"\t" + state[path] for path in self._paths))
            if before:
                self._write_changes(*before, identifier, catalog)
            self._note(identifier, number)
            before = identifier, catalog
            for path in self._dice.sample(self._paths, int(CHANGED * len(self._paths))):
                state[path] = self._version()
        assert before
        self._write_changes(*before, "", None)

    def _write_changes(self, older: str, catalog: Path, newer: str, other: Path | None) -> None:
        target = self._folder / f".daily.changes.{older}.gz"
        write_changes(target, older, newer, catalog, other, totals_of(catalog))

    def _note(self, identifier: str, number: int) -> None:
        tree = self._folder / f"daily.{SNAPSHOTS - 1 - number}"
        tree.mkdir()
        origin = (self._folder / ".daily.origin").stat()
        about = {
            "sequence": number + 1,
            "inode": tree.stat().st_ino,
            "origin": [origin.st_ino, origin.st_ctime_ns],
            "run": {"started": number + 1},
            "made": BEGIN + number * DAY,
            "witnesses": [],
        }
        (self._folder / f".daily.about.{identifier}").write_text(json.dumps(about))


def measure(files: int, parent: Path | None) -> Iterator[Growth]:
    with tempfile.TemporaryDirectory(prefix="efs-backup-bench.", dir=parent) as home:
        made = Made(Path(home), files)
        where = ["--backup", home, "--folder", "files"]
        for what, script, words in (
            ("find one name", "find", [made.wanted]),
            ("find one path", "find", ["--file", f"/no/such/{made.wanted}"]),
            ("find all of one kind", "find", ["*.xlsx"]),
            ("find everything", "find", ["*"]),
            ("diff of neighbours", "diff", ["daily.1", "daily.0"]),
            ("diff of oldest and newest", "diff", [f"daily.{SNAPSHOTS - 1}", "daily.0"]),
            ("list the snapshots", "snapshots", []),
        ):
            yield measure_command(what, files, [str(EC2 / f"efs-{script}.sh"), *where, *words])
        catalogs = sorted(map(str, Path(home, "files").glob(".daily.catalog.*")))
        zgrep = ["zgrep", "--fixed-strings", "--", made.wanted, *catalogs]
        yield measure_command("zgrep of all catalogs", files, zgrep)
