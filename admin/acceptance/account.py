"""What a run of the acceptance makes in the account, and how it is removed.

Everything is made by stacks, which have the run's own name and tag. Two things must be true of
whatever is deleted: it is a stack with this tag, or a resource that such a stack listed as its own;
and a resource that stays behind when its stack is deleted has the tag itself. What is to be deleted
is written into a journal before, for whoever cleans up after a crash.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import ClientError, WaiterError

from admin.acceptance.kept import KINDS, Kept
from admin.command import AdminError, Clients
from admin.stack import Stack
from admin.wording import value_of

TAG = "efs-backup-acceptance"
NAME = re.compile(r"efs-acceptance-[0-9a-f]{8}")
MADE = re.compile("(CREATE|UPDATE|ROLLBACK)_.*IN_PROGRESS")
FOLDER = Path("acceptance")


@dataclass
class Journal:
    """The names of a run's stacks, and the resources that they leave behind. Kept in a file."""

    path: Path
    region: str
    stacks: list[str] = field(default_factory=list)
    kept: list[list[str]] = field(default_factory=list)
    """Of each its kind, its id, and its region."""

    @classmethod
    def read(cls, name: str, region: str) -> Journal:
        path = FOLDER / name / "journal.json"
        if not path.exists():
            return cls(path, region)
        found = json.loads(path.read_text())
        if found["region"] != region:
            raise AdminError(f"{name} is in another region: {value_of('REGION', found['region'])}")
        return cls(path, region, found["stacks"], found["kept"])

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"region": self.region, "stacks": self.stacks, "kept": self.kept}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(content, indent=1))
        new.replace(self.path)


@dataclass(frozen=True)
class Account:
    clients: Clients
    name: str
    journal: Journal
    say: Callable[[str], None]
    delay: int = 10
    """Seconds from one look at a stack to the next."""
    pause: Callable[[float], None] = time.sleep

    @property
    def source(self) -> str:
        """The stack of the source and the client."""
        return f"{self.name}-source"

    @property
    def tags(self) -> list[dict[str, str]]:
        return [{"Key": TAG, "Value": self.name}]

    def note(self, stack: str) -> None:
        """Before it is made."""
        if stack != self.name and not stack.startswith(f"{self.name}-"):
            raise AssertionError(f"{stack} is not a name of {self.name}")
        if stack not in self.journal.stacks:
            self.journal.stacks.append(stack)
            self.journal.write()

    def create(self, stack: str, parameters: Mapping[str, str], **template: str) -> Stack:
        """template: TemplateURL or TemplateBody. Raises AdminError when it cannot be made."""
        self.note(stack)
        self.clients("cloudformation").create_stack(
            StackName=stack,
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
            Tags=self.tags,
            **template,
        )
        return self._wait("stack_create_complete", stack)

    def made(self, name: str) -> Stack | None:
        """A stack of this run that is there already."""
        return Stack.find(self.clients, name) if self.is_own(name) else None

    def update(self, stack: Stack, template_url: str = "", **changed: str) -> Stack:
        """With other values for some parameters, or with another template."""
        template = {"TemplateURL": template_url} if template_url else {"UsePreviousTemplate": True}
        same = [k for k in stack.parameters if k not in changed]
        self.clients("cloudformation").update_stack(
            StackName=stack.name,
            **template,
            Parameters=[
                *({"ParameterKey": k, "UsePreviousValue": True} for k in same),
                *({"ParameterKey": k, "ParameterValue": v} for k, v in changed.items()),
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
        return self._wait("stack_update_complete", stack.name)

    def _wait(self, what: str, name: str) -> Stack:
        config = {"Delay": self.delay, "MaxAttempts": 3600 // self.delay}
        try:
            self.clients("cloudformation").get_waiter(what).wait(
                StackName=name, WaiterConfig=config
            )
        except WaiterError as error:
            stack = Stack.find(self.clients, name)
            why = "; ".join(stack.failures()) if stack else "it is gone"
            raise AdminError(f"The stack {name}: {error}: {why}") from error
        stack = Stack.find(self.clients, name)
        if stack is None:
            raise AdminError(f"The stack {name} is gone")
        self._tagged(name)
        return stack

    def _tagged(self, stack: str) -> list[Kept]:
        """What the stack could leave behind has the tag then. A replica has no stack that lists it,
        and no configuration that names it once it is not wanted any more: it is noted at once."""
        found = [kept for kept in self._resources(stack) if kept.exists()]
        for kept in found:
            kept.tag(TAG, self.name)
            for replica in kept.replicas():
                self._note_kept(replica)
                replica.tag(TAG, self.name)
        return found

    def _note_kept(self, kept: Kept) -> None:
        entry = [kept.kind, kept.identity, kept.region]
        if entry not in self.journal.kept:
            self.journal.kept.append(entry)
            self.journal.write()

    def _kept(self) -> list[Kept]:
        """What is noted, replicas last: their source ends the replication."""
        noted = sorted(self.journal.kept, key=lambda entry: entry[2] != self.journal.region)
        return [Kept(kind, identity, self.clients, region) for kind, identity, region in noted]

    def _resources(self, stack: str) -> Iterator[Kept]:
        """What could outlive the stack. Its own list says that it is the stack's."""
        client = self.clients("cloudformation")
        for page in client.get_paginator("list_stack_resources").paginate(StackName=stack):
            for resource in page["StackResourceSummaries"]:
                kind, identity = resource["ResourceType"], resource.get("PhysicalResourceId")
                made = resource["ResourceStatus"] not in ("DELETE_COMPLETE", "CREATE_FAILED")
                if kind in KINDS and made and identity:
                    yield Kept(kind, identity, self.clients, self.journal.region)

    def is_own(self, stack: str) -> bool:
        """Whether there is such a stack, and it has the tag."""
        try:
            (found,) = self.clients("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return False
            raise
        here = found["StackStatus"] != "DELETE_COMPLETE"
        return here and self.tags[0] in found.get("Tags", [])

    def remove(self, stack: str) -> None:
        """A stack, and what it leaves behind, which is noted first."""
        if self.is_own(stack):
            self._settle(stack)
            for kept in self._tagged(stack):
                self._note_kept(kept)
            for kept in self._kept():
                is_bucket = kept.kind == "AWS::S3::Bucket" and kept.exists()
                if is_bucket and kept.has_tag(TAG, self.name):
                    kept.empty()
            self.say(f"Deleting the stack {stack}")
            client = self.clients("cloudformation")
            client.delete_stack(StackName=stack)
            config = {"Delay": self.delay, "MaxAttempts": 3600 // self.delay}
            client.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=config)
        elif (other := Stack.find(self.clients, stack)) and other.status != "DELETE_COMPLETE":
            self.say(f"The stack {stack} has not the tag {TAG}={self.name}, and is left alone")
            return
        self._remove_kept()
        self.journal.stacks.remove(stack)
        self.journal.write()

    def _settle(self, name: str) -> None:
        """What is being made would not be in the list yet, and could stay behind unnoticed."""
        for _ in range(3600 // self.delay):
            stack = Stack.find(self.clients, name)
            if stack is None or not MADE.fullmatch(stack.status):
                return
            self.say(f"Waiting for {name}: {stack.status}")
            self.pause(self.delay)

    def _remove_kept(self) -> None:
        for kept in self._kept():
            name = f"{kept.kind.split('::')[1]} {kept.identity}"
            if kept.exists():
                if not kept.has_tag(TAG, self.name):
                    self.say(f"{name} has not the tag {TAG}={self.name}, and is left alone")
                    continue
                self.say(f"Deleting {name}")
                kept.delete()
            self.journal.kept.remove([kept.kind, kept.identity, kept.region])
            self.journal.write()

    def remove_all(self) -> list[str]:
        """What is left, because it could not be removed. The client goes first: it has the
        security groups of the others."""
        for stack in self._stacks():
            if stack not in self.journal.stacks:
                self.journal.stacks.append(stack)
        order = sorted(self.journal.stacks, key=lambda s: s != self.source)
        for stack in order:
            try:
                self.remove(stack)
            except (AdminError, ClientError, WaiterError) as error:
                self.say(f"{stack} could not be removed: {error}")
        return [*self.journal.stacks, *(identity for _, identity, _ in self.journal.kept)]

    def _stacks(self) -> Iterator[str]:
        """Those with the tag that no journal here knows of."""
        for page in self.clients("cloudformation").get_paginator("describe_stacks").paginate():
            for stack in page["Stacks"]:
                if self.tags[0] in stack.get("Tags", []):
                    yield stack["StackName"]
