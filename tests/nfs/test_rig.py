"""The rig itself: what it counts, what it isolates, and that no failure in it is silent."""

from __future__ import annotations

import os
import signal

import pytest

from tests.nfs.conftest import Machine
from tests.nfs.rig import Rig, RigError


def test_mounts_have_the_options_of_efs(rig: Machine) -> None:
    mounts = rig.run("grep ' nfs4 ' /proc/mounts").stdout
    for option in ("vers=4.1", "rsize=1048576", "wsize=1048576", "hard", "timeo=600", "retrans=2"):
        assert mounts.count(f",{option},") == 2
    assert mounts.count("noresvport") == 2
    assert rig.run("touch /mnt/source/file", check=False).code != 0
    rig.run("touch /mnt/backup/file && test -e /srv/backup/file")


def test_it_counts_what_each_mount_sends(rig: Machine) -> None:
    rig.run("mkdir /mnt/backup/folder")
    rig.run("for name in 1 2 3; do ln -s target /mnt/backup/folder/$name; done")
    before = rig.rpcs()
    rig.run("rm /mnt/backup/folder/?")
    after = rig.rpcs()
    assert after["backup"]["REMOVE"] - before["backup"]["REMOVE"] == 3
    assert after["source"] == before["source"]
    rig.remount()
    assert rig.rpcs()["backup"]["REMOVE"] == 0


def test_a_call_takes_a_round_trip(rig: Machine) -> None:
    rig.delay(50)
    took = rig.run("begin=$EPOCHREALTIME; mkdir /mnt/backup/x; echo $begin $EPOCHREALTIME").stdout
    begin, end = map(float, took.split())
    assert end - begin >= 0.05


def test_nothing_of_a_script_is_left_behind(rig: Machine) -> None:
    rig.run("setsid sleep 1000 & mount -t tmpfs tmpfs /tmp && touch /tmp/file")
    assert rig.run("pgrep -c sleep", check=False).stdout == "0\n"
    rig.run("test ! -e /tmp/file")
    rig.run("touch /srv/backup/file")
    rig.fresh()
    assert rig.run("ls -A /srv/backup /mnt/backup").stdout.split() == [
        *("/mnt/backup:", "/srv/backup:")
    ]


def test_a_script_that_takes_too_long_is_killed(booted: Machine) -> None:
    done = booted.run("echo so far; sleep 1000", timeout=1, check=False)
    assert (done.code, done.stdout) == (137, "so far\n")


def test_a_failing_script_shows_its_output(booted: Machine) -> None:
    with pytest.raises(AssertionError, match="exit code 3\nout\nerr"):
        booted.run("echo out; echo err >&2; exit 3")


def test_a_machine_that_hangs_is_ended(booted: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.nfs.rig.GRACE_SECONDS", 0)
    with Rig() as machine:
        os.kill(machine.pid, signal.SIGSTOP)
        with pytest.raises(RigError, match="did not answer within 1 second"):
            machine.run("true", timeout=1)
    with pytest.raises(ProcessLookupError):
        os.kill(machine.pid, 0)


def test_a_panic_shows_the_console(booted: Machine) -> None:
    with Rig() as machine, pytest.raises(RigError, match="sysrq triggered crash"):
        machine.run("echo c >/proc/sysrq-trigger")
