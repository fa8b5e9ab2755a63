"""HTML as a tree, which escapes whatever it is made of: names of files are bytes that anybody
chooses who can write to the source, and a cwdb-action among them would act with the rights of who
looks at the page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, tostring

from common.limits import clean, shortened

LONGEST = 2_000  # bytes of a text

Content = Element | str | Iterable["Content"]


def tag(kind: str, /, *content: Content, **attributes: str) -> Element:
    """An element; of the attributes class_ is class. Control characters are shown, not sent."""
    made = Element(kind, {key.rstrip("_"): clean(value) for key, value in attributes.items()})
    _add(made, content)
    return made


def _add(parent: Element, content: Iterable[Content]) -> None:
    for each in content:
        if isinstance(each, Element):
            parent.append(each)
        elif isinstance(each, str):
            _add_text(parent, shortened(clean(each), LONGEST))
        else:
            _add(parent, each)


def _add_text(parent: Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def style(css: str) -> Element:
    """A style sheet of ours, as it is."""
    made = Element("style")
    made.text = css
    return made


def button(
    title: str,
    endpoint: str,
    event: dict[str, Any],
    confirmation: str = "",
    display: str = "widget",
    kind: str = "",
) -> list[Element]:
    """A button that calls a Lambda function with the rights of who presses it."""
    asked = {"confirmation": confirmation} if confirmation else {}
    action = tag("cwdb-action", action="call", endpoint=endpoint, display=display, **asked)
    # Whether it is read as text or as HTML, it is the same JSON.
    text = json.dumps(event)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    action.text = text
    return [tag("a", title, class_=f"btn {kind}".rstrip()), action]


def text_of(element: Element) -> str:
    return tostring(element, encoding="unicode", method="html")
