"""Run on the client instance: makes a tree whose names and types have broken backups, tells what a
tree is, to the last attribute, as one line, or whether another machine has locked a file.

    python3 hostile.py make DIRECTORY | python3 hostile.py digest DIRECTORY
    python3 hostile.py locked FILE
"""

import fcntl
import hashlib
import os
import stat
import sys

NAMES = [
    b"new\nline",
    b" leading and trailing ",
    b"-rf",
    b"--delete",
    b'it\'s "quoted" `id` $HOME \\ *?[x]',
    b"\xff\xfe not utf-8",
    b".hidden",
    b"x" * 255,
    b";|&<>",
]


def make(top: bytes) -> None:
    for name in NAMES:
        os.makedirs(os.path.join(top, b"d" + name[:250]), exist_ok=True)
        for path in (os.path.join(top, name), os.path.join(top, b"d" + name[:250], name)):
            with open(path, "wb") as file:
                file.write(name)
    os.makedirs(top + b"/empty/nested", exist_ok=True)
    os.makedirs(top + b"/docs", exist_ok=True)
    for name in (b"file", b"other"):
        with open(top + b"/docs/" + name, "wb") as file:
            file.write(b"as backed up")
    for name, target in ((b"dangling", b"nowhere/at\nall"), (b"absolute", b"/etc/passwd")):
        if not os.path.islink(os.path.join(top, name)):
            os.symlink(target, os.path.join(top, name))
    with open(top + b"/sparse", "wb") as file:
        file.truncate(8 * 1024 * 1024)
        file.seek(4 * 1024 * 1024)
        file.write(b"island")
    if not os.path.exists(top + b"/second name"):
        os.link(top + b"/docs/file", top + b"/second name")
    os.chmod(top + b"/docs/other", 0o4711)
    os.utime(top + b"/docs/other", ns=(1, 1_600_000_000_000_000_000))


def digest(top: bytes) -> None:
    total = hashlib.sha256()
    first: dict[int, bytes] = {}  # of the names of a file
    count = 0
    for directory, names, files in os.walk(top):
        names.sort()
        if directory == top:
            names[:] = [n for n in names if not n.startswith(b".efs-restore-")]
        for name in sorted([*names, *files]):
            path = os.path.join(directory, name)
            info = os.lstat(path)
            content = b""
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).digest()
            attributes = (oct(info.st_mode), info.st_uid, info.st_gid, int(info.st_mtime))
            name = os.path.relpath(path, top)
            same_as = first.setdefault(info.st_ino, name)
            total.update(repr((name, attributes, content, same_as)).encode())
            count += 1
    print(f"{count} entries, {total.hexdigest()[:16]}")


def locked(path: bytes) -> None:
    """Prints yes, or nothing. As the engine locks: on NFS that is a lock of all bytes."""
    try:
        with open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass
    except BlockingIOError:
        print("yes")


if __name__ == "__main__":
    {"make": make, "digest": digest, "locked": locked}[sys.argv[1]](os.fsencode(sys.argv[2]))
