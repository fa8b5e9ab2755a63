"""What the sandbox promises, seen from inside."""

import errno
import os
import socket
import subprocess
from pathlib import Path

import pytest

from local import sandbox


@pytest.mark.parametrize("directory", ["/", "/etc", "/tmp", "/usr", sandbox.REPOSITORY, "/var/tmp"])
def test_the_files_of_the_host_cannot_be_changed(directory):
    with pytest.raises(OSError, match="Read-only file system"):
        Path(directory, "own").touch()


@pytest.mark.parametrize("directory", [sandbox.STATE, os.environ["TMPDIR"]])
def test_its_own_can(directory):
    Path(directory, "own").touch()
    Path(directory, "own").unlink()


def test_it_is_root_with_the_right_to_mount(tmp_path):
    assert os.geteuid() == 0
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=True)


def test_no_process_of_the_host_is_visible():
    first = Path("/proc/1/cmdline").read_bytes()
    assert first.startswith(os.fsencode(sandbox.BUBBLEWRAP))


def test_no_network_of_the_host_is_reachable():
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    with socket.socket() as client, pytest.raises(OSError, match="unreachable") as refusal:
        client.connect(("192.0.2.1", 80))
    assert refusal.value.errno == errno.ENETUNREACH


def test_no_setting_of_the_user_gets_in():
    assert not [name for name in os.environ if name.startswith(("AWS_", "PYTHON", "SSL_"))]
