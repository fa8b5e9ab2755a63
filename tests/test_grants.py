"""Each call of AWS in the sources is granted to whoever makes it, by the templates: those of the
Lambdas to the roles of their functions, those of the scripts to the role of the instance."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.templates.reading import BACKUP, RESTORE, Tree, launch_data, load, statements
from tests.test_aws_calls import CALLS, OTHERS, SCRIPTS, SERVICES, operations, takes

# Where IAM calls a service otherwise than botocore, and an operation otherwise than itself.
PREFIXES = {"efs": "elasticfilesystem"}
ACTIONS = {
    "dynamodb:TransactWriteItems": {"dynamodb:ConditionCheckItem", "dynamodb:PutItem"},
    "dynamodb:UpdateItem": {"dynamodb:UpdateItem"},
    "lambda:Invoke": {"lambda:InvokeFunction"},
    "s3:HeadObject": {"s3:GetObject"},
    "s3:ListObjectsV2": {"s3:ListBucket"},
    # A batch takes the right to one:
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    "sqs:ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
    "sqs:DeleteMessageBatch": {"sqs:DeleteMessage"},
    "sqs:SendMessageBatch": {"sqs:SendMessage"},
    "scheduler:CreateSchedule": {"scheduler:CreateSchedule", "iam:PassRole"},  # of the entry's role
}
TOPIC_KEY = {"kms:Decrypt", "kms:GenerateDataKey"}
HIGH_LEVEL = {"from": "s3:GetObject", "to": "s3:PutObject"}
# The scripts that only one of the two instances runs.
OF_ONE = {"efs-ec2-backup.sh": BACKUP, "ssm.sh": BACKUP, "efs-ec2-restore.sh": RESTORE}
# What a helper does for a custom resource that only this template has.
BACKUP_ONLY = {Path("src/solution_helper/file_system.py"): "Custom::FileSystemCheck"}
TEMPLATES = {path.name: load(path) for path in (BACKUP, RESTORE)}


def granted(template: Tree, role: str) -> set[str]:
    """The actions that the policies of a role allow, for whatever."""
    owners = {role}
    for name, resource in template["Resources"].items():
        if {"Ref": role} in resource.get("Properties", {}).get("Roles", []):
            owners.add(name)
    found: set[str] = set()
    for owner, statement in statements(template):
        if owner in owners and statement["Effect"] == "Allow":
            actions = statement["Action"]
            found |= {actions} if isinstance(actions, str) else set(actions)
    return found


def needed(template: Tree, service: str, operation: str) -> set[str]:
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    if service == "sns" and "AWS::KMS::Key" in kinds:  # its topic is encrypted
        return {f"sns:{operation}", *TOPIC_KEY}
    action = f"{PREFIXES.get(service, service)}:{operation}"
    return ACTIONS.get(action, {action})


def by_lambdas() -> Iterator[tuple[str, str, list[set[str]], set[str]]]:
    """Template, call, what any of the services with such an operation would need, what is given."""
    for name, template in TEMPLATES.items():
        kinds = {resource["Type"] for resource in template["Resources"].values()}
        for function in template["Resources"].values():
            if function["Type"] != "AWS::Lambda::Function":
                continue
            room = function["Properties"]["Handler"].split(".")[0]
            role = function["Properties"]["Role"]["Fn::GetAtt"][0]
            for path, call, node in CALLS:
                if path in BACKUP_ONLY and BACKUP_ONLY[path] not in kinds:
                    continue
                if path.is_relative_to(Path("src", room)) and call not in OTHERS:
                    of = [s for s in SERVICES if call in (known := operations(s))
                          and takes(known[call], node)]  # fmt: skip
                    choices = [needed(template, s, operations(s)[call].name) for s in of]
                    yield name, f"{path}-{call}", choices, granted(template, role)


def of_text(template: Tree, text: str) -> Iterator[set[str]]:
    """What the calls of the AWS CLI in a script need."""
    joined = text.replace("\\\n", " ")
    for service, verb, rest in re.findall(r"\baws ([a-z0-9]+) ([a-z-]+)([^\n|]*)", joined):
        if service == "s3":
            *_, target = re.findall(r"\"[^\"]+\"|\S+", re.split(r"2>|\|\|", rest)[0])
            uploads = target.strip('"').startswith(("s3:", "$LOGS", "$NOTE"))
            yield {HIGH_LEVEL["to" if uploads else "from"]}
        else:
            yield needed(template, service, operations(service)[verb.replace("-", "_")].name)


def of_engine() -> Iterator[tuple[str, str]]:
    """The calls of the AWS CLI that the engine makes: service and operation."""
    for path in sorted(Path("ec2/lib/engine/workers").glob("*.py")):
        text = path.read_text()
        for verb in re.findall(r"_call(?:_with)?\(\s*\"([a-z-]+)\"", text):
            yield "sqs", verb
        yield from re.findall(r"\[\"aws\", \"([a-z]+)\", \"([a-z-]+)\"", text)


def by_instances() -> Iterator[tuple[str, str, list[set[str]], set[str]]]:
    for path, template in ((path, TEMPLATES[path.name]) for path in (BACKUP, RESTORE)):
        texts = {str(s): s.read_text() for s in SCRIPTS if OF_ONE.get(s.name, path) == path}
        for of in ("Instance", "Worker"):
            text, _ = launch_data(template, of)["UserData"]["Fn::Base64"]["Fn::Sub"]
            texts[f"user data of {of}"] = text
        for name, text in texts.items():
            for actions in of_text(template, text):
                yield path.name, name, [actions], granted(template, "EC2Role")
        for service, verb in of_engine():
            operation = operations(service)[verb.replace("-", "_")].name
            actions = needed(template, service, operation)
            yield path.name, "ec2/lib/engine", [actions], granted(template, "EC2Role")


NEEDS = [
    pytest.param(choices, given, id=f"{template}-{call}-{'|'.join(sorted(*choices[:1]))}")
    for template, call, choices, given in [*by_lambdas(), *by_instances()]
]


def allows(given: set[str], actions: set[str]) -> bool:
    return all(any(fnmatchcase(action, pattern) for pattern in given) for action in actions)


@pytest.mark.parametrize(("choices", "given"), NEEDS)
def test_a_call_is_granted(choices: list[set[str]], given: set[str]) -> None:
    assert any(allows(given, actions) for actions in choices), f"{choices} not in {sorted(given)}"


def test_all_of_them_are_here() -> None:
    """As many as the sources of the Lambdas have, and each service that the scripts call."""
    ids = [str(need.id) for need in NEEDS]
    for path, call, _ in CALLS:
        if path.parts[0] == "src" and call not in OTHERS:
            assert any(f"{path}-{call}-" in name for name in ids)
    instances = {i.rpartition("-")[2] for i in ids if "ec2/" in i or "user data" in i}
    assert {a.partition(":")[0] for name in instances for a in name.split("|")} == {
        *("autoscaling", "dynamodb", "kms", "s3", "sns", "sqs")
    }


def test_one_that_is_not_granted_would_be_found() -> None:
    template = TEMPLATES[BACKUP.name]
    role = granted(template, "EC2Role")
    assert allows(role, {"s3:PutObject", "kms:GenerateDataKey"})
    assert not allows(role, {"s3:DeleteBucket"})
    assert list(of_text(template, 'aws s3 cp "$1" "s3://b/$2" 2>&1\naws s3 cp s3://b/x .')) == [
        {"s3:PutObject"},
        {"s3:GetObject"},
    ]
    (update,) = of_text(template, "aws dynamodb update-item \\\n --table-name x")
    assert update == {"dynamodb:UpdateItem"}
