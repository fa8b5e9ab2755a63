"""Trees that tools stumble over, as far as EFS can hold them.

hostile.py make ROOT     make one
hostile.py change ROOT   change it in every way
"""

from __future__ import annotations

import os
import socket
import sys

LATE = 1_700_000_000_999_999_999
EARLY = 86_400_000_000_001


def write(path: str | bytes, content: bytes, mtime_ns: int = LATE) -> None:
    with open(path, "wb") as file:
        file.write(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def make() -> None:
    for folder in ("names", "types", "modes", "times", "deep", "replaced", "gone", " -rf *"):
        os.mkdir(folder)
    make_names()
    make_types()
    make_modes()
    write("times/early", b"1", EARLY)
    write("times/late", b"1", LATE)
    os.makedirs("deep/" + "/".join(["d" * 60] * 50))
    for name in ("file-to-directory", "file-to-symlink", "file", "same-size", "mode", "touched"):
        write(f"replaced/{name}", b"before")
    os.mkdir("replaced/directory-to-file")
    write("replaced/directory-to-file/below", b"before")
    os.symlink("before", "replaced/symlink")
    os.symlink("before", "replaced/symlink-to-file")
    write("replaced/old-name", b"renamed")
    write("gone/file", b"before")
    os.makedirs("gone/directory/below")
    set_directory_times()


def make_names() -> None:
    every_byte = bytes(set(range(1, 256)) - {ord("/")})
    names = [every_byte[:128], every_byte[128:], b"n" * 255, "ü".encode("latin-1"), "ü".encode()]
    names += [b"-rf", b"--delete", b"new\nline", b"\n", b" ", b"  two ", b"#comment", b";comment"]
    names += [b"*", b"[a]", b"?", b"$HOME", b"`id`", b"'", b'"', b"back\\slash", b"\\#012", b"~"]
    names += [b"CON", b"a:b", b".hidden", b"...", b".snapshot", b".zfs", b".ckpt", b".rsync-filter"]
    for name in names:
        write(b"names/" + name, name)
    for name in (b"-rf dir", b"new\nline dir", b"\xff\xfe dir"):
        os.mkdir(b"names/" + name)
        write(b"names/" + name + b"/file", name)


def make_types() -> None:
    os.mkdir("types/empty-directory")
    write("types/empty", b"")
    with open("types/sparse", "wb") as file:
        file.seek(32 << 20)
        file.write(b"end")
    os.utime("types/sparse", ns=(LATE, LATE))
    os.symlink("nowhere/\n", "types/dangling")
    os.symlink("..", "types/to-directory")
    os.symlink("/etc/passwd", "types/absolute")
    os.mkfifo("types/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("types/socket")
    for name in ("dangling", "fifo", "socket"):
        os.utime(f"types/{name}", ns=(EARLY, EARLY), follow_symlinks=False)


def make_modes() -> None:
    for mode in (0o000, 0o400, 0o222, 0o4755, 0o2755, 0o1777, 0o777):
        write(f"modes/{mode:o}", b"1")
        os.mkdir(f"modes/directory-{mode:o}")
        write(f"modes/directory-{mode:o}/file", b"1")
        os.chown(f"modes/{mode:o}", 1000 + mode, 4_000_000_000)
        os.chmod(f"modes/{mode:o}", mode)
        os.chmod(f"modes/directory-{mode:o}", mode)


def change() -> None:
    os.remove("replaced/file-to-directory")
    os.mkdir("replaced/file-to-directory")
    write("replaced/file-to-directory/below", b"after")
    os.remove("replaced/file-to-symlink")
    os.symlink("after", "replaced/file-to-symlink")
    os.remove("replaced/directory-to-file/below")
    os.rmdir("replaced/directory-to-file")
    write("replaced/directory-to-file", b"after")
    os.remove("replaced/symlink")
    os.symlink("after", "replaced/symlink")
    os.remove("replaced/symlink-to-file")
    write("replaced/symlink-to-file", b"after")
    write("replaced/file", b"longer than before")
    write("replaced/same-size", b"after!", LATE + 1)
    os.chmod("replaced/mode", 0o600)
    os.chown("replaced/mode", 7, 7)
    os.utime("replaced/touched", ns=(EARLY, EARLY))
    os.rename("replaced/old-name", "replaced/new\nname")
    os.remove("gone/file")
    os.removedirs("gone/directory/below")
    write("new", b"after")
    os.chmod("modes/directory-777", 0o700)
    set_directory_times()


def set_directory_times() -> None:
    for number, (folder, _, _) in enumerate(os.walk(b".")):
        os.utime(folder, ns=(EARLY, EARLY + number))


if __name__ == "__main__":
    verb, root = sys.argv[1:]
    os.chdir(root)
    os.umask(0)
    make() if verb == "make" else change()
