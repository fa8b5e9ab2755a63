"""A queue of the emulator's, and workers as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError

from local import forks

from .conftest import EC2, Backup, end_tree

PROGRAMS = Path(sys.executable).parent
LEASE = 8  # seconds
CLI = f"cli-of-{os.getpid()}"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


@contextlib.contextmanager
def emulator(home: Path) -> Iterator[Any]:
    """A client of SQS. The AWS CLI is loaded once, as nobody can wait for it at each call."""
    (home / "aws").write_text(forks.command("aws", CLI))
    (home / "aws").chmod(0o755)
    ENVIRONMENT["PATH"] = f"{home}:{os.environ['PATH']}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GATEWAY_PORT": str(port), "SERVICES": "sqs", "HOME": str(home)}
    with (home / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAMS / "ministack"],
            env={**os.environ, **ENVIRONMENT, **settings},
            stdout=log,
            stderr=log,
            cwd=home,
        )
    try:
        client = boto3.client(
            "sqs",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        while True:
            try:
                client.list_queues()
                break
            except BotoCoreError:
                assert process.poll() is None, (home / "emulator.log").read_text()
                time.sleep(0.1)
        with forks.serve(CLI):
            yield client
    finally:
        process.kill()
        process.wait()


@dataclass
class Workers:
    """Those of one backup's directories, and the queue between them and its runs."""

    backup: Backup
    client: Any
    url: str
    started: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, str | None]:
        """What the engine's commands are told."""
        return {"workers_queue": self.url, "lease": str(LEASE)}

    def start(
        self, name: str, environment: dict[str, str] | None = None, **changes: str
    ) -> subprocess.Popen[str]:
        options = {
            "source": str(self.backup.source),
            "target": str(self.backup.target),
            "workers_queue": self.url,
            "lease": str(LEASE),
            "jobs": "2",
            "idle": "60",
            "name": name,
            "result": str(self.result_of(name)),
            **changes,
        }
        words = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
        process = subprocess.Popen(
            [EC2 / "efs-worker.sh", *words],
            env={**os.environ, **(environment or {})},
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )
        self.started[name] = process
        return process

    def result_of(self, name: str) -> Path:
        return self.backup.home / f"worker.{name}.json"

    def finish(self, name: str) -> tuple[int, str, dict[str, Any]]:
        process = self.started[name]
        _, stderr = process.communicate(timeout=1000)
        return process.returncode, stderr, json.loads(self.result_of(name).read_text())

    def end(self) -> None:
        for process in self.started.values():
            if process.poll() is None:
                end_tree(process)
            process.communicate()
