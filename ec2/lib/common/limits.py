"""How long the texts may be that leave, and what they may hold.

Names of files are bytes that everybody chooses who can write to the source, and they get into
messages. None may be so long that a service refuses to take it, and none may act on the terminal,
log or mail program that shows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# What the services take.
SNS_MESSAGE_BYTES = 262_144
SNS_SUBJECT_LENGTH = 99

# What one run may say of itself: some 100 kB in a record that may have 400, and twice that as text.
TEXT_BYTES = 2_000
LINES = 20
LEFT_OUT = " […] "
MORE = "… and {} more"


def clean(text: str) -> str:
    """The text on one line, with everything escaped that is no printable character."""
    return "".join(
        c if c.isprintable() else " " if c in "\t\n\r" else c.encode("unicode_escape").decode()
        for c in text
    )


def from_bytes(text: bytes) -> str:
    """Bytes that should be UTF-8, whatever the locale says; what is not is escaped."""
    return text.decode("utf-8", "backslashreplace")


def size(text: str) -> int:
    """In bytes, as it stands between the quotes of JSON."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")) - 2


def shortened(text: str, limit: int = TEXT_BYTES) -> str:
    """The text in at most so many bytes of JSON. The middle is left out: of a path, both ends say
    most."""
    if len(text) <= limit and size(text) <= limit:
        return text
    room = (limit - size(LEFT_OUT)) // 2
    return _beginning(text, room) + LEFT_OUT + _beginning(text[::-1], room)[::-1]


def _beginning(text: str, room: int) -> str:
    for position, character in enumerate(text):
        room -= size(character)
        if room < 0:
            return text[:position]
    return text


def fitted(value: Any) -> Any:
    """The value with every text clean and short, and every list and map with few items."""
    if isinstance(value, str):
        return shortened(clean(value))
    if isinstance(value, Mapping):
        return {fitted(name): fitted(value[name]) for name in list(value)[:LINES]}
    if isinstance(value, list):
        more = [MORE.format(count(value) - LINES)] if len(value) > LINES else []
        return [fitted(item) for item in value[:LINES]] + more
    return value


def count(lines: list[Any]) -> int:
    """How many there are, of which the last line may say that there are more than are here."""
    more = re.fullmatch(MORE.format("([0-9]{1,15})"), str(lines[-1])) if lines else None
    return len(lines) - 1 + int(more[1]) if more else len(lines)


def document(found: Mapping[str, Any], limit: int = SNS_MESSAGE_BYTES) -> str:
    """JSON for people of at most so many bytes. What comes last is left out first."""
    kept: dict[str, Any] = {}
    for name, value in found.items():
        item = {fitted(name): fitted(value)}
        limit -= len(_indented(item).encode())
        if limit < 0:
            break
        kept.update(item)
    return _indented(kept)


def _indented(found: Mapping[str, Any]) -> str:
    return json.dumps(found, indent=4, ensure_ascii=False)
