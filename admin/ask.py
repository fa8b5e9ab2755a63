"""What snapshots hold, from their catalogs in the log bucket: nothing is mounted or started.

    make find STACK=<backup stack> NAME='report*.xlsx' [PAGE=2] [FORMAT=json]
    make find STACK=<backup stack> FILE=/a/b
    make diff STACK=<backup stack> FROM=daily.3 TO=daily.0 [IN=/a/] [PAGE=2] [FORMAT=json]
    make snapshots STACK=<backup stack> [FORMAT=json]

NAME is a name, or a path with a slash, in which * and ? stand for anything but a slash, and ** for
anything. FILE is a path as it is, of a file or a directory. All is as the last backup has left it.
Exit code 0: answered; 1: not, and why.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from engine.command.outcome import EngineError
from engine.command.screen import Screen
from engine.history import compare, search, shown
from engine.history.members import Member, chosen, unambiguous

from admin.catalogs import catalogs_of
from admin.command import AdminError, Given, clients, same_stack
from admin.stack import Stack
from admin.wording import command, name_of, value_of
from console_page.in_bucket import InBucket


def main(action: str, given: Given) -> int:
    stack = given.required("STACK", "efs-backup")
    is_json, page = is_for_programs(given), page_of(given)
    try:
        answer = ACTIONS[action](given, page, is_json)
        connect = clients(given.get("REGION"))
        catalogs = catalogs_of(connect, Stack.backup(connect, stack))
        found = answer(catalogs, catalogs.members())
    except EngineError as error:
        raise AdminError(str(error)) from error
    if is_json:
        print(json.dumps(found, indent=1))
    else:
        for line in Screen(sys.stdout, os.environ).fitted(found):
            print(line)
    return 0


Answer = Callable[[InBucket, list[Member]], Any]


def is_for_programs(given: Given) -> bool:
    if (value := given.get("FORMAT", "").lower()) not in ("", "table", "json"):
        raise AdminError(f"{name_of('FORMAT')} is {given['FORMAT']!r}; it must be json, or table")
    return value == "json"


def page_of(given: Given) -> int:
    text = given.get("PAGE") or "1"
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text, re.ASCII):
        raise AdminError(f"{name_of('PAGE')} is {text!r}; it must be a number from 1 on")
    return int(text)


def paging(page: int) -> str:
    return value_of("PAGE", str(page))


def find(given: Given, page: int, is_json: bool) -> Answer:
    name, file = given.get("NAME"), given.get("FILE")
    if bool(name) == bool(file):
        one = " or ".join(
            value_of(*each) for each in (("NAME", "'report*.xlsx'"), ("FILE", "/a/b"))
        )
        raise AdminError(
            f"Give {name_of('NAME')} or {name_of('FILE')}, not both"
            if name
            else f"Give what to find: {one}"
        )
    pattern = search.Pattern.glob(name) if name else search.Pattern.path(file or "")
    question = search.Question([pattern], page)

    def answer(catalogs: InBucket, members: list[Member]) -> Any:
        found = search.search(members, catalogs, question)
        if is_json:
            return shown.answer_json(found, page, question.per_page)

        def restore(member: Member, path: str, is_apart: bool) -> str:
            words = {"DATE": unambiguous(member, members), "SUBDIR": path}
            words |= {"MODE": "NewDirectory"} if is_apart else {}
            return command("restore", same_stack(given), **words)

        return shown.answer_lines(found, page, question.per_page, restore, paging)

    return answer


def diff(given: Given, page: int, is_json: bool) -> Answer:
    names = [given.required(each, example) for each, example in EXAMPLES.items()]
    inside = given.get("IN") or "/"

    def answer(catalogs: InBucket, members: list[Member]) -> Any:
        begin, end = (chosen(name, members) for name in names)
        found = compare.compare(begin, end, members, catalogs, inside, page)
        if is_json:
            return shown.changes_json(begin, end, found, page, compare.PER_PAGE)
        return shown.changes_lines(begin, end, inside, found, page, compare.PER_PAGE, paging)

    return answer


EXAMPLES = {"FROM": "daily.3", "TO": "daily.0"}


def snapshots(given: Given, page: int, is_json: bool) -> Answer:
    def answer(catalogs: InBucket, members: list[Member]) -> Any:
        return shown.members_json(members) if is_json else shown.table(members, time.time())

    return answer


ACTIONS: dict[str, Callable[[Given, int, bool], Answer]] = {
    "find": find,
    "diff": diff,
    "snapshots": snapshots,
}
