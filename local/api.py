"""Where the APIs of the account are, and how to call them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3

PORT = 4566
ENDPOINT = f"https://127.0.0.1:{PORT}"
ACCOUNT_ID = "111122223333"

Record = dict[str, Any]


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str
    token: str | None = None


ROOT_USER = Credentials("test", "test")


def certificate(home: Path) -> Path:
    """What a client must trust; the emulator writes it when it starts."""
    return home / "certificate.pem"


@cache
def client(
    service: str, region: str, certificate: Path, credentials: Credentials = ROOT_USER
) -> Any:
    """A boto3 client. It is typed Any: its methods are made from a service model at run time.

    Each is made once, which takes longer than a request and its connection.
    """
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=region,
        verify=str(certificate),
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
    )
