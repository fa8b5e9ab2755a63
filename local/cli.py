"""The AWS CLI, loaded once: most of what a call of `aws` takes is loading it.

`serve()` starts a process that has it loaded, and `command()` is a program that stands for `aws`:
each call is a process of its own, forked from that one, with the arguments, the environment, the
files and the input and output of who calls. It ends when its caller does.
"""

import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Those of the account's instances.
NAME = "local-aws"
# What they call, and what workers do.
WARM = ("autoscaling", "dynamodb", "s3", "sns", "sqs")
LARGEST = 1 << 18  # arguments and environment
CLONE_NEWNS = 0x20000

COMMAND = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, {largest})
    server.connect("\\0{name}")
    call = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()])
    socket.send_fds(server, [call.encode()], [0, 1, 2])
    status = server.recv(1)
sys.exit(status[0] if status else 255)
"""


def command(name: str) -> str:
    """The text of a program that calls the CLI of the server of this name."""
    return COMMAND.format(python=sys.executable, largest=LARGEST, name=name)


@contextmanager
def serve(name: str) -> Iterator[None]:
    """Serves this network namespace until the `with` block ends, or this process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0{name}")
        listener.listen(100)  # calls wait for the server to be loaded
        server = subprocess.Popen(
            [sys.executable, "-m", "local.cli", str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
    with server:
        yield


def main(listener: socket.socket) -> None:
    driver = _loaded()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if not os.fork():
            os._exit(_answer(connection, driver))
        connection.close()


def _loaded() -> Any:
    """The CLI, with what it knows of the services: all that is cached in its session."""
    import awscli.clidriver

    driver = awscli.clidriver.create_clidriver()
    for service in WARM:
        driver.session.create_client(
            service, "us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )
    return driver


def _answer(connection: socket.socket, driver: Any) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, descriptors, _, _ = socket.recv_fds(connection, LARGEST, 3)
    arguments, environment, directory = json.loads(message)
    _enter(_peer(connection))
    os.chdir(directory)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["aws", *arguments]
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    try:
        status = int(driver.main(arguments))
    except SystemExit as end:
        status = int(end.code or 0)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    connection.send(bytes([status]))
    return status


def _peer(connection: socket.socket) -> int:
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[0])


def _enter(process: int) -> None:
    """Sees the files that a process sees."""
    mounts = f"/proc/{process}/ns/mnt"
    if os.readlink(mounts) == os.readlink("/proc/self/ns/mnt"):
        return
    root = os.open(f"/proc/{process}/root", os.O_RDONLY)
    with open(mounts) as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "setns")
    os.fchdir(root)
    os.chroot(".")
    os.close(root)


def _end_with(connection: socket.socket) -> None:
    connection.recv(1)
    os._exit(255)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
