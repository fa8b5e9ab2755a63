"""Reading the two templates, for the tests of either and of what they have in common."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

ROOT = Path(__file__).parents[2]
BACKUP = ROOT / "templates" / "efs-to-efs-backup.template"
RESTORE = ROOT / "templates" / "efs-to-efs-restore.template"

Tree = dict[str, Any]


def load(path: Path) -> Tree:
    """A template with its intrinsic functions in the long form: {"Ref": …}, {"Fn::Sub": …}."""
    loaded: Tree = cfn_yaml.load(str(path))
    return loaded


def matches(parameter: Tree, value: str) -> bool:
    """Whether CloudFormation accepts a value for a parameter of type String."""
    length = parameter.get("MinLength", 0) <= len(value) <= parameter.get("MaxLength", 4096)
    return length and bool(re.search(parameter["AllowedPattern"], value))


def wrongly_judged(parameter: Tree, good: list[str], bad: list[str]) -> list[str]:
    """The good values that a parameter refuses, and the bad ones that it accepts."""
    return [value for value in [*good, *bad] if matches(parameter, value) != (value in good)]


def of_type(template: Tree, kind: str) -> Tree:
    """The properties of the only resource of a type."""
    (found,) = (r for r in template["Resources"].values() if r["Type"] == kind)
    properties: Tree = found["Properties"]
    return properties


def launch_data(template: Tree, of: str = "Instance") -> Tree:
    """What is launched for a run, or as a Worker."""
    (found,) = (
        resource["Properties"]["LaunchTemplateData"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::EC2::LaunchTemplate" and of in name
    )
    data: Tree = found
    return data


def user_data(template: Tree, of: str = "Instance") -> tuple[list[str], list[str]]:
    """The lines of the user data: those that write the settings, and the commands."""
    text, _ = launch_data(template, of)["UserData"]["Fn::Base64"]["Fn::Sub"]
    settings, commands = str(text).split("END-OF-SETTINGS\n")
    return settings.splitlines(), commands.splitlines()


def statements(template: Tree) -> Iterator[tuple[str, Tree]]:
    """All statements of all roles and policies, those of conditions too, each with the logical id
    of its resource."""
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [p["PolicyDocument"] for p in properties.get("Policies", [])]
        if resource["Type"] == "AWS::IAM::Policy":
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                yield name, statement["Fn::If"][1] if "Fn::If" in statement else statement


def actions(statement: Tree) -> list[str]:
    found = statement["Action"]
    return [found] if isinstance(found, str) else list(found)
