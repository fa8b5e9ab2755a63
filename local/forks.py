"""The AWS CLI and boto3, loaded once: most of what a call of `aws` takes is loading it, and most of
what starting a Lambda function takes.

`serve()` starts a process that has them loaded, and `command()` is a program that stands for `aws`
or `python`: each call is a process of its own, forked from that one, with the arguments, the
environment, the files and the input and output of who calls. It ends when its caller does.
"""

import ctypes
import gc
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# The server of an account, which has a network of its own.
NAME = "local-aws"
# What instances and functions call.
WARM = (
    "autoscaling", "cloudwatch", "dynamodb", "ec2", "efs", "events", "lambda", "s3", "scheduler",
    "sns", "sqs", "ssm",
)  # fmt: skip
LARGEST = 1 << 18  # arguments and environment
CLONE_NEWNS = 0x20000

# The modules below `socket` and `json`: loading those takes longer than all that it does.
COMMAND = """\
#!{python} -IS
import os, sys, _socket
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
server.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, {largest})
server.connect("\\0{name}")
words = ["{program}", *sys.argv[1:]]
settings = (name + b"=" + value for name, value in os.environb.items())
parts = [b"%d" % len(words), os.getcwdb(), *map(os.fsencode, words), *settings]
files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
server.sendmsg([b"\\0".join(parts)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
status = server.recv(1)
sys.exit(status[0] if status else 255)
"""


def command(program: str, name: str = NAME) -> str:
    """The text of one that has the server of this name carry out `aws` or `python`."""
    return COMMAND.format(python=sys.executable, largest=LARGEST, program=program, name=name)


@contextmanager
def serve(name: str = NAME) -> Iterator[None]:
    """Serves this network namespace until the `with` block ends, or this process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0{name}")
        listener.listen(100)  # calls wait for the server to be loaded
        server = subprocess.Popen(
            [sys.executable, "-m", "local.forks", str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
    with server:
        yield


def main(listener: socket.socket) -> None:
    gc.disable()
    driver = _loaded()
    gc.freeze()  # nothing of it is garbage, as looking for that would find
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if not os.fork():
            os._exit(_answer(connection, driver))
        connection.close()


def _loaded() -> Any:
    """The CLI, with what it knows of services cached, also for those who make their own session."""
    import awscli.clidriver
    import boto3  # noqa: F401
    from botocore.loaders import JSONFileLoader

    load_file = JSONFileLoader.load_file
    load_once = cache(lambda path: load_file(JSONFileLoader(), path))
    JSONFileLoader.load_file = lambda _, path: load_once(path)
    driver = awscli.clidriver.create_clidriver()
    models = driver.session.get_component("data_loader")
    for kind in ("service-2", "paginators-1", "waiters-2"):  # looks into 400 directories for each
        for service in {*WARM} & {*models.list_available_services(type_name=kind)}:
            models.load_service_model(service, kind)
    for service in WARM:
        driver.session.create_client(
            service, "us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )
    return driver


def _answer(connection: socket.socket, driver: Any) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, descriptors, flags, _ = socket.recv_fds(connection, LARGEST, 3)
    if flags & socket.MSG_TRUNC:
        raise ValueError("arguments and environment are too large")
    count, directory, *rest = message.split(b"\0")
    arguments = [os.fsdecode(word) for word in rest[: int(count)]]
    _enter(_peer(connection))
    os.chdir(directory)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environb.clear()
    for setting in rest[int(count) :]:
        name, _, value = setting.partition(b"=")
        os.environb[name] = value
    sys.argv = arguments
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    try:
        status = _carry_out(driver, *arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    connection.send(bytes([status]))
    return status


def _carry_out(driver: Any, program: str, *arguments: str) -> int:
    if program == "aws":
        return int(driver.main(arguments))
    del sys.argv[0]
    sys.path[0] = os.path.dirname(arguments[0])
    runpy.run_path(arguments[0], run_name="__main__")
    return 0


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
