"""A queue of the emulator's, what it can refuse, and workers as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


class Refusing(BaseHTTPRequestHandler):
    """Passes on to the emulator what it does not refuse."""

    emulator = ""
    refusals: dict[str, list[tuple[int, str]]]  # by call, each for one of them, the last for ever
    refused: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        call = self.headers["X-Amz-Target"].partition(".")[2]
        if refusals := self.refusals.get(call):
            status, code = refusals[0] if len(refusals) == 1 else refusals.pop(0)
            if status != 200:
                self.refused.append(call)
                text = {"__type": f"com.amazonaws.sqs#{code}", "message": f"said of {call}"}
                self._answer(status, json.dumps(text).encode())
                return
        request = urllib.request.Request(self.emulator, body, dict(self.headers))
        try:
            with urllib.request.urlopen(request) as answer:
                self._answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, error.read())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def refusing(
    url: str, refusals: dict[str, list[tuple[int, str]]]
) -> Iterator[tuple[str, list[str]]]:
    """Another URL of the queue, at which it refuses some calls; and which it did."""
    parts = urlsplit(url)
    emulator = f"{parts.scheme}://{parts.netloc}/"
    members = {"emulator": emulator, "refusals": refusals, "refused": []}
    handler = type("Handler", (Refusing,), members)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{parts.path}", members["refused"]
        finally:
            server.shutdown()


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

    @property
    def messages(self) -> int:
        """That wait for a worker."""
        name = "ApproximateNumberOfMessages"
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def result_of(self, name: str) -> Path:
        return self.backup.home / f"worker.{name}.json"

    def finish(self, name: str, waits_for_pipe: bool = True) -> tuple[int, str, dict[str, Any]]:
        """waits_for_pipe: until no process of it is left, either."""
        process = self.started[name]
        if waits_for_pipe:
            _, stderr = process.communicate(timeout=1000)
        else:
            process.wait()
            stderr = ""
        return process.returncode, stderr, json.loads(self.result_of(name).read_text())

    def end(self) -> None:
        for process in self.started.values():
            if process.poll() is None:
                end_tree(process)
            if process.stderr and not process.stderr.closed:  # as it is after finish()
                process.communicate()
