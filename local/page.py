"""The page on the dashboard of a deployment, for who looks at the demo."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.dashboard import Dashboard, server
from local.deployment import Deployment, DeploymentError
from local.relay import SOCKET


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def dashboard(deployment: Deployment) -> Dashboard:
    functions = deployment.account.client("lambda")

    def call(endpoint: str, event: dict[str, Any]) -> Any:
        response = functions.invoke(FunctionName=endpoint, Payload=json.dumps(event))
        answer = json.loads(response["Payload"].read())
        if "FunctionError" in response:
            raise DeploymentError(f"{endpoint} failed: {answer}")
        return answer

    name = deployment.resources["ConsolePage"]
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    return Dashboard(call, arn)


def verified(shown: Dashboard) -> str:
    """The page. Raises DeploymentError if anything could not be read."""
    html = shown.answer(json.dumps({"endpoint": shown.endpoint, "event": {}}).encode())
    page = str(html.get("answer", html))
    if "daily.0" not in page or 'class="problem"' in page:
        raise DeploymentError(f"expected a page with the snapshots, found {page}")
    return page


def write(shown: Dashboard, target: Path) -> None:
    target.write_text(shown.html("", verified(shown)))


@contextmanager
def served(shown: Dashboard) -> Iterator[None]:
    """For the relay, which may be another user's."""
    SOCKET.unlink(missing_ok=True)
    with server(shown, Server, str(SOCKET)) as listening:
        SOCKET.chmod(0o666)
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            listening.shutdown()
            SOCKET.unlink(missing_ok=True)
