"""The catalogs of a stack's snapshots, brought here from the log bucket once."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from engine.command.outcome import Refused
from engine.history.members import Member, from_json
from engine.history.upkeep import LIST, catalog_key, changes_key

NEW_SECONDS = 3600


class InBucket:
    """Files are called by digests of what they are: no name that comes from elsewhere is a path
    here, and what has changed in the bucket is another file."""

    def __init__(
        self,
        client: Any,
        bucket: str,
        prefix: str,
        cache: Path,
        most_bytes: float = math.inf,
    ) -> None:
        """most_bytes: how much one question may bring here; more is refused."""
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        own = hashlib.sha256(f"{bucket}/{prefix}".encode()).hexdigest()[:32]
        self._cache = cache / own
        self._room = most_bytes
        self._sizes: dict[str, int] = {}
        self._tags = dict(self._listed())

    def _listed(self) -> Iterator[tuple[str, str]]:
        """What there is, and what tells whether it has changed."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        for page in pages:
            for found in page.get("Contents", []):
                self._sizes[found["Key"]] = found["Size"]
                yield found["Key"], f"{found['ETag']} {found['LastModified']}"

    def members(self) -> list[Member]:
        """As the last backup has left them."""
        path = self._fetched(LIST)
        if path is None:
            raise Refused("No backup has told yet which snapshots there are. Make one first")
        try:
            return from_json(path.read_bytes())
        except ValueError as error:
            raise Refused(f"{error}. The next backup writes it anew") from error
        finally:
            self._tidy()

    def catalog(self, member: Member) -> Path | None:
        return self._fetched(catalog_key(member))

    def changes(self, member: Member) -> Path | None:
        return self._fetched(changes_key(member))

    def _fetched(self, name: str) -> Path | None:
        key = self._prefix + name
        if key not in self._tags:
            return None
        path = self._place(key)
        self._room -= self._sizes.pop(key, 0)  # once
        if self._room < 0:
            raise Refused("the catalogs are too large to be brought here")
        if not path.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f"{path.name}.{os.getpid()}")
            try:
                self._client.download_file(self._bucket, key, str(new))
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                    return None  # a backup has removed it meanwhile
                raise
            new.replace(path)
        return path

    def _place(self, key: str) -> Path:
        return self._cache / hashlib.sha256(f"{key} {self._tags[key]}".encode()).hexdigest()

    def _tidy(self) -> None:
        """Of what is there no more, nothing is kept here, but for what another question may be
        fetching in this moment, or have fetched."""
        known = {self._place(key) for key in self._tags}
        for path in self._cache.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path not in known and time.time() - path.stat().st_mtime > NEW_SECONDS:
                    path.unlink()
