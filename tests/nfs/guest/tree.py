"""tree.py ROOT…: prints what is at and below each ROOT, to the last attribute, as a line of JSON.

One entry for each path: mode with the type, owner, group, mtime in ns, size, number of the device,
content (its hash, or where a symlink points to), and the first path of the same inode.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys


def content(path: bytes, info: os.stat_result) -> str:
    if stat.S_ISLNK(info.st_mode):
        return os.fsdecode(os.readlink(path))
    if stat.S_ISREG(info.st_mode):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def read_tree(root: bytes) -> dict[str, list[object]]:
    tree: dict[str, list[object]] = {}
    first_names: dict[tuple[int, int], str] = {}
    paths = [root]
    for folder, folders, files in os.walk(root):
        folders.sort()
        paths += [os.path.join(folder, name) for name in sorted([*folders, *files])]
    for path in paths:
        info = os.lstat(path)
        name = os.fsdecode(os.path.relpath(path, root))
        has_size = stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)
        has_number = stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)
        tree[name] = [
            oct(info.st_mode),
            info.st_uid,
            info.st_gid,
            info.st_mtime_ns,
            info.st_size if has_size else 0,
            info.st_rdev if has_number else 0,
            content(path, info),
            first_names.setdefault((info.st_dev, info.st_ino), name),
        ]
    return tree


if __name__ == "__main__":
    for root in sys.argv[1:]:
        print(json.dumps(read_tree(os.fsencode(root))))
