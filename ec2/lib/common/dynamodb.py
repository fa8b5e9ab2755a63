"""Values as DynamoDB's requests and answers have them: {"S": "text"}, {"N": "1"}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def tagged(value: Any) -> dict[str, Any]:
    if isinstance(value, (int, float)):
        return {"N": str(value)}
    if isinstance(value, list):
        return {"L": [tagged(item) for item in value]}
    if isinstance(value, Mapping):
        return {"M": tagged_item(value)}
    return {"S": str(value)}


def plain(value: Mapping[str, Any]) -> Any:
    """Of a kind that nothing here writes, what it holds as text."""
    ((kind, inner),) = value.items()
    if kind == "L":
        return [plain(item) for item in inner]
    if kind == "M":
        return plain_item(inner)
    if kind == "N":
        return int(inner) if inner.lstrip("-").isdigit() else float(inner)
    return sorted(inner) if kind == "SS" else str(inner)


def tagged_item(item: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: tagged(value) for name, value in item.items()}


def plain_item(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in item.items()}
