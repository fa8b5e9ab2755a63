"""Random changes of a directory, made again by the same seed; needs nothing but Python."""

from __future__ import annotations

import os
import random
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

SECOND = 10**9
TIMES = [1_600_000_000 * SECOND + n for n in (0, 1, 999_999_999, SECOND)]
ROOT = os.geteuid() == 0
LONGEST = 3000  # of a path, in bytes


def new_seed() -> int:
    """Another each time; a failure shows it."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", file=sys.stderr)
    return seed


class Changes:
    """Random changes of a directory; files and times are few, so that they often collide."""

    def __init__(self, top: Path, seed: int) -> None:
        self.top = top
        self.random = random.Random(seed)

    def make(self, count: int) -> None:
        kinds: list[Callable[[], None]] = [
            *[self.write] * 6,
            *[self.rewrite_alike] * 2,
            self.remove,
            self.rename,
            self.link,
            self.symlink,
            self.make_directory,
            self.special,
            self.change_mode,
            self.change_owner,
            self.touch_directory,
            self.exchange,
        ]
        for _ in range(count):
            self.random.choice(kinds)()

    def paths(self) -> list[Path]:
        """But for those that are too long to name in one call, or nearly so."""
        found = (
            Path(folder, name)
            for folder, folders, files in os.walk(self.top)
            for name in (*folders, *files)
        )
        return sorted(path for path in found if len(os.fsencode(path)) < LONGEST)

    def directories(self) -> list[Path]:
        return [self.top, *(p for p in self.paths() if p.is_dir() and not p.is_symlink())]

    def files(self) -> list[Path]:
        return [p for p in self.paths() if stat.S_ISREG(p.lstat().st_mode)]

    def new_path(self) -> Path:
        """A path whose directory exists; what was there is gone."""
        name = self.random.choice(["a", "b", "ü", " c\n", "\udcff", ";d", "#e", "-f"])
        path = self.random.choice(self.directories()) / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        return path

    def write(self) -> None:
        path = self.new_path()
        path.write_bytes(self.random.randbytes(self.random.choice([0, 1, 5, 5, 70_000])))
        self.set_time(path)

    def set_time(self, path: Path) -> None:
        time_ns = self.random.choice(TIMES)
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)

    def rewrite_alike(self) -> None:
        """New content of the same size with the same time: only the ctime tells."""
        for path in self.random.sample(self.files(), min(1, len(self.files()))):
            info = path.stat()
            path.write_bytes(self.random.randbytes(info.st_size))
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))

    def remove(self) -> None:
        self.new_path()

    def rename(self) -> None:
        if self.paths():
            old, new = self.random.choice(self.paths()), self.new_path()
            if os.path.lexists(old) and old not in new.parents:
                old.rename(new)

    def link(self) -> None:
        new = self.new_path()
        if self.files():
            os.link(self.random.choice(self.files()), new)

    def symlink(self) -> None:
        path = self.new_path()
        path.symlink_to(self.random.choice(["a", "b", "x" * 60, "../..", "/"]))
        self.set_time(path)

    def make_directory(self) -> None:
        path = self.new_path()
        path.mkdir()
        (path / "inside").write_text("inside")

    def special(self) -> None:
        path = self.new_path()
        os.mkfifo(path)
        self.set_time(path)

    def change_mode(self) -> None:
        for path in self.random.sample(self.paths(), min(1, len(self.paths()))):
            if not path.is_symlink():
                path.chmod(self.random.choice([0o700, 0o755, 0o4711] if path.is_dir() else [0o600]))

    def change_owner(self) -> None:
        if ROOT and self.paths():
            os.lchown(self.random.choice(self.paths()), self.random.randrange(3), 0)

    def exchange(self) -> None:
        """Two directories change places, and nothing below them tells of it."""
        if len(self.directories()) < 3:
            return
        one, other = self.random.sample(self.directories()[1:], 2)
        if one not in other.parents and other not in one.parents:
            between = self.top / "between"
            one.rename(between)
            other.rename(one)
            between.rename(other)

    def touch_directory(self) -> None:
        self.set_time(self.random.choice(self.directories()))


if __name__ == "__main__":
    Changes(Path(sys.argv[1]), int(sys.argv[2])).make(int(sys.argv[3]))
