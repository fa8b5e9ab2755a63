"""Lambda: each function would load boto3 anew."""

from pathlib import Path

from local import forks
from local.emulator import ministack


def hook(python: Path) -> None:
    """python: gets a program that takes the place of Python."""
    python.write_text(forks.command("python"))
    python.chmod(0o755)
    runtime = ministack("core.lambda_runtime")
    detect = runtime._detect_runtime_binary

    def forked(name: str) -> tuple[str, str]:
        binary, script = detect(name)
        return (str(python) if name.startswith("python") else binary), script

    runtime._detect_runtime_binary = forked
