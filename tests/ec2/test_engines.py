"""What runs the engine for tests."""

from __future__ import annotations

import json
import os
import socket

from .engines import EC2, LOADED, run_engine, server


def test_a_call_that_nobody_waits_for_ends_no_other() -> None:
    """As of a test that took too long."""
    outputs = [os.memfd_create("output") for _ in range(2)]
    ours, theirs = socket.socketpair()
    call = ["engine.verify", ["efs-verify.sh", "--help"], {**os.environ, **LOADED}, "/"]
    socket.send_fds(server(), [json.dumps(call).encode()], [*outputs, theirs.fileno()])
    ours.close()
    theirs.close()
    for _ in range(3):
        assert run_engine(EC2 / "efs-verify.sh", "--help").returncode == 0
