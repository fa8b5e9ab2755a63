"""What the engine's commands share: logging, the result, the scratch directory, the exit status."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from engine.command.files import write_atomically
from engine.command.outcome import EngineError, Failed
from engine.command.process import StopSignals
from engine.command.progress import CLEAR_LINE, Progress
from engine.command.text import TIME_FORMAT, printable

log = logging.getLogger(__name__)


@dataclass
class RunOptions:
    """What :class:`engine.command.arguments.RunParser` adds to each command."""

    log_dir: Path | None
    result: Path | None
    progress: Path | None


@dataclass
class CommonOptions(RunOptions):
    """What :class:`engine.command.arguments.Parser` adds to those that need a backup."""

    backup: Path
    folder: str
    interval: str
    jobs: int


@dataclass
class Result:
    """What a run did, as written to ``--result``. Times are UTC, sizes are bytes."""

    outcome: str
    exit_code: int = 0
    cause: str = ""
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    phases: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.progress = Progress()  # no field: it is not a part of what is written

    def warn(self, message: str) -> None:
        log.warning("%s", message)
        self.warnings.append(message)

    def begin(self, phase: str) -> None:
        """End the phase before, if there is one, and begin this one."""
        self.end_phase()
        self.phases[phase] = {"start": utc_now()}
        self.progress.begin(phase)

    def end_phase(self) -> None:
        for times in self.phases.values():
            times.setdefault("stop", utc_now())

    def summary(self) -> list[str]:
        """What was done, in a few lines for people."""
        return []

    def conclude(self, error: EngineError) -> None:
        log.error("%s: %s", error.outcome, error)
        self.outcome, self.exit_code, self.message = error.outcome, error.exit_code, str(error)
        self.cause = error.cause


def utc_now() -> str:
    return time.strftime(TIME_FORMAT, time.gmtime())


AnyOptions = TypeVar("AnyOptions", bound=RunOptions)
AnyResult = TypeVar("AnyResult", bound=Result)


def execute(
    parse: Callable[[list[str]], AnyOptions],
    run: Callable[[AnyOptions, Path, StopSignals, AnyResult], None],
    result: AnyResult,
) -> int:
    """Run one command of the engine; return its exit status.

    ``run`` gets the options, a private scratch directory, the stop signals, and the result to fill
    in. Whatever it raises, the result says so and the logs are kept.
    """
    set_up_text()
    words = sys.argv[1:]
    stop = StopSignals()
    stop.install()
    try:
        options = parse(words)
        result.progress = Progress(options.progress)
        # The lists of names are as many as the files: too many for a tmpfs.
        work = tempfile.mkdtemp(prefix="efs-backup.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    except Exception as error:
        result.conclude(as_engine_error(error))
        write_result(result_path(words), result)
        return result.exit_code
    try:
        carry_out(run, options, Path(work), stop, result)
    finally:
        remove(work)
    result.progress.end()
    for line in result.summary():
        print(in_lines(line), file=sys.stderr)
    return result.exit_code


def remove(work: str) -> None:
    """By a program, as there may be a tree in it that is too deep for what Python has for this."""
    with contextlib.suppress(OSError):
        subprocess.run(
            ["rm", "-rf", "--one-file-system", "--", work],
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is not for it
        )


def set_up_text() -> None:
    """What is written is UTF-8, whatever the locale; the scripts see to it that names are read so.

    Nothing that a name may hold reaches a terminal as it is.
    """
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    logging.Formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    logging.basicConfig(handlers=[handler], level="INFO")


class Formatter(logging.Formatter):
    def __init__(self) -> None:
        clear = CLEAR_LINE if sys.stderr.isatty() else ""
        super().__init__(f"{clear}%(asctime)s  %(message)s", TIME_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = in_lines(record.message)
        return super().formatMessage(record)


def in_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def carry_out(
    run: Callable[[AnyOptions, Path, StopSignals, AnyResult], None],
    options: AnyOptions,
    work: Path,
    stop: StopSignals,
    result: AnyResult,
) -> None:
    try:
        run(options, work, stop, result)
    except Exception as error:
        result.conclude(as_engine_error(error))
    result.end_phase()
    # First of all: there may be no space for the logs, and the snapshot is published all the same.
    write_result(options.result, result)
    if options.log_dir:
        warnings = len(result.warnings)
        keep_logs(work, options.log_dir, result)
        if len(result.warnings) > warnings:
            write_result(options.result, result)


def as_engine_error(error: Exception) -> EngineError:
    """Whatever ends a run has a result that says what it was."""
    if isinstance(error, EngineError):
        return error
    if isinstance(error, OSError):
        return Failed("system", str(error))
    if isinstance(error, MemoryError):
        return Failed("system", "there is too little memory")
    log.error("%s", "".join(traceback.format_exception(type(error), error, error.__traceback__)))
    return Failed("unforeseen", f"an unforeseen error: {type(error).__name__}: {error}")


def write_result(path: Path | None, result: Result) -> None:
    """The log gets what the file cannot take."""
    text = json.dumps(asdict(result), indent=2, ensure_ascii=False)
    try:
        if path:
            write_atomically(path, text)
    except OSError as error:
        log.error("the result cannot be written: %s\n%s", error, text)


def result_path(words: list[str]) -> Path | None:
    """Where the result goes even if the other arguments make no sense."""
    for option, value in zip(words, words[1:]):
        if option == "--result" and value:
            return Path(value)
    return None


def keep_logs(work: Path, log_dir: Path, result: Result) -> None:
    """Copy the logs of a run."""
    for path in [*work.glob("*.log"), *work.glob("*.txt")]:
        if path.stat().st_size:
            keep_log(path, log_dir, result)


def keep_log(path: Path, log_dir: Path, result: Result) -> None:
    """A log that cannot be kept is a warning, never a failure."""
    try:
        shutil.copyfile(path, log_dir / path.name)
    except OSError as error:
        with contextlib.suppress(OSError):
            (log_dir / path.name).unlink()  # half of it may have taken the space of the result
        result.warn(f"the log {path.name} could not be kept: {error}")
