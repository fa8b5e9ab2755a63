"""Every policy that the project gives away, before parliament: it knows each service's actions, and
which resources and condition keys each action takes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import parliament
import pytest
from botocore.stub import Stubber

from admin.publish import Bucket
from tests.cloudformation import aws_environment
from tests.templates.reading import BACKUP, RESTORE, ROOT, Tree, load

HERE = {"AWS::Partition": "aws", "AWS::Region": "eu-west-1", "AWS::AccountId": "111122223333"}
ARN = "arn:aws:{}:eu-west-1:111122223333:{}"
HERE["AWS::StackId"] = ARN.format("cloudformation", "stack/backup/5a0c8f60")
HERE |= {f"{n}BackupFunction": ARN.format("lambda", f"function:{n}") for n in ("Before", "After")}
EXAMPLE = ARN.format("elasticfilesystem", "file-system/fs-0fedcba9876543210")
# What Fn::GetAtt says of an `Arn`, or Ref of a topic; the resource's own name follows.
ARNS = {
    "AWS::DynamoDB::Table": ARN.format("dynamodb", "table/"),
    "AWS::EFS::FileSystem": ARN.format("elasticfilesystem", "file-system/"),
    "AWS::IAM::Role": "arn:aws:iam::111122223333:role/",
    "AWS::KMS::Key": ARN.format("kms", "key/"),
    "AWS::Lambda::Function": ARN.format("lambda", "function:"),
    "AWS::Logs::LogGroup": ARN.format("logs", "log-group:"),
    "AWS::S3::Bucket": "arn:aws:s3:::",
    "AWS::SNS::Topic": ARN.format("sns", ""),
    "AWS::SQS::Queue": ARN.format("sqs", ""),
}
# ARNs of AWS's own documents and parameters name no account, which parliament does not know:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters.html
OF_AWS = ("ssm:SendCommand", "ssm:GetParameter")


class Resolved:
    """What CloudFormation makes of the intrinsic functions that policies have."""

    def __init__(self, template: Tree) -> None:
        self.resources = template["Resources"]

    def of(self, value: Any) -> Any:
        match value:
            case {"Ref": name}:
                return self.ref(name)
            case {"Fn::GetAtt": [name, "Arn"]}:
                return self.arn(name)
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{(.+?)\}", lambda found: self.named(found[1], {}), text)
            case {"Fn::Sub": [text, names]}:
                return re.sub(r"\$\{(.+?)\}", lambda found: self.named(found[1], names), text)
            case {"Fn::If": [_, chosen, _]}:
                return self.of(chosen)
            case dict():
                assert not any(key.startswith("Fn::") for key in value), value
                return {key: self.of(inner) for key, inner in value.items()}
            case list():
                return [self.of(inner) for inner in value]
        return value

    def named(self, name: str, names: Tree) -> str:
        if name in names:
            return "given"
        return self.arn(name.removesuffix(".Arn")) if name.endswith(".Arn") else self.ref(name)

    def arn(self, name: str) -> str:
        kind = self.resources[name]["Type"]
        return ARNS[kind] + name + (":*" if kind == "AWS::Logs::LogGroup" else "")

    def owned(self, name: str, document: Tree) -> Tree:
        """With the resource that a policy is attached to, where it need not say that."""
        kind = self.resources[name]["Type"]
        own = self.arn(name) if kind in ARNS else "*"
        return with_resource(self.of(document), own)

    def ref(self, name: str) -> str:
        is_topic = self.resources.get(name, {}).get("Type") == "AWS::SNS::Topic"
        return self.arn(name) if is_topic else HERE.get(name, name.replace("::", "-"))


def with_resource(document: Tree, own: str) -> Tree:
    statements = [
        {**s, "Resource": own} if "Principal" in s and s.get("Resource", "*") == "*" else s
        for s in document["Statement"]
    ]
    return {**document, "Statement": statements}


def documents(value: Any) -> Iterator[Tree]:
    """Every policy document in a tree, wherever it is."""
    if isinstance(value, dict):
        if "Statement" in value:
            yield value
        else:
            for inner in value.values():
                yield from documents(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from documents(inner)


def of_templates() -> Iterator[tuple[str, Tree]]:
    for path in (BACKUP, RESTORE):
        template = load(path)
        for name, resource in template["Resources"].items():
            for number, document in enumerate(documents(resource)):
                kind = resource["Type"].split("::")[1]
                yield (
                    f"{path.stem}-{name}-{kind}-{number}",
                    Resolved(template).owned(name, document),
                )


def of_docs() -> Iterator[tuple[str, Tree]]:
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]):
        blocks = re.findall(r"```(?:json)?\n(\{.+?\})\n```", page.read_text(), re.DOTALL)
        for number, block in enumerate(blocks):
            try:
                for document in documents(json.loads(block)):
                    yield f"{page.name}-{number}", with_resource(document, EXAMPLE)
            except json.JSONDecodeError:
                assert "Statement" not in block, f"no JSON in {page}: {block}"


POLICIES = dict([*of_templates(), *of_docs()])


def findings(document: Tree) -> set[tuple[str, str]]:
    checked = [s for s in document["Statement"] if not is_of_owner(s)]
    if not checked:
        return set()
    text = json.dumps({**document, "Statement": checked}, default=str)
    found = parliament.analyze_policy_string(text).findings
    return {(f.issue, str(f.detail)) for f in found if not is_wanted(f.issue, f.detail)}


def is_of_owner(statement: Tree) -> bool:
    """The one that AWS puts into each key policy: it gives the account its key, whatever there is
    to do with keys. https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html"""
    root = {"AWS": f"arn:aws:iam::{HERE['AWS::AccountId']}:root"}
    return (statement["Action"], statement.get("Principal")) == ("kms:*", root)


def is_wanted(issue: str, detail: Any) -> bool:
    if issue == "RESOURCE_MISMATCH":
        return {d["action"] for d in detail} <= {*OF_AWS}
    # Only in the docs, where nobody can know what there is to be read. That the templates' are
    # limited where AWS lets them, test_security.py says.
    return issue == "RESOURCE_STAR" and all(re.search(r":(Describe|Get|List)", a) for a in detail)


def test_all_of_them_are_here() -> None:
    """As many as there are words in the sources that begin one."""
    written = sum(path.read_text().count(" Statement:") for path in (BACKUP, RESTORE))
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]
    written += sum(page.read_text().count('"Statement"') for page in pages)
    assert len(POLICIES) == written > 15


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_says_only_what_aws_knows(name: str) -> None:
    assert findings(POLICIES[name]) == set()


@pytest.mark.parametrize(
    ("wrong", "issue"),
    [
        ({"Action": "s3:PutObjects"}, "UNKNOWN_ACTION"),
        ({"Action": "s4:PutObject"}, "UNKNOWN_PREFIX"),
        ({"Resource": "arn:aws:s3:::bucket"}, "RESOURCE_MISMATCH"),
        ({"Resource": "*"}, "RESOURCE_STAR"),
        (
            {"Condition": {"StringEquals": {"s3:prefixes": "a"}}},
            "UNKNOWN_CONDITION_FOR_ACTION",
        ),
    ],
)
def test_a_wrong_one_would_be_found(wrong: Tree, issue: str) -> None:
    right = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::bucket/*"}
    document = {"Version": "2012-10-17", "Statement": [right]}
    assert findings(document) == set()
    assert issue in {found for found, _ in findings({**document, "Statement": [right | wrong]})}


def test_the_bucket_of_a_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its policy is made by a program."""
    aws_environment(monkeypatch)
    client = boto3.client("s3")
    put: list[Tree] = []
    client.meta.events.register(
        "before-parameter-build.s3.PutBucketPolicy",
        lambda params, **_: put.append(json.loads(params["Policy"])),
    )
    with Stubber(client) as stubber:
        for call in ("put_public_access_block", "put_bucket_versioning", "put_bucket_policy"):
            stubber.add_response(call, {})
        Bucket("my-backups-eu-west-1", "eu-west-1", HERE["AWS::AccountId"], client).protect()
    (document,) = put
    assert findings(document) == set()
