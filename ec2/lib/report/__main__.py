"""How the scripts call it: ``python3 -m report TASK``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from common.times import utc_now

from report import backup, record, requests, restore
from report.ended import argument, read, write


def report_backup(options: argparse.Namespace) -> None:
    result = backup.known(read(options.result))
    # First those of the script: the engine's may be many, and only the first ones are kept.
    warnings = [*options.warning, *result.get("warnings", [])]
    run = backup.Backup(
        result, warnings, options.cause, options.failure, options.exit_status, options.stopped
    )
    found = backup.attributes(run, options.logs, utc_now())
    write_update(options, found)
    write(options.message, backup.notification(found, options.backup_id, options.topic))


def report_progress(options: argparse.Namespace) -> None:
    if written := read(options.progress):
        write_update(options, record.progress(written))


def write_update(options: argparse.Namespace, found: dict[str, Any]) -> None:
    request = record.update(options.table, options.backup_id, options.instance, found)
    options.request.write_text(json.dumps(request), encoding="ascii")


def report_requests(options: argparse.Namespace) -> None:
    write_if_any(options.write, requests.for_engine(read(options.item)))


def report_answers(options: argparse.Namespace) -> None:
    write_if_any(options.write, requests.removal(options.table, read(options.result)))


def write_if_any(path: Path, found: dict[str, Any]) -> None:
    if found:
        path.write_text(json.dumps(found), encoding="ascii")


def report_restore(options: argparse.Namespace) -> None:
    result = read(options.result)
    run = restore.Restore(
        result=result,
        warnings=result.get("warnings", []) + options.warning,
        cause=options.cause,
        failure=options.failure,
        exit_status=options.exit_status,
        settings=restore.read_settings(options.config),
        last_words=restore.last_line(options.engine_log),
        group=options.group,
    )
    found = restore.notification(run, options.start, utc_now(), options.logs)
    write(options.message, found)
    print(found["Status"])


def main(words: list[str]) -> int:
    ended = argparse.ArgumentParser(add_help=False)
    ended.add_argument("--result", type=Path, required=True, help="what the engine wrote, if any")
    ended.add_argument("--exit-status", type=int, default=0, help="of the engine")
    ended.add_argument("--cause", default="", help="why the engine was not run to its end: a word")
    ended.add_argument("--failure", default="", help="and a sentence")
    ended.add_argument("--logs", required=True, help="where the logs are")
    ended.add_argument("--warning", action="append", default=[])
    ended.add_argument("--message", type=Path, required=True, help="the notification, to write")

    updating = argparse.ArgumentParser(add_help=False)
    updating.add_argument("--table", required=True)
    updating.add_argument("--backup-id", required=True)
    updating.add_argument("--instance", required=True, help="id of this instance")
    updating.add_argument("--request", type=Path, required=True, help="UpdateItem input to write")

    parser = argparse.ArgumentParser(prog="report")
    tasks = parser.add_subparsers(required=True)
    of_backup = tasks.add_parser("backup", parents=[ended, updating])
    of_backup.add_argument("--stopped", action="store_true", help="the run was told to stop")
    of_backup.add_argument("--topic", required=True, help="ARN of the topic for notifications")
    of_backup.set_defaults(report=report_backup)

    of_progress = tasks.add_parser("progress", parents=[updating])
    of_progress.add_argument("--progress", type=Path, required=True, help="what the engine wrote")
    of_progress.set_defaults(report=report_progress)

    of_restore = tasks.add_parser("restore", parents=[ended], help="prints the status")
    of_restore.add_argument("--config", type=Path, required=True, help="the instance's settings")
    of_restore.add_argument("--engine-log", type=Path, required=True)
    of_restore.add_argument("--group", required=True, help="the instance's Auto Scaling group")
    of_restore.add_argument("--start", required=True, help="when the script started")
    of_restore.set_defaults(report=report_restore)

    of_requests = tasks.add_parser("requests", help="what was asked of snapshots, for the engine")
    of_requests.add_argument("--item", type=Path, required=True, help="as the table has it")
    of_requests.add_argument("--write", type=Path, required=True, help="only if there is any")
    of_requests.set_defaults(report=report_requests)

    of_answers = tasks.add_parser("answers", help="takes what was done out of the table")
    of_answers.add_argument("--result", type=Path, required=True, help="what the engine wrote")
    of_answers.add_argument("--table", required=True)
    of_answers.add_argument("--write", type=Path, required=True, help="UpdateItem input, if any")
    of_answers.set_defaults(report=report_answers)

    options = parser.parse_args([argument(word) for word in words])
    options.report(options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
