"""What a CloudFormation template says about its parameters and its release."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from admin.command import AdminError
from admin.wording import command


class _Loader(yaml.SafeLoader):
    """Leaves intrinsic functions in the short form out: no parameter and no mapping has any."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@dataclass(frozen=True)
class Release:
    """Where the release is that a template belongs to."""

    bucket_prefix: str
    folder: str

    @property
    def version(self) -> str:
        return self.folder.rpartition("/")[2]


MAPPED = {
    "InstanceType": ("Map", "{region}", "InstanceSize"),
    "SendAnonymousData": ("Map", "send-data", "SendAnonymousData"),
}
"""Parameters without which the Mappings decide, and where these have the value."""


@dataclass(frozen=True)
class Template:
    content: Mapping[str, Any]

    @classmethod
    def parse(cls, body: str | Mapping[str, Any]) -> Template:
        """body: as a file holds it, or as CloudFormation gives it, where JSON is parsed already."""
        return cls(yaml.load(body, _Loader) if isinstance(body, str) else body)

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = self.content["Parameters"]
        return found

    @property
    def release(self) -> Release:
        """Raises AdminError for a template that is of no release of this project's."""
        if self.is_version_1:
            raise AdminError(
                "The stack's template is of version 1 or unknown, so there is no restore template"
                f" for it. Update the stack first:\n  {command('deploy')}"
            )
        source = self.content["Mappings"]["SourceCode"]["General"]
        return Release(source["S3Bucket"], source["KeyPrefix"])

    def mapped(self, region: str) -> dict[str, str]:
        """What the Mappings say in a region, by the parameters that win over them."""
        mappings = self.content.get("Mappings", {})
        found = {
            name: mappings.get(top, {}).get(entry.format(region=region), {}).get(key)
            for name, (top, entry, key) in MAPPED.items()
        }
        # Without quotation marks, Yes and No are truth values.
        words = {True: "Yes", False: "No"}
        return {
            name: words[value] if isinstance(value, bool) else str(value)
            for name, value in found.items()
            if value is not None
        }

    @property
    def is_version_1(self) -> bool:
        """Whether it is version 1's, or another one of no release of this project's."""
        source = self.content.get("Mappings", {}).get("SourceCode", {}).get("General", {})
        return "BundleSHA256" not in source

    def check(self, values: Mapping[str, str], previous: Iterable[str] = ()) -> None:
        """Raises AdminError for a name that is no parameter, a value that CloudFormation would
        refuse, and a parameter without a value.

        previous: the parameters of the existing stack, which keep their values.
        """
        if unknown := sorted(values.keys() - self.parameters.keys()):
            raise AdminError(
                f"The template has no parameter {', '.join(unknown)}. It has these: "
                + ", ".join(self.parameters)
            )
        for name, value in values.items():
            allowed = [str(v) for v in self.parameters[name].get("AllowedValues", [])]
            if allowed and value not in allowed:
                raise AdminError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
            if not fits(self.parameters[name], value):
                raise AdminError(f"{name} is {value!r}; it {wanted(self.parameters[name])}")
        known = {*values, *previous}
        missing = [n for n, p in self.parameters.items() if "Default" not in p and n not in known]
        if missing:
            raise AdminError(
                f"Missing: {', '.join(missing)}\n"
                + "\n".join(f"  {n}: {self.parameters[n].get('Description', '')}" for n in missing)
            )


def wanted(parameter: Mapping[str, Any]) -> str:
    if "MinValue" in parameter:
        return f"must be a number from {parameter['MinValue']} to {parameter['MaxValue']}"
    return str(parameter.get("ConstraintDescription", "must be another value"))


def fits(parameter: Mapping[str, Any], value: str) -> bool:
    """Whether CloudFormation takes the value, as far as the template says."""
    if parameter["Type"] == "Number":
        number = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value, re.ASCII)
        low, high = (float(parameter.get(key, limit)) for key, limit in NUMBERS)
        return bool(number) and low <= float(value) <= high
    short, long = parameter.get("MinLength", 0), parameter.get("MaxLength", len(value))
    pattern = parameter.get("AllowedPattern", r"[\s\S]*")
    # As in Java, which CloudFormation matches with, the classes are those of ASCII.
    return int(short) <= len(value) <= int(long) and bool(re.fullmatch(pattern, value, re.ASCII))


NUMBERS = (("MinValue", "-inf"), ("MaxValue", "inf"))
