"""Backups and restores on NFS mounts are exact, whatever the files are called and are."""

from __future__ import annotations

from tests.nfs.conftest import Machine
from tests.trees import visible


def test_hostile_names_and_types_are_exact_and_history_does_not_change(rig: Machine) -> None:
    rig.python("hostile.py", "make", "/srv/source")
    first = rig.tree("/srv/source")
    rig.backup()
    assert rig.snapshot(0) == first

    rig.python("hostile.py", "change", "/srv/source")
    second = rig.tree("/srv/source")
    assert second != first
    rig.backup()
    assert rig.snapshot(0) == second
    assert rig.snapshot(1) == first

    rig.restore(1)
    assert visible(rig.tree("/srv/source")) == first
    assert rig.snapshot(1) == first


def test_holes_stay_holes(rig: Machine) -> None:
    rig.run("truncate --size 64M /srv/source/sparse; echo end >>/srv/source/sparse")
    rig.backup()
    blocks = rig.run("stat --format %b /srv/backup/files/daily.0/sparse").stdout
    assert int(blocks) < 1000
    assert rig.snapshot(0) == rig.tree("/srv/source")


def test_unchanged_files_share_their_space(rig: Machine) -> None:
    rig.python("many.py", "make", "/srv/source", 100)
    for _ in range(3):
        rig.backup()
    links = rig.run("find /srv/backup/files/daily.0 -type f -printf '%n\\n' | sort | uniq -c")
    assert links.stdout.split() == ["100", "3"]


def test_a_file_at_the_link_limit_is_copied(rig: Machine) -> None:
    """The limit is that of the server's file system, 65,000 links: two short of it at first."""
    rig.python("many.py", "make", "/srv/source", 50)
    rig.backup()
    rig.run(
        "python3 - <<'END'\n"
        "import os, pathlib\n"
        "links = pathlib.Path('/srv/backup/links')\n"
        "links.mkdir()\n"
        "for number in range(64_997):\n"
        "    os.link('/srv/backup/files/daily.0/0/0/file-7', links / str(number))\n"
        "END",
        timeout=250,
    )
    wanted = rig.tree("/srv/source")
    copied = [rig.backup()["number_of_files_at_link_limit"] for _ in range(4)]
    assert copied == [0, 0, 1, 0]
    assert rig.snapshots() == [wanted] * 5


def test_nothing_that_is_bound_from_the_source_can_be_written(rig: Machine) -> None:
    """NFS is mounted read-only as a whole, so no mount that is made of it later can be more."""
    written = rig.run(
        "mkdir /tmp/bound; mount --bind /mnt/source /tmp/bound; mount -o remount,bind,rw /tmp/bound"
        "\ntouch /tmp/bound/file 2>&1 || true"
    )
    assert "Read-only file system" in written.stdout
