"""The mount targets of the account: who may mount a file system, as EFS decides it.

What a client may do is what the policy of its role or the policy of the file system allows, and
the policy of the file system does not deny. A file system without a policy lets everybody do
everything. Only a few condition keys are enforced when a client mounts:
https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
"""

from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from ministack.core import iam_evaluator

from local.api import Record

PORT = 2049
MOUNT, ROOT, WRITE = (
    f"elasticfilesystem:Client{name}" for name in ("Mount", "RootAccess", "Write")
)
RIGHTS = frozenset({MOUNT, ROOT, WRITE})
ENFORCED = {
    "aws:SecureTransport",
    "aws:SourceIp",
    "elasticfilesystem:AccessPointArn",
    "elasticfilesystem:AccessedViaMountTarget",
}


class Unresolved(Exception):
    """There is no such file system, or it has no mount target."""


class NotEnforced(Exception):
    """A policy rests on a condition that EFS does not enforce when a client mounts."""


def granted(
    policy: Record | None,
    own: Iterable[str],
    role: str | None = None,
    tls: bool = True,
    file_system: str = "*",
) -> frozenset[str]:
    """What a client may do through a mount target.

    `own`: what the policies of its role, an ARN, allow; a client without a role has no rights of
    its own. `file_system`: its ARN, which EFS notes as the resource of each statement. Raises
    NotEnforced rather than guess what EFS would make of the policy.
    """
    if policy is None:
        return RIGHTS
    for statement in _listed(policy["Statement"]):
        for key in (key for keys in statement.get("Condition", {}).values() for key in keys):
            if key not in ENFORCED:
                raise NotEnforced(f"its file system policy names {key}, which EFS does not enforce")
    rights = frozenset(own)
    return frozenset(
        right for right in RIGHTS if _allows(policy, right, right in rights, role, tls, file_system)
    )


def _allows(
    policy: Record, right: str, own: bool, role: str | None, tls: bool, file_system: str
) -> bool:
    """As the emulator decides for all other services."""
    request = iam_evaluator.EvalContext(
        principal_arn=role or "anonymous",
        principal_type="AssumedRole",
        principal_account="",
        action=right,
        resource_arn=file_system,
        region="",
        source_ip="",
        secure_transport=tls,
        service_context={"elasticfilesystem:accessedviamounttarget": "true"},
    )
    decision = iam_evaluator.evaluate_resource_policy(policy, request).decision
    return bool(decision == "Allow" or (own and decision != "Deny"))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


Decide = Callable[[str, str, bool, bool], frozenset[str]]
"""The rights of (instance id, file system id, whether it gives its role, whether by TLS)."""


def serve(decide: Decide) -> None:
    """Answers GET /INSTANCE/FILE-SYSTEM/OPTIONS with rw or ro, or says why it denies the mount.
    What decides raises Unresolved where there is nothing to mount."""
    server = ThreadingHTTPServer(("127.0.0.1", PORT), _handler(decide))
    Thread(target=server.serve_forever, name="mount targets", daemon=True).start()


def _handler(decide: Decide) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, instance, file_system, options = self.path.split("/", 3)
            given = options.split(",")
            self._answer(*_judged(decide, instance, file_system, "iam" in given, "tls" in given))

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler


def _judged(
    decide: Decide, instance: str, file_system: str, iam: bool, tls: bool
) -> tuple[int, str]:
    try:
        rights = decide(instance, file_system, iam, tls)
    except Unresolved:
        return 404, file_system
    except NotEnforced as error:
        return 403, f"access denied by server while mounting {file_system}: {error}"
    # Without root access EFS takes root for somebody else; nothing here can, so that is a denial.
    if not {MOUNT, ROOT} <= rights:
        return 403, f"access denied by server while mounting {file_system}"
    return 200, "rw" if WRITE in rights else "ro"
