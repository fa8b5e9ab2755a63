"""Creates or updates a backup stack from the sources that are here.

    make deploy STACK=name SrcEFS=fs-… VpcId=vpc-… Subnets=subnet-…,subnet-… Email=you@example.com
                [any other parameter] [REGION=eu-west-1] [BUCKET=prefix] [VERSION=v2.0.0]

Builds a release, publishes it in the stack's region and deploys its template by a change set. An
existing stack, one of version 1.5, too, keeps the values of the parameters that are not given.
Without BUCKET, the release goes to a bucket of the account's own, which is created if need be.
"""

from __future__ import annotations

import re
import sys

from rich.table import Table

from admin.change_set import ChangeSet
from admin.command import AdminError, Clients, Given, clients, console, run, same_stack, say
from admin.stack import Stack
from tools import build, publish

OPTIONS = ("STACK", "REGION", "BUCKET", "VERSION")
TEMPLATE, _ = publish.TEMPLATES["Backup"]
# The function is named like its stack, and AWS Lambda takes no longer name.
LONGEST_NAME = 64
# What has to be done before a stack in this state can be updated.
REMEDIES = {
    "ROLLBACK_COMPLETE": "Its creation failed, so it can only be deleted: {delete}",
    "ROLLBACK_FAILED": "Its creation failed, so it can only be deleted: {delete}",
    "CREATE_FAILED": "Its creation failed, so it can only be deleted: {delete}",
    "DELETE_FAILED": "Its deletion failed: look at its events, and delete it again: {delete}",
    "UPDATE_ROLLBACK_FAILED": (
        "Look at its events, put that right, and run: aws cloudformation"
        " continue-update-rollback --stack-name {name} --region {region}"
    ),
}


def main(given: Given) -> int:
    name = given.required("STACK", "efs-backup")
    if not re.fullmatch(rf"[A-Za-z][A-Za-z0-9-]{{0,{LONGEST_NAME - 1}}}", name):
        raise AdminError(
            f"STACK {name!r} is no name for a stack of backups: at most {LONGEST_NAME} letters,"
            " digits and hyphens, a letter first"
        )
    connect = clients(given.get("REGION"))
    region = connect("cloudformation").meta.region_name
    stack = existing(connect, name)
    own_bucket = not given.get("BUCKET")
    prefix = given.get("BUCKET") or default_bucket(connect)
    version = given.get("VERSION") or build.source_version()
    parameters = {key: value for key, value in given.items() if key not in OPTIONS}

    release = publish.Release.built(version, prefix)
    template = release.template(TEMPLATE)
    template.check(parameters, stack.parameters if stack else ())
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
    show(Stack.backup(connect, name))
    if stack is None:
        print(f"Confirm the subscription that Amazon SNS sends to {parameters['Email']}.")
    print(f"A backup at once:  make backup-now {same_stack(given)}")
    print(f"The last backups:  make status {same_stack(given)}")
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


def default_bucket(connect: Clients) -> str:
    return f"efs-backup-{connect('sts').get_caller_identity()['Account']}"


def explain(connect: Clients, name: str) -> None:
    """Shows what CloudFormation says about the resources that failed."""
    stack = Stack.find(connect, name)
    for failure in stack.failures() if stack else ():
        say(f"  {failure}", sys.stderr)


def show(stack: Stack) -> None:
    table = Table(title=f"{stack.name} in {stack.region}", title_justify="left")
    table.add_column("Output")
    table.add_column("Value", overflow="fold")
    for key, value in sorted(stack.outputs.items()):
        table.add_row(key, value)
    console().print(table)


if __name__ == "__main__":
    sys.exit(run(main, "Interrupted. What CloudFormation has begun, it goes on with"))
