"""Lets who is outside of the sandbox, in whose network nothing inside can listen, open the page.

    python -m local.relay LISTENER SOCKET

passes what comes to a listening TCP socket, which it inherits, to a Unix socket and back.
"""

from __future__ import annotations

import ctypes
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from typing import Any

from local import sandbox

# Relative: the name of a socket has 107 bytes at most.
SOCKET = (sandbox.STATE / "page.sock").relative_to(sandbox.REPOSITORY)
PR_SET_PDEATHSIG = 1


def start() -> str:
    """Starts one that ends with this process, whatever that executes; returns its URL."""
    libc = ctypes.CDLL(None)
    listener = socket.create_server(("127.0.0.1", 0))
    subprocess.Popen(
        [sys.executable, "-m", "local.relay", str(listener.fileno()), str(SOCKET)],
        cwd=sandbox.REPOSITORY,
        stdin=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
        start_new_session=True,  # Ctrl-C is for the demo
        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


class Relay(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as inner:
            inner.connect(str(SOCKET))
            with inner.makefile("rwb", buffering=0) as file:
                back = threading.Thread(target=self._pass, args=(file, self.wfile))
                back.start()
                self._pass(self.rfile, file)
                inner.shutdown(socket.SHUT_WR)
                back.join()

    @staticmethod
    def _pass(source: Any, target: Any) -> None:
        while some := source.read1(1 << 16) if hasattr(source, "read1") else source.read(1 << 16):
            target.write(some)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nobody has opened the page yet, or no longer: the browser shows that."""


def main(arguments: list[str]) -> None:
    server = Server(("127.0.0.1", 0), Relay, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=int(arguments[0]))
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
