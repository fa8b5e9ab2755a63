"""A dashboard that shows one custom widget, as the console of CloudWatch does.

What the function answers is made inert, and its cwdb-actions call functions: see dashboard.html. It
is served at a path that nobody guesses: who can open it may do all that its buttons do.
"""

from __future__ import annotations

import json
import secrets
import socketserver
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

SHELL = Path(__file__).with_suffix(".html")
MOST_BYTES = 1_000_000  # of a request
# Whatever were in the answer, the browser would run, load and send nothing.
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Call = Callable[[str, dict[str, Any]], Any]
"""Invokes a Lambda function, by its ARN, with an event; returns what it answers."""


class Dashboard:
    def __init__(self, call: Call, endpoint: str, token: str = "") -> None:
        """endpoint: the ARN of the widget's function."""
        self.token = token or secrets.token_urlsafe(16)
        self._call = call
        self.endpoint = endpoint

    @property
    def path(self) -> str:
        return f"/{self.token}/"

    def html(self, nonce: str, first: Any = None) -> str:
        """first: an answer to begin with; without one it is asked for."""
        values = {"endpoint": self.endpoint, "first": first}
        text = json.dumps(values).replace("<", "\\u003c")
        return SHELL.read_text().replace("{{nonce}}", nonce).replace("{{values}}", text)

    def answer(self, body: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(body)
            return {"answer": self._call(str(asked["endpoint"]), dict(asked["event"]))}
        except Exception as error:  # as the console does, which shows whatever went wrong
            return {"error": f"{type(error).__name__}: {error}"}


def server(dashboard: Dashboard, kind: type[socketserver.BaseServer], address: Any) -> Any:
    """kind: a threading server over TCP or a Unix socket."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] != dashboard.path:
                return self.send_error(404)
            nonce = secrets.token_urlsafe(16)
            policy = {"Content-Security-Policy": POLICY.format(nonce=nonce)}
            return self._send("text/html; charset=utf-8", dashboard.html(nonce), policy)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            if self.path != f"{dashboard.path}call" or not 0 < length < MOST_BYTES:
                return self.send_error(404)
            answer = dashboard.answer(self.rfile.read(length))
            return self._send("application/json", json.dumps(answer), {})

        def _send(self, kind: str, text: str, headers: dict[str, str]) -> None:
            body = text.encode()
            self.send_response(200)
            common = {"Content-Type": kind, "Content-Length": str(len(body))}
            for name, value in {**common, **headers, "Referrer-Policy": "no-referrer"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return kind(address, Handler)
