"""A tree of many small files, 45 in a directory, as home directories and code are.

many.py make ROOT FILES            make it
many.py change ROOT PERCENT SEED   rewrite that many of its files, chosen by the seed
many.py damage ROOT PERCENT SEED   a third of that many each: delete, append to, change the mode
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator

FILES_PER_DIRECTORY = 45
DIRECTORIES_PER_DIRECTORY = 100


def write(path: str, size: int) -> None:
    with open(path, "wb") as file:
        file.write(b"x" * size)


def make(root: str, files: int) -> None:
    for number in range(files):
        leaf = number // FILES_PER_DIRECTORY
        directory = f"{root}/{leaf // DIRECTORIES_PER_DIRECTORY}/{leaf}"
        if number % FILES_PER_DIRECTORY == 0:
            os.makedirs(directory)
        write(f"{directory}/file-{number}", size=number % 3000)


def files_below(root: str) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        yield from (os.path.join(folder, name) for name in sorted(names))


def change(root: str, percent: float, seed: int) -> None:
    chosen = random.Random(seed)
    files = list(files_below(root))
    for path in chosen.sample(files, round(len(files) * percent / 100)):
        write(path, size=chosen.randrange(1, 4000))


def damage(root: str, percent: float, seed: int) -> None:
    files = list(files_below(root))
    chosen = random.Random(seed).sample(files, round(len(files) * percent / 100))
    for number, path in enumerate(chosen):
        if number % 3 == 0:
            os.unlink(path)
        elif number % 3 == 1:
            with open(path, "ab") as file:
                file.write(b"damage")
        else:
            os.chmod(path, 0o600)


if __name__ == "__main__":
    verb, where, *numbers = sys.argv[1:]
    if verb == "make":
        make(where, int(numbers[0]))
    else:
        alter = {"change": change, "damage": damage}[verb]
        alter(where, float(numbers[0]), int(numbers[1]))
