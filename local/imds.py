"""The instance metadata service, version 2 only, for all instances of an account.

An instance finds its own at http://127.0.0.1:PORT/INSTANCE-ID.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from local.api import Credentials

PORT = 1338
_LIFETIME = timedelta(hours=6)


@dataclass(frozen=True)
class Identity:
    """What an instance may know about itself."""

    account: str
    image: str
    instance_id: str
    instance_type: str
    zone: str
    role: str
    credentials: Callable[[], Credentials]
    is_spot: bool = False
    is_taken: Callable[[], bool] = lambda: False
    """Whether EC2 is about to take it away, if it is a Spot Instance."""

    @property
    def region(self) -> str:
        return self.zone[:-1]


class MetadataService:
    def __init__(self) -> None:
        self._identities: dict[str, Identity] = {}
        self._documents: dict[str, Mapping[str, Callable[[], str]]] = {}
        self._tokens: set[str] = set()

    def start(self) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", PORT), _handler(self))
        Thread(target=server.serve_forever, name="imds", daemon=True).start()

    def add(self, identity: Identity) -> str:
        """Makes an instance known; returns its endpoint."""
        self._identities[identity.instance_id] = identity
        self._documents[identity.instance_id] = _documents(identity)
        return f"http://127.0.0.1:{PORT}/{identity.instance_id}"

    def remove(self, instance_id: str) -> None:
        self._documents.pop(instance_id, None)
        self._identities.pop(instance_id, None)

    def identity(self, instance_id: str) -> Identity:
        return self._identities[instance_id]

    def issue_token(self) -> str:
        token = secrets.token_urlsafe()
        self._tokens.add(token)
        return token

    def get(self, path: str, token: str) -> tuple[int, str]:
        """The status and the text for a path that starts with the instance's id."""
        if token not in self._tokens:
            return 401, "Unauthorized"
        instance_id, _, key = path.strip("/").partition("/latest/")
        document = self._documents.get(instance_id, {}).get(key.rstrip("/"))
        text = document() if document else ""
        return (200, text) if text else (404, "Not Found")


def _documents(identity: Identity) -> Mapping[str, Callable[[], str]]:
    return {
        "meta-data/ami-id": lambda: identity.image,
        "meta-data/instance-id": lambda: identity.instance_id,
        "meta-data/instance-life-cycle": lambda: "spot" if identity.is_spot else "on-demand",
        "meta-data/spot/instance-action": lambda: _action(identity),
        "meta-data/instance-type": lambda: identity.instance_type,
        "meta-data/placement/availability-zone": lambda: identity.zone,
        "meta-data/placement/region": lambda: identity.region,
        "meta-data/iam/security-credentials": lambda: identity.role,
        f"meta-data/iam/security-credentials/{identity.role}": lambda: _credentials(identity),
        "dynamic/instance-identity/document": lambda: _identity_document(identity),
    }


def _action(identity: Identity) -> str:
    """Two minutes before a Spot Instance ends there is one."""
    if not identity.is_spot or not identity.is_taken():
        return ""
    time = _timestamp(datetime.now(UTC) + timedelta(minutes=2))
    return json.dumps({"action": "terminate", "time": time})


def _credentials(identity: Identity) -> str:
    credentials = identity.credentials()
    now = datetime.now(UTC)
    return json.dumps(
        {
            "Code": "Success",
            "LastUpdated": _timestamp(now),
            "Type": "AWS-HMAC",
            "AccessKeyId": credentials.access_key,
            "SecretAccessKey": credentials.secret_key,
            "Token": credentials.token,
            "Expiration": _timestamp(now + _LIFETIME),
        }
    )


def _identity_document(identity: Identity) -> str:
    return json.dumps(
        {
            "accountId": identity.account,
            "architecture": "x86_64",
            "availabilityZone": identity.zone,
            "imageId": identity.image,
            "instanceId": identity.instance_id,
            "instanceType": identity.instance_type,
            "region": identity.region,
        }
    )


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _handler(service: MetadataService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            if not self.path.endswith("/latest/api/token"):
                return self._answer(404, "Not Found")
            if not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
                return self._answer(400, "Bad Request")
            return self._answer(200, service.issue_token())

        def do_GET(self) -> None:
            token = self.headers.get("X-aws-ec2-metadata-token", "")
            self._answer(*service.get(self.path, token))

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
