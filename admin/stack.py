"""A stack in CloudFormation, and whether it is one of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from admin.command import AdminError, Clients
from admin.template import Template
from admin.wording import value_of

# What the backup template has always had, since version 1.
RESOURCES = {"Orchestrator", "EFSDynamoDB", "EFSAutoScalingGroup", "DstEFS"}
# Outputs that only the backup template has, since version 1, too.
OUTPUTS = {"BackupEFS", "SourceEFS", "LogBucket"}
# A stack in such a state has never been whole, or is no more.
UNUSABLE = {
    "CREATE_FAILED",
    "CREATE_IN_PROGRESS",
    "DELETE_COMPLETE",
    "DELETE_FAILED",
    "DELETE_IN_PROGRESS",
    "REVIEW_IN_PROGRESS",
    "ROLLBACK_COMPLETE",
    "ROLLBACK_FAILED",
    "ROLLBACK_IN_PROGRESS",
}


@dataclass(frozen=True)
class Stack:
    name: str
    region: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    _client: Any

    @classmethod
    def find(cls, clients: Clients, name: str) -> Stack | None:
        client = clients("cloudformation")
        try:
            (found,) = client.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise
        return cls._from(found, client)

    @classmethod
    def backups(cls, clients: Clients) -> list[Stack]:
        """All backup stacks of the region that have ever been whole, by name."""
        client = clients("cloudformation")
        pages = client.get_paginator("describe_stacks").paginate()
        stacks = [cls._from(found, client) for page in pages for found in page["Stacks"]]
        ours = [stack for stack in stacks if stack.outputs.keys() >= OUTPUTS]
        return sorted((s for s in ours if s.status not in UNUSABLE), key=lambda stack: stack.name)

    @classmethod
    def _from(cls, found: Mapping[str, Any], client: Any) -> Stack:
        return cls(
            found["StackName"],
            client.meta.region_name,
            found["StackStatus"],
            {p["ParameterKey"]: p["ParameterValue"] for p in found.get("Parameters", [])},
            {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])},
            client,
        )

    @classmethod
    def backup(cls, clients: Clients, name: str) -> Stack:
        """A stack that makes backups. Raises AdminError when there is none that can be used."""
        stack = cls.find(clients, name)
        if stack is None:
            region = clients("cloudformation").meta.region_name
            raise AdminError(
                f"There is no stack {name} in {region}. If it is in another region, say which:"
                f" {value_of('REGION', 'eu-west-1')}"
            )
        stack.check_kind()
        if stack.status in UNUSABLE:
            raise AdminError(f"The stack {name} cannot be used: it is {stack.status}")
        return stack

    def check_kind(self) -> None:
        """Raises AdminError for a stack of another template."""
        if not self.template.content["Resources"].keys() >= RESOURCES:
            raise AdminError(f"The stack {self.name} was not made from the backup template")

    def resource(self, logical_id: str) -> str:
        """The physical id of a resource."""
        found = self._client.describe_stack_resource(
            StackName=self.name, LogicalResourceId=logical_id
        )
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    @cached_property
    def template(self) -> Template:
        body = self._client.get_template(StackName=self.name, TemplateStage="Original")
        return Template.parse(body["TemplateBody"])

    def settings(self) -> dict[str, str]:
        """What parameters say, or else the Mappings of its template, which may be edited."""
        mapped = self.template.mapped(self.region)
        return {name: self.parameters.get(name) or value for name, value in mapped.items()}

    def failures(self) -> Iterator[str]:
        """What has gone wrong with its resources in the last operation, the cause first."""
        found = []
        for event in self._events():
            if event["ResourceStatus"].endswith("_FAILED"):
                reason = event.get("ResourceStatusReason", "no reason given")
                found.append(f"{event['LogicalResourceId']}: {reason}")
            if event["LogicalResourceId"] == self.name and event["ResourceStatus"] in (
                "CREATE_IN_PROGRESS",
                "UPDATE_IN_PROGRESS",
            ):
                break
        return reversed(found)

    def _events(self) -> Iterator[dict[str, Any]]:
        """The newest first."""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=self.name)
        for page in pages:
            yield from page["StackEvents"]
