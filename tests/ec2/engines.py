"""The engine's scripts without loading the engine for each call, which takes several times as long
as a small backup.

A process that has it loaded forks one for each call. What a test stops or kills, it starts as the
script itself; so is what needs something before Python is loaded.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import runpy
import select
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NoReturn

EC2 = Path(__file__).parents[2] / "ec2"
LARGEST = 1 << 18  # arguments and environment
PYTHON = shutil.which("python3") or ""
LAST = 100  # descriptor, by far
LOADED = {"PYTHONUTF8": "1", "PYTHONPATH": str(EC2 / "lib")}  # as the scripts have it


def run_engine(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of ec2/efs-*.sh to its end, with the environment and the directory of this process
    and nothing to read. Output that is no UTF-8 is shown with backslashes."""
    script, *words = map(str, command)
    if "LD_PRELOAD" in os.environ or shutil.which("python3") != PYTHON:
        return subprocess.run(
            [script, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",
        )
    module, *before = re.findall(r'-m engine (.+) "\$@"', Path(script).read_text())[0].split()
    call = [module, [script, *before, *words], {**os.environ, **LOADED}, os.getcwd()]
    outputs = [os.memfd_create("output") for _ in range(2)]
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            message = json.dumps(call).encode()
            socket.send_fds(server(), [message], [*outputs, theirs.fileno()])
        code = int(ours.recv(10))
    return subprocess.CompletedProcess([script, *words], code, *map(written, outputs))


def written(output: int) -> str:
    with open(output, errors="backslashreplace") as file:
        file.seek(0)
        return file.read()


@cache
def server() -> socket.socket:
    """Where to send calls. It ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    with theirs:
        subprocess.Popen(
            [PYTHON, "-B", __file__, str(theirs.fileno())],
            env={**os.environ, **LOADED},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    return ours


def serve(calls: socket.socket) -> None:
    for path in sorted((EC2 / "lib/engine").glob("*/*.py")):  # not the commands themselves
        importlib.import_module(f"engine.{path.parent.name}.{path.stem}")
    at_work: dict[int, tuple[int, int]] = {}  # by a descriptor of the process
    while True:
        for ready in select.select([calls.fileno(), *at_work], [], [])[0]:
            if ready != calls.fileno():
                process, status = at_work.pop(ready)
                code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                with contextlib.suppress(BrokenPipeError):  # of a test that was not to wait for it
                    os.write(status, str(code).encode())
                os.close(status)
                os.close(ready)
                continue
            message, descriptors, _, _ = socket.recv_fds(calls, LARGEST, 3)
            if not message:
                return
            *outputs, status = descriptors
            process = os.fork() or carry_out(outputs, *json.loads(message))
            at_work[os.pidfd_open(process)] = process, status
            for output in outputs:
                os.close(output)


def carry_out(
    outputs: list[int], module: str, argv: list[str], environment: dict[str, str], directory: str
) -> NoReturn:
    for number, output in enumerate(outputs, start=1):
        os.dup2(output, number)
    os.closerange(3, LAST)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
