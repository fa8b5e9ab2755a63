"""An Amazon SQS queue, by the AWS CLI: every instance of Amazon Linux has it, and it knows
credentials, regions, proxies and retries. See docs/adr/0028."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from engine.command import text

AT_ONCE = 10  # messages, the most that SQS takes in one call
SECONDS = 90  # for one call: with its retries, and the longest wait for a message


class QueueError(Exception):
    """SQS does not do what it is asked, or cannot be reached."""


class Message(NamedTuple):
    """receipt: by which this delivery of it is known."""

    body: str
    receipt: str


class Queue:
    def __init__(self, url: str) -> None:
        """url: as SQS calls the queue; its host is asked, whoever runs that."""
        parts = urlsplit(url)
        self._url = url
        self._common = ["--endpoint-url", f"{parts.scheme}://{parts.netloc}", "--output", "json"]
        region = re.search(r"\bsqs(?:-fips)?\.([a-z0-9-]+)\.", parts.netloc)
        if region:
            self._common += ["--region", region[1]]

    def send(self, bodies: Sequence[str]) -> None:
        """Raises :class:`QueueError` if it did not take all of them; it may have taken some."""
        self._call_with("send-message-batch", [{"MessageBody": body} for body in bodies])

    def receive(self, count: int, wait: int, lease: int) -> list[Message]:
        """Up to ``count`` messages, within ``wait`` seconds; nobody else gets them for ``lease``
        seconds."""
        answer = self._call(
            "receive-message",
            MaxNumberOfMessages=min(count, AT_ONCE),
            WaitTimeSeconds=wait,
            VisibilityTimeout=lease,
        )
        found = answer.get("Messages", [])
        return [Message(message["Body"], message["ReceiptHandle"]) for message in found]

    def extend(self, receipts: Sequence[str], lease: int) -> None:
        """Keep them for ``lease`` seconds more from now on; with 0, give them back."""
        self._call_with(
            "change-message-visibility-batch",
            [{"ReceiptHandle": receipt, "VisibilityTimeout": lease} for receipt in receipts],
        )

    def delete(self, receipts: Sequence[str]) -> None:
        self._call_with("delete-message-batch", [{"ReceiptHandle": each} for each in receipts])

    def _call_with(self, operation: str, entries: list[dict[str, Any]]) -> None:
        failed: list[dict[str, Any]] = []
        for start in range(0, len(entries), AT_ONCE):
            part = entries[start : start + AT_ONCE]
            numbered = [{"Id": str(number), **entry} for number, entry in enumerate(part)]
            failed += self._call(operation, Entries=numbered).get("Failed", [])
        if failed:  # only now, as one that fails says nothing of the others
            said = failed[0].get("Message") or failed[0].get("Code")
            raise QueueError(f"{operation}: {len(failed)} of {len(entries)} failed: {said}")

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        command = ["aws", "sqs", operation, *self._common]
        command += ["--cli-connect-timeout", "5", "--cli-read-timeout", "30"]
        try:
            done = subprocess.run(
                [*command, "--cli-input-json", json.dumps({"QueueUrl": self._url, **parameters})],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                start_new_session=True,  # a terminal's Ctrl-C is not for it
            )
            if done.returncode == 0:
                answer = json.loads(done.stdout or b"{}")
                return answer if isinstance(answer, dict) else {}
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise QueueError(f"{operation}: {error}") from error
        said = text.shown(done.stderr.strip().replace(b"\n", b" "))
        raise QueueError(said or f"{operation}: exit code {done.returncode}")
