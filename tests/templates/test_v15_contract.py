"""A stack of version 1.5 can be updated in place: everything is where it was, and nothing that
matters is replaced.

v15.json has the facts of version 1.5's templates: parameters with their labels, mappings,
conditions and outputs, and the type of each resource with the properties that cannot be changed
without replacing it.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from tests.templates.reading import BACKUP, RESTORE, ROOT, Tree, load

TEMPLATES = {"backup": BACKUP, "restore": RESTORE}

# A launch configuration cannot be created any more: a launch template takes its place.
GONE = {"BackupInstanceLaunchConfig", "RestoreInstanceLaunchConfig"}
REPLACED = {
    # From all protocols to NFS alone. The new rule is there before the old one goes.
    "EFSIngressRule": {"IpProtocol", "FromPort", "ToPort"},
}
# CloudFormation replaces for these only with an update policy that ours does not have.
ONLY_WITH_A_POLICY = {
    "AWS::AutoScaling::AutoScalingGroup": {
        "LaunchConfigurationName",
        "LaunchTemplate",
        "MixedInstancesPolicy",
        "VPCZoneIdentifier",
    }
}


def problems(v15: Tree, ours: Tree) -> list[str]:
    """What an update of a stack from one template to the other would break."""
    after = _as_it_comes(v15, ours)
    return [*_interface(v15, ours), *_resources(v15["Resources"], after)]


def _as_it_comes(v15: Tree, ours: Tree) -> Tree:
    """Our resources where no new parameter is given."""
    new = {n: p.get("Default") for n, p in ours["Parameters"].items() if n not in v15["Parameters"]}

    def value(node: Any) -> Any:
        """None where it takes more than the new parameters to know it."""
        match node:
            case {"Ref": name}:
                return new.get(name)
            case {"Condition": name}:
                return value(ours["Conditions"][name])
            case {"Fn::Not": [inner]}:
                return None if (found := value(inner)) is None else not found
            case {"Fn::Equals": [left, right]}:
                known = [value(side) for side in (left, right)]
                return None if None in known else known[0] == known[1]
        return None if isinstance(node, dict) else node

    def resolved(node: Any) -> Any:
        if isinstance(node, list):
            return [resolved(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "Fn::If" in node:
            name, yes, no = node["Fn::If"]
            if (holds := value({"Condition": name})) is not None:
                return resolved(yes if holds else no)
        inner = {key: resolved(item) for key, item in node.items()}
        return {key: item for key, item in inner.items() if item != {"Ref": "AWS::NoValue"}}

    found: Tree = resolved(ours["Resources"])
    return found


def _interface(v15: Tree, ours: Tree) -> Iterator[str]:
    labels = ours["Metadata"]["AWS::CloudFormation::Interface"]["ParameterLabels"]
    for name, parameter in v15["Parameters"].items():
        found = ours["Parameters"].get(name, {}) | {"Label": labels[name]["default"]}
        if {key: found.get(key) for key in FACTS} != {key: parameter.get(key) for key in FACTS}:
            yield f"parameter {name} is not as it was"
    for name, parameter in ours["Parameters"].items():
        if name not in v15["Parameters"] and "Default" not in parameter:
            yield f"parameter {name} is new and has no default"
    for name, output in v15["Outputs"].items():
        found = ours["Outputs"].get(name, {})
        if {key: _plain(found.get(key)) for key in output} != output:
            yield f"output {name} is not as it was"
    for name, entry in v15["Mappings"]["Map"].items():
        if ours["Mappings"]["Map"].get(name) != entry:
            yield f"mapping {name} is not as it was"
    for name, condition in v15["Conditions"].items():
        if ours["Conditions"].get(name) != condition:
            yield f"condition {name} is not as it was"


FACTS = ("Type", "Default", "AllowedValues", "Label")
RETAINING = ("Retain", "RetainExceptOnCreate")


def _resources(v15: Tree, ours: Tree) -> Iterator[str]:
    for name, before in v15.items():
        if name in GONE:
            continue
        after = ours.get(name)
        if after is None:
            yield f"{name} is deleted"
        elif after["Type"] != before["Type"]:
            yield f"{name} has another type"
        elif after.get("Condition") != before.get("Condition"):
            yield f"{name} has another condition"
        else:
            if "DeletionPolicy" in before and after.get("DeletionPolicy") not in RETAINING:
                yield f"{name} is not retained"
            changed = _fixed_properties_that_differ(before, after) - REPLACED.get(name, set())
            yield from (f"{name} is replaced: {key}" for key in sorted(changed))


def _fixed_properties_that_differ(before: Tree, after: Tree) -> set[str]:
    old, new = before.get("Properties", {}), after.get("Properties", {})
    return {key for key in _fixed_properties(after) if _plain(old.get(key)) != _plain(new.get(key))}


def _fixed_properties(resource: Tree) -> set[str]:
    """The properties that are given once and for all when a resource is created."""
    kind = resource["Type"]
    if kind.startswith("Custom::"):
        return {"ServiceToken"}
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    lists = ("createOnlyProperties", "conditionalCreateOnlyProperties")
    paths = [path for name in lists for path in schema.get(name) or ()]
    fixed = {path.split("/")[2] for path in paths}
    if not {"AutoScalingReplacingUpdate"} & set(resource.get("UpdatePolicy", {})):
        fixed -= ONLY_WITH_A_POLICY.get(kind, set())
    return fixed


def _plain(value: Any) -> Any:
    """A value of a template, the same however it refers to something."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    text = value.get("Fn::Sub")
    if isinstance(text, str) and (name := re.fullmatch(r"\$\{([\w:]+)(?:\.(\w+))?\}", text)):
        return {"Fn::GetAtt": [name[1], name[2]]} if name[2] else {"Ref": name[1]}
    return {key: _plain(item) for key, item in value.items()}


@pytest.fixture(scope="module")
def v15() -> Tree:
    facts: Tree = json.loads((ROOT / "tests" / "templates" / "v15.json").read_text())
    return facts


@pytest.fixture
def ours() -> dict[str, Tree]:
    return {kind: json.loads(json.dumps(load(path))) for kind, path in TEMPLATES.items()}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_an_update_breaks_nothing(v15: Tree, ours: dict[str, Tree], kind: str) -> None:
    assert problems(v15[kind], ours[kind]) == []


@pytest.mark.parametrize("kind", TEMPLATES)
def test_what_is_replaced_knowingly_is_replaced(
    v15: Tree, ours: dict[str, Tree], kind: str
) -> None:
    for name, properties in REPLACED.items():
        before = v15[kind]["Resources"][name]
        after = _as_it_comes(v15[kind], ours[kind])[name]
        assert _fixed_properties_that_differ(before, after) == properties


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_launch_template_takes_the_place_of_the_launch_configuration(
    v15: Tree, ours: dict[str, Tree], kind: str
) -> None:
    resources = ours[kind]["Resources"]
    (gone,) = GONE & set(v15[kind]["Resources"])
    assert gone not in resources
    new = gone.replace("LaunchConfig", "LaunchTemplate")
    (group,) = (
        resource
        for resource in resources.values()
        if resource["Type"].endswith("::AutoScalingGroup") and "Condition" not in resource
    )
    launched = group["Properties"]["LaunchTemplate"]["LaunchTemplateId"]
    assert (launched, resources[new]["Type"]) == ({"Ref": new}, "AWS::EC2::LaunchTemplate")


def set_property(name: str, key: str, value: Any) -> Callable[[Tree], None]:
    return lambda template: template["Resources"][name]["Properties"].update({key: value})


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (set_property("DstEFS", "Encrypted", "true"), "DstEFS is replaced: Encrypted"),
        (set_property("DstEFS", "KmsKeyId", "alias/own"), "DstEFS is replaced: KmsKeyId"),
        (
            set_property("MountTarget1", "SubnetId", {"Fn::Select": [0, {"Ref": "Subnets"}]}),
            "MountTarget1 is replaced: SubnetId",
        ),
        (set_property("EFSDynamoDB", "TableName", "runs"), "EFSDynamoDB is replaced: TableName"),
        (set_property("EFSDynamoDB", "KeySchema", []), "EFSDynamoDB is replaced: KeySchema"),
        (set_property("EFSLogBucket", "BucketName", "b"), "EFSLogBucket is replaced: BucketName"),
        (set_property("SNSTopic", "TopicName", "t"), "SNSTopic is replaced: TopicName"),
        (
            set_property("EFSSecurityGroup", "GroupDescription", "NFS"),
            "EFSSecurityGroup is replaced: GroupDescription",
        ),
        (
            set_property("Orchestrator", "FunctionName", "o"),
            "Orchestrator is replaced: FunctionName",
        ),
        (
            set_property("CreateUniqueID", "ServiceToken", {"Fn::GetAtt": ["Orchestrator", "Arn"]}),
            "CreateUniqueID is replaced: ServiceToken",
        ),
        (set_property("EFSIngressRule", "GroupId", "sg-1"), "EFSIngressRule is replaced: GroupId"),
        (
            lambda t: t["Resources"]["EFSAutoScalingGroup"].update(
                UpdatePolicy={"AutoScalingReplacingUpdate": {"WillReplace": True}}
            ),
            "EFSAutoScalingGroup is replaced: LaunchTemplate",
        ),
        (lambda t: t["Resources"].pop("LifecycleHook"), "LifecycleHook is deleted"),
        (
            lambda t: t["Resources"]["CreateUniqueID"].update(Type="Custom::UUID"),
            "CreateUniqueID has another type",
        ),
        (
            lambda t: t["Resources"]["DstEFS"].update(Condition="DashboardOpt"),
            "DstEFS has another condition",
        ),
        (
            lambda t: t["Resources"]["DstEFS"].update(DeletionPolicy="Delete"),
            "DstEFS is not retained",
        ),
        (lambda t: t["Parameters"].pop("Retain"), "parameter Retain is not as it was"),
        (
            lambda t: t["Parameters"]["EFSMode"].update(AllowedValues=["generalPurpose"]),
            "parameter EFSMode is not as it was",
        ),
        (
            lambda t: t["Parameters"]["SrcEFS"].update(Default=""),
            "parameter SrcEFS is not as it was",
        ),
        (
            lambda t: t["Metadata"]["AWS::CloudFormation::Interface"]["ParameterLabels"].update(
                VpcId={"default": "VPC"}
            ),
            "parameter VpcId is not as it was",
        ),
        (
            lambda t: t["Parameters"].update(Vault={"Type": "String"}),
            "parameter Vault is new and has no default",
        ),
        (lambda t: t["Outputs"].pop("UUID"), "output UUID is not as it was"),
        (
            lambda t: t["Mappings"]["Map"]["us-east-1"].update(InstanceSize="t4g.nano"),
            "mapping us-east-1 is not as it was",
        ),
    ],
)
def test_a_violation_is_found(
    v15: Tree, ours: dict[str, Tree], plant: Callable[[Tree], Any], expected: str
) -> None:
    plant(ours["backup"])
    assert expected in problems(v15["backup"], ours["backup"])
