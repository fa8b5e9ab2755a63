"""What the sandbox says where it cannot be made. What it promises is in inside/test_sandbox.py."""

import io
import os
import shutil
import subprocess
import sys

import pytest

from local import sandbox


@pytest.fixture(autouse=True)
def no_exec(monkeypatch):
    """Nothing here may replace the process that runs the tests."""

    def fail(*arguments):
        pytest.fail("the sandbox was entered")

    monkeypatch.setattr(os, "execvp", fail)


@pytest.fixture
def ordinary_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def finished(code, error=""):
    return lambda command, **options: subprocess.CompletedProcess(command, code, "", error)


def test_without_bubblewrap(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *arguments, **options: None)
    with pytest.raises(sandbox.SandboxError, match="bubblewrap is missing"):
        sandbox.enter("platform")


def test_without_sudo(monkeypatch, ordinary_user):
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, **options: None if name == "sudo" else which(name, **options)
    )
    with pytest.raises(sandbox.SandboxError, match="run this as root, or install sudo"):
        sandbox.enter("platform")


def test_without_a_terminal_for_the_password(monkeypatch, ordinary_user):
    monkeypatch.setattr(shutil, "which", lambda *arguments, **options: "/usr/bin/true")
    monkeypatch.setattr(sandbox, "_copy_bubblewrap", lambda: None)
    monkeypatch.setattr(subprocess, "run", finished(1))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(sandbox.SandboxError, match="run this in a terminal, or as root"):
        sandbox.enter("platform")


def test_without_the_right_to_mount(monkeypatch):
    monkeypatch.setattr(subprocess, "run", finished(32, "mount: permission denied"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(sandbox.SandboxError, match=r"permission denied\n.*--privileged"):
        sandbox.enter("platform")


def test_what_another_user_left(monkeypatch, tmp_path):
    def refuse(*arguments):
        raise PermissionError("Permission denied: '.local/bwrap'")

    monkeypatch.setattr(sandbox, "STATE", tmp_path)
    monkeypatch.setattr(sandbox, "BUBBLEWRAP", tmp_path / "bwrap")
    monkeypatch.setattr(shutil, "copy2", refuse)
    with pytest.raises(sandbox.SandboxError, match="make clean"):
        sandbox.enter("platform")


def test_the_exit_code_is_that_of_the_module():
    module = ["pytest", "-p", "no:cacheprovider", "/no/such/file"]
    command = [sys.executable, "-m", "local.sandbox", *module]
    done = subprocess.run(command, cwd=sandbox.REPOSITORY, capture_output=True)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
