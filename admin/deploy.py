"""Creates or updates a backup stack from the sources that are here.

    make deploy STACK=name SrcEFS=fs-… VpcId=vpc-… Subnets=subnet-…,subnet-… Email=you@example.com
                [any other parameter] [REGION=eu-west-1] [BUCKET=prefix] [VERSION=v2.0.0]
                [ALLOW_NFS=yes]

Builds a release, publishes it in the stack's region and deploys its template by a change set. An
existing stack, one of version 1.5, too, keeps the values of the parameters that are not given, and
its backup file system. What was edited in the Mappings of its template becomes parameters, if that
is wanted. Without BUCKET, the release goes to a bucket of the account's own, which is created if
need be. In the end it is checked whether the instances will reach the source; ALLOW_NFS lets them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from admin import first_run, publish
from admin.change_set import ChangeSet
from admin.command import (
    AdminError,
    Clients,
    Given,
    answer,
    clients,
    console,
    printable,
    same_stack,
    say,
    say_command,
)
from admin.commands import DEPLOY
from admin.preflight.__main__ import of_stack, report
from admin.preflight.checks import checked
from admin.preflight.facts import Facts, Reader, Request, Unknown
from admin.preflight.reaching import closed_to_nfs
from admin.stack import Stack
from admin.template import Template
from admin.wording import command
from tools import build

TEMPLATE, _ = publish.TEMPLATES["Backup"]
# The function is named like its stack, and AWS Lambda takes no longer name.
LONGEST_NAME = 64
# They make the backup file system what it is: CloudFormation replaces it when one of them changes.
FILE_SYSTEM = ("EFSMode", "EFSEncryption", "KmsKeyId")
# What has to be done before a stack in this state can be updated.
REMEDIES = {
    "ROLLBACK_COMPLETE": "Its creation failed, so it can only be deleted:\n  {delete}",
    "ROLLBACK_FAILED": "Its creation failed, so it can only be deleted:\n  {delete}",
    "CREATE_FAILED": "Its creation failed, so it can only be deleted:\n  {delete}",
    "DELETE_FAILED": "Its deletion failed: look at its events, and delete it again:\n  {delete}",
    "UPDATE_ROLLBACK_FAILED": (
        "Look at its events, put that right, and run:\n  aws cloudformation"
        " continue-update-rollback --stack-name {name} --region {region}"
    ),
}


def main(given: Given) -> int:
    name = given.required("STACK", "efs-backup")
    if not re.fullmatch(rf"[A-Za-z][A-Za-z0-9-]{{0,{LONGEST_NAME - 1}}}", name):
        raise AdminError(
            f"{name!r} is no name for a stack of backups: at most {LONGEST_NAME} letters,"
            " digits and hyphens, a letter first"
        )
    allow = given.yes("ALLOW_NFS")
    connect = clients(given.get("REGION"))
    region = connect("cloudformation").meta.region_name
    stack = existing(connect, name)
    own_bucket = not given.get("BUCKET")
    prefix = given.get("BUCKET") or default_bucket(connect)
    version = given.get("VERSION") or build.source_version()
    parameters = {key: value for key, value in given.items() if key not in DEPLOY.takes}

    release = publish.Release.built(version, prefix)
    template = release.template(TEMPLATE)
    template.check(parameters, stack.parameters if stack else ())
    if stack:
        check_file_system(stack, template, parameters)
        parameters |= kept_edits(stack, template, parameters, sys.stdin.isatty())
        if stack.template.is_version_1:
            say("\n".join(first_run.said(connect, stack)))
    buckets = publish.buckets_of(connect, prefix, [region])
    publish.publish(release, buckets, create=own_bucket)
    (bucket,) = buckets
    url = publish.object_url(bucket.client, bucket.name, f"{release.folder}/{TEMPLATE}")
    previous = stack.parameters.keys() & template.parameters.keys() if stack else None
    change = ChangeSet.request(connect("cloudformation"), name, url, parameters, previous)
    if not change.has_changes():
        print(f"The stack {name} is up to date.")
    elif not change.execute(say):
        explain(connect, name)
        return 1
    deployed = Stack.backup(connect, name)
    show(deployed)
    look(connect, of_stack(deployed, Given({})), allow, same_stack(given))
    if stack is None and (email := parameters["Email"]):
        say(f"Confirm the subscription that Amazon SNS sends to {email}.")
    say_command("A backup at once", command("backup-now", same_stack(given)))
    say_command("The last backups", command("status", same_stack(given)))
    return 0


def existing(connect: Clients, name: str) -> Stack | None:
    """The stack to update, if there is one. Raises AdminError for one that cannot be updated."""
    stack = Stack.find(connect, name)
    # Under review is what an earlier deployment only asked for.
    if stack is None or stack.status in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
        return None
    stack.check_kind()
    words = {"name": stack.name, "region": stack.region}
    delete = "aws cloudformation delete-stack --stack-name {name} --region {region}".format(**words)
    if remedy := REMEDIES.get(stack.status):
        raise AdminError(
            f"The stack {stack.name} is {stack.status}. {remedy.format(**words, delete=delete)}"
        )
    if stack.status.endswith("_IN_PROGRESS"):
        raise AdminError(f"The stack {stack.name} is {stack.status}. Wait until that has ended")
    return stack


def check_file_system(stack: Stack, template: Template, given: Mapping[str, str]) -> None:
    """Raises AdminError for a parameter that would begin with an empty backup file system."""
    for name in FILE_SYSTEM:
        before = stack.parameters.get(name, template.parameters[name]["Default"])
        if given.get(name, before) != before:
            raise AdminError(
                f"{name} of the stack {stack.name} is {before!r}, and cannot be changed: the backup"
                " file system would be replaced by an empty one. Deploy a new stack, with another"
                " name, and keep this one for as long as you need its snapshots"
            )


def kept_edits(
    stack: Stack, template: Template, given: Mapping[str, str], can_ask: bool
) -> dict[str, str]:
    """Parameters that keep what the user edited in the Mappings of the stack's template.

    Raises AdminError where nobody can be asked, or who is asked wants neither.
    """
    edited, released = (t.mapped(stack.region) for t in (stack.template, template))
    edits = {
        name: value
        for name, value in edited.items()
        if value != released.get(name) and name not in given and not stack.parameters.get(name)
    }
    if not edits:
        return {}
    say(f"The template of the stack {stack.name} has other Mappings than the release:")
    for name, value in edits.items():
        say(f"  {name} is {value}; the release has {released.get(name, 'none')}")
    keep = " ".join(f"{name}={value}" for name, value in edits.items())
    if not can_ask:
        reset = " ".join(f"{name}=" for name in edits)
        raise AdminError(f"Say what you want. To keep that: {keep}. To take the release's: {reset}")
    wanted = answer(f"Keep that, as {printable(keep)}? Type yes or no: ")
    if wanted not in ("yes", "no"):
        raise AdminError("Nothing was done")
    return edits if wanted == "yes" else {}


def look(connect: Clients, request: Request, allow: bool, stack: Mapping[str, str]) -> None:
    """Without NFS into the source, the first backup fails; then all else that could keep it."""
    facts = Reader(connect).facts(request)
    groups = closed(request, facts)
    if groups and not allow:
        say("The source does not let NFS in from the instances. Without it, backups fail.")
        say_command("To let it in, as below, or by", command("deploy", stack, ALLOW_NFS="yes"))
    for group in groups if allow else ():
        let_in(connect("ec2"), group, request.group)
        say(f"{group} lets NFS in from {request.group} now.")
    if allow and groups:
        facts = Reader(connect).facts(request)
    report(list(checked(request, facts)), console())


def closed(request: Request, facts: Facts) -> list[str]:
    """Of what cannot be known, the checks that follow tell."""
    try:
        return closed_to_nfs(request, facts)[0]
    except Unknown:
        return []


def let_in(ec2: Any, group: str, source: str) -> None:
    pair = {"GroupId": source, "Description": "EFS backup"}
    rule = {"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "UserIdGroupPairs": [pair]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])


def default_bucket(connect: Clients) -> str:
    return f"efs-backup-{connect('sts').get_caller_identity()['Account']}"


def explain(connect: Clients, name: str) -> None:
    """Shows what CloudFormation says about the resources that failed."""
    stack = Stack.find(connect, name)
    for failure in stack.failures() if stack else ():
        say(f"  {failure}", sys.stderr)


def show(stack: Stack) -> None:
    """In no table, whose cells would be broken anywhere: the values are to be copied."""
    say(f"\nThe outputs of {stack.name} in {stack.region}:")
    for key, value in sorted(stack.outputs.items()):
        say(f"  {key}: {value}")
    say("")
