"""What the engine's commands share: logging, the result, the scratch directory, the exit status."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from engine.command.files import write_atomically
from engine.command.outcome import EngineError, Failed, Refused
from engine.command.process import StopSignals
from engine.command.progress import CLEAR_LINE, Progress

log = logging.getLogger(__name__)

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


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
    logging.Formatter.converter = time.gmtime
    clear = CLEAR_LINE if sys.stderr.isatty() else ""
    form = f"{clear}%(asctime)s  %(message)s"
    logging.basicConfig(format=form, datefmt=TIME_FORMAT, level="INFO")
    try:
        options = parse(sys.argv[1:])
    except Refused as error:
        result.conclude(error)
        write_result(result_path(sys.argv[1:]), result)
        return error.exit_code
    result.progress = Progress(options.progress)
    stop = StopSignals()
    stop.install()
    # The lists of names are as many as the files: too many for a tmpfs.
    parent = os.environ.get("TMPDIR", "/var/tmp")
    try:
        scratch = tempfile.TemporaryDirectory(prefix="efs-backup.", dir=parent)
    except OSError as error:
        result.conclude(Failed("system", str(error)))
        write_result(options.result, result)
        return result.exit_code
    with scratch as name:
        carry_out(run, options, Path(name), stop, result)
    result.progress.end()
    for line in result.summary():
        print(line, file=sys.stderr)
    return result.exit_code


def carry_out(
    run: Callable[[AnyOptions, Path, StopSignals, AnyResult], None],
    options: AnyOptions,
    work: Path,
    stop: StopSignals,
    result: AnyResult,
) -> None:
    try:
        run(options, work, stop, result)
    except EngineError as error:
        result.conclude(error)
    except OSError as error:
        result.conclude(Failed("system", str(error)))
    result.end_phase()
    # First of all: there may be no space for the logs, and the snapshot is published all the same.
    write_result(options.result, result)
    if options.log_dir and options.log_dir.is_dir():
        warnings = len(result.warnings)
        keep_logs(work, options.log_dir, result)
        if len(result.warnings) > warnings:
            write_result(options.result, result)


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
        result.warn(f"the log {path.name} could not be kept: {error}")
