"""A private world for code that acts as a whole AWS account.

    python -m local.sandbox MODULE [ARGUMENT ...]

runs a Python module of this repository as root, with bubblewrap, in namespaces of its own: its
processes, ports and mounts are nobody else's and end with it, however it ends. It sees the host's
files but can change only those in `.local/`.
"""

import filecmp
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from engine.command.screen import Screen

REPOSITORY = Path(__file__).resolve().parent.parent
STATE = REPOSITORY / ".local"
# A copy: Ubuntu's AppArmor profile takes all rights from what /usr/bin/bwrap runs, even for root.
BUBBLEWRAP = STATE / "bwrap"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_MARK = "LOCAL_SANDBOX"
_INHERITED = ("CI", "COLUMNS", "NO_COLOR", "TERM")


class SandboxError(Exception):
    """The sandbox cannot be made here; the message says what to do."""


def inside() -> bool:
    return _MARK in os.environ


def enter(module: str, arguments: Sequence[str] = ()) -> NoReturn:
    """Replaces this process by the module running in a new sandbox.

    The exit code becomes the module's. Raises SandboxError when there can be no sandbox.
    """
    _copy_bubblewrap()
    sandbox = [*_as_root(), *_command()]
    mount = ["mount", "-t", "tmpfs", "tmpfs", "/run"]
    check = subprocess.run([*sandbox, *mount], capture_output=True, text=True)
    if check.returncode != 0:
        raise SandboxError(
            f"No sandbox could be made: {check.stderr.strip()}\n"
            "It needs root's right to mount and to make namespaces. In a container, "
            "run that with --privileged."
        )
    # Ctrl-C is for the module. Were bubblewrap to die of it, the module would be killed unheard.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.flush()
    os.execvp(sandbox[0], [*sandbox, sys.executable, "-m", "local.sandbox", module, *arguments])


def _as_root() -> list[str]:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        raise SandboxError("The sandbox needs root: run this as root, or install sudo.")
    if (
        not sys.stdin.isatty()
        and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode
    ):
        raise SandboxError(
            "The sandbox needs root, and sudo cannot ask for a password here: "
            "run this in a terminal, or as root."
        )
    return ["sudo", "--"]


def _copy_bubblewrap() -> None:
    installed = shutil.which("bwrap", path=SYSTEM_PATH)
    if installed is None:
        raise SandboxError("bubblewrap is missing. Install it: make setup")
    try:
        STATE.mkdir(exist_ok=True)
        if not BUBBLEWRAP.exists() or not filecmp.cmp(installed, BUBBLEWRAP):
            # The old copy may be running, and others may start this one at this moment.
            new = BUBBLEWRAP.with_name(f"bwrap.{os.getpid()}")
            shutil.copy2(installed, new)
            new.replace(BUBBLEWRAP)
    except PermissionError as error:
        raise SandboxError(
            f"{error}. Was this run by another user before? Then: make clean"
        ) from error


def _command() -> list[str]:
    temporary = STATE / "tmp"
    environment = {
        _MARK: "1",
        "HOME": str(temporary),
        "LANG": "C.UTF-8",
        "PATH": SYSTEM_PATH,
        "TMPDIR": str(temporary),
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
    }
    # fmt: off
    return [
        str(BUBBLEWRAP),
        "--unshare-ipc", "--unshare-net", "--unshare-pid", "--unshare-uts",
        "--die-with-parent", "--cap-add", "ALL",
        "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run",
        "--bind", str(STATE), str(STATE), "--tmpfs", str(temporary),
        "--chdir", str(REPOSITORY), "--clearenv",
        *(word for name, value in environment.items() for word in ("--setenv", name, value)),
    ]
    # fmt: on


def main(arguments: Sequence[str]) -> NoReturn:
    if not arguments:
        sys.exit(f"usage: python -m local.sandbox MODULE [ARGUMENT ...]\n{__doc__}")
    if not inside():
        try:
            enter(arguments[0], arguments[1:])
        except SandboxError as error:
            Screen(sys.stderr, os.environ).line(str(error))
            sys.exit(2)
    # Only now may Ctrl-C interrupt again.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The user may look at what root leaves in `.local/`.
    os.umask(0o022)
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main(sys.argv[1:])
