"""The Lambda entry point: what CloudWatch asks of a custom widget, answered in HTML.

The function's role may only read. What the buttons do, the orchestrator does, which the dashboard
calls with the rights of who presses them: see docs/adr/0024.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Protocol

import boto3
from botocore.config import Config
from engine.history.search import OutOfTime

from console_page.answer import answer
from console_page.html import Content, text_of
from console_page.in_bucket import InBucket
from console_page.known import read
from console_page.links import restoring
from console_page.page import Request, rendered
from console_page.settings import Settings

DOCUMENTATION = """## EFS Backup
Shows the snapshots, the last backups and what they cost, links to restore, and a search for files.
It takes no parameters. Who may invoke this function may see all names of files in the backup.
"""
BRIEFLY = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=3, read_timeout=8
)
MOST_BYTES = 400_000_000  # of catalogs, where the function has room for 512 MB
TO_RENDER = 4  # seconds that are left when a search is cut short

logger = logging.getLogger("console_page")
logger.setLevel(logging.INFO)


class Context(Protocol):
    """What is used of Lambda's context object."""

    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int: ...


def lambda_handler(event: Mapping[str, Any], context: Context) -> str:
    """HTML, or Markdown for {"describe": true}. Errors are raised, and CloudWatch says so."""
    if event.get("describe"):
        return DOCUMENTATION
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - TO_RENDER
    request = Request.of(event, context.invoked_function_arn)
    return page(request, Settings.from_env(os.environ), client, pace_until(end))


@cache
def client(service: str) -> Any:
    return boto3.client(service, config=BRIEFLY)


def pace_until(end: float) -> Callable[[], None]:
    def pace() -> None:
        if time.monotonic() > end:
            raise OutOfTime

    return pace


def page(
    request: Request,
    settings: Settings,
    clients: Callable[[str], Any],
    pace: Callable[[], None],
    now: datetime | None = None,
) -> str:
    now = now or datetime.now(UTC)
    prefix = f"catalog/{settings.restore['FolderLabel']}/"
    cache = Path(gettempdir(), "catalogs")
    catalogs = partial(InBucket, clients("s3"), settings.bucket, prefix, cache, MOST_BYTES)
    known = read(settings, clients, catalogs)
    restore = restoring(settings, known.members, now)
    found: Content = []
    if request.find and known.catalogs:
        found = answer(request, known.catalogs, known.members, restore, pace)
    return text_of(rendered(request, settings, known, found, restore, now))
