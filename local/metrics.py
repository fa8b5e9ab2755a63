"""Where anonymous metrics go in an account: to a file of it, a line of JSON for each."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

JOURNAL = "metrics.jsonl"
PORT = 1339
URL = f"http://127.0.0.1:{PORT}/generic"


def receive(journal: Path) -> None:
    """Takes metrics from now on, until the process ends."""
    server = ThreadingHTTPServer(("127.0.0.1", PORT), _handler(journal))
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def _handler(journal: Path) -> type[BaseHTTPRequestHandler]:
    one_at_a_time = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            metric = self.rfile.read(int(self.headers["Content-Length"]))
            with one_at_a_time, journal.open("ab") as file:
                file.write(metric + b"\n")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
