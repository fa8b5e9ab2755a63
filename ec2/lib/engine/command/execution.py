"""What the engine's commands share: the result, the scratch directory, logs, the exit status."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar, TypeVar

from common.times import TIME_FORMAT, utc_now

from engine.command.files import NEW_FILE, anew, write_atomically
from engine.command.logs import new_directory
from engine.command.outcome import FAILED, REFUSED, EngineError, Failed, Refused, sentence
from engine.command.process import StopSignals
from engine.command.progress import Progress
from engine.command.scratch import Scratch, remove_left
from engine.command.screen import ANSWER, Screen, ToScreen, level
from engine.command.summary import ADVICE, NAMED, Fact, is_long, problems, write
from engine.command.text import MESSAGES_KEPT, duration, printable

log = logging.getLogger(__name__)

LOG = "engine.log"


@dataclass
class RunOptions:
    """What :class:`engine.command.arguments.RunParser` adds to each command."""

    log_dir: Path | None
    result: Path | None
    progress: Path | None
    quiet: bool
    verbose: bool

    def make_log_dir(self) -> None:
        if self.log_dir:
            self.log_dir.mkdir(parents=True, exist_ok=True)


@dataclass
class CommonOptions(RunOptions):
    """What :class:`engine.command.arguments.Parser` adds to those that need a backup."""

    backup: Path
    folder: str
    interval: str


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

    advice: ClassVar[dict[str, str]] = {}  # in place of :data:`engine.command.summary.ADVICE`

    def __post_init__(self) -> None:
        # No fields: they are not a part of what is written.
        self.progress = Progress()
        self._began = time.monotonic()

    def warn(self, message: str) -> None:
        log.info("%s", message)  # the end says it again, and louder
        self.warnings.append(message)

    def begin(self, phase: str) -> None:
        """End the phase before, if there is one, and begin this one."""
        self.end_phase()
        log.debug("phase: %s", phase)
        self.phases[phase] = {"start": utc_now()}
        self.progress.begin(phase)

    def end_phase(self) -> None:
        for times in self.phases.values():
            times.setdefault("stop", utc_now())

    def conclude(self, error: EngineError) -> None:
        self.outcome, self.exit_code, self.message = error.outcome, error.exit_code, str(error)
        self.cause = error.cause

    @property
    def spent(self) -> str:
        return duration(time.monotonic() - self._began)

    def headline(self) -> str:
        """The answer in one sentence, if all is well."""
        return self.outcome

    def facts(self) -> list[Fact]:
        """What was done, for people; also if the run failed."""
        return []

    def what_to_do(self) -> str:
        advice = {**ADVICE, **self.advice}
        return advice.get(self.cause, "") or advice.get(self.outcome, "")


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
    screen, handler = set_up_text()
    words = sys.argv[1:]
    stop = StopSignals()
    stop.install()
    try:
        options = parse(words)
        check_place("--result", options.result, is_directory=False)
        check_place("--log-dir", options.log_dir, is_directory=True)
        if options.progress:
            with contextlib.suppress(OSError):  # to watch must not disturb
                check_kind("--progress", options.progress, is_directory=False)
        handler.setLevel(level(screen, options.quiet, options.verbose))
        handler.setFormatter(Formatter(has_times=options.verbose or not screen.is_terminal))
        result.progress = Progress(options.progress, None if options.quiet else screen, stop)
        # The lists of names are as many as the files: too many for a tmpfs.
        remove_left(scratch())
        work = Scratch(scratch())
    except Exception as error:
        result.conclude(as_engine_error(error))
        with contextlib.suppress(Refused):
            path = result_path(words)
            check_place("--result", path, is_directory=False)
            write_result(path, result)
        say_headline(result)
        return result.exit_code
    try:
        logs = carry_out(run, options, work.path, stop, result)
    finally:
        work.remove()
    named = MESSAGES_KEPT if options.verbose else NAMED
    write(screen, told(result, logs, named, with_facts=not options.quiet or result.exit_code > 0))
    return result.exit_code


def check_place(option: str, path: Path | None, is_directory: bool) -> None:
    """Before anything is done, that it can be told at the end. Raises :class:`Refused`."""
    if path is None:
        return
    try:
        check_kind(option, path, is_directory)
        places = [path, *path.parents] if is_directory else [path.parent]
        place = next((each for each in places if each.exists()), places[-1])
    except OSError as error:
        raise Refused(f"{option} {str(path)!r}: {error.strerror}; name another one") from error
    if not place.is_dir():
        raise Refused(f"{option} {str(path)!r}: there is no directory {str(place)!r}; make it")
    if not os.access(place, os.W_OK | os.X_OK):
        raise Refused(f"{option} {str(path)!r}: this user cannot write into {str(place)!r}")


def check_kind(option: str, path: Path, is_directory: bool) -> None:
    """A file is replaced: /dev/null or /dev/stdout would be gone for all. Raises :class:`Refused`,
    or OSError if nobody can tell."""
    if is_directory:
        kind = "is no directory" if path.exists() and not path.is_dir() else ""
    elif path.is_dir():
        kind = "is a directory"
    else:
        is_other = path.is_symlink() or (path.exists() and not path.is_file())
        kind = "is no plain file" if is_other else ""
    if kind:
        raise Refused(f"{option} {str(path)!r} {kind}; name another one")


def scratch() -> Path:
    return Path(os.environ.get("TMPDIR", "/var/tmp"))


def set_up_text() -> tuple[Screen, logging.Handler]:
    """What is written is UTF-8, whatever the locale; the scripts see to it that names are read so.

    Nothing that a name may hold reaches a terminal as it is.
    """
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    screen = Screen(sys.stderr, os.environ)
    logging.Formatter.converter = time.gmtime
    logging.raiseExceptions = False  # a disk that is too full for a message ends nothing
    handler = ToScreen(screen)
    handler.setFormatter(Formatter(has_times=not screen.is_terminal))
    logging.basicConfig(handlers=[handler], level="DEBUG")
    return screen, handler


class Formatter(logging.Formatter):
    def __init__(self, has_times: bool = True) -> None:
        super().__init__("%(asctime)s  %(message)s" if has_times else "%(message)s", TIME_FORMAT)

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
) -> Path | None:
    """Returns where the logs are, if they are kept."""
    with logging_into(work / LOG):
        try:
            run(options, work, stop, result)
        except Exception as error:
            result.conclude(as_engine_error(error))
        result.end_phase()
        # First of all: there may be no space for the logs, and the snapshot is published all the
        # same.
        write_result(options.result, result)
        say_headline(result)
    warnings = len(result.warnings)
    logs = keep_logs(work, options.log_dir, result)
    if len(result.warnings) > warnings:
        write_result(options.result, result)
    return logs


@contextlib.contextmanager
def logging_into(path: Path) -> Iterator[None]:
    """Everything, also what the screen does not show."""
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        log.warning("there is no log: %s", error)
        yield
        return
    handler.setFormatter(Formatter())
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        with contextlib.suppress(OSError):
            handler.close()


def say_headline(result: Result) -> None:
    if result.exit_code:
        log.error("%s", sentence(result.outcome, result.message))
    else:
        has_problems = bool(result.warnings or result.errors)
        log.log(logging.WARNING if has_problems else ANSWER, "%s", result.headline())


def told(result: Result, logs: Path | None, named: int, with_facts: bool = True) -> Iterator[Fact]:
    """All that follows the headline. Without facts it is what is wrong, or nothing."""
    if with_facts:
        yield from result.facts()
    yield from problems("Errors", result.errors, logs, named)
    yield from problems("Warnings", result.warnings, logs, named)
    if advice := result.what_to_do():
        yield Fact("What to do", advice)
    if logs and (result.exit_code or result.errors or result.warnings):
        yield Fact("Logs", str(logs))


def as_engine_error(error: Exception) -> EngineError:
    """Whatever ends a run has a result that says what it was."""
    if isinstance(error, EngineError):
        return error
    if isinstance(error, OSError):
        is_vague = error.errno == errno.ENOSPC and not error.filename
        where = f", that of the backup or of {scratch()} with the run's lists" if is_vague else ""
        cause = "memory" if error.errno == errno.ENOMEM else "system"
        return Failed(cause, f"{error}{where}")
    if isinstance(error, MemoryError):
        return Failed("memory", "there is too little memory")
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


def write_result_so_far(path: Path | None, result: Result, doing: str) -> None:
    """What has been done by now is worth more than what is begun: the result has it, should
    something kill this run there."""
    warnings = [*result.warnings, f"{doing} did not come to its end"]
    write_result(path, replace(result, warnings=warnings))


def result_path(words: list[str]) -> Path | None:
    """Where the result goes even if the other arguments make no sense."""
    for option, value in zip(words, words[1:]):
        if option == "--result" and value:
            return Path(value)
    return None


def keep_logs(work: Path, log_dir: Path | None, result: Result) -> Path | None:
    """Copy the logs of a run to ``log_dir``; without that, if something is in them that is not said
    elsewhere, move them into a directory of their own. Returns where they are."""
    if result.exit_code == REFUSED or (log_dir is None and not are_needed(result)):
        return None
    logs = [path for path in [*work.glob("*.log"), *work.glob("*.txt")] if path.stat().st_size]
    try:
        if log_dir is None:
            own = new_directory(work.parent)
            for path in logs:
                path.rename(own / path.name)  # which needs no space
            return own
        log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        result.warn(f"the logs could not be kept: {error}")
        return None
    for path in logs:
        keep_log(path, log_dir, result)
    return log_dir


def are_needed(result: Result) -> bool:
    return result.exit_code == FAILED or is_long(result.errors) or is_long(result.warnings)


def keep_log(path: Path, log_dir: Path, result: Result) -> None:
    """A log that cannot be kept is a warning, never a failure."""
    target = log_dir / path.name
    try:
        new = anew(target, lambda: os.open(target, NEW_FILE, 0o644))
        with path.open("rb") as log_file, open(new, "wb") as copy:
            shutil.copyfileobj(log_file, copy)
    except OSError as error:
        with contextlib.suppress(OSError):
            target.unlink()  # half of it may have taken the space of the result
        result.warn(f"the log {path.name} could not be kept: {error}")
