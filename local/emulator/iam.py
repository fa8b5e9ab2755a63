"""IAM: ministack derives the resource of some requests too coarsely for precise policies, and does
not know the namespace of a metric."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from local.api import Credentials, Record
from local.emulator import ministack
from local.emulator.groups import TERMINATE, all_groups


def hook(journal: Path) -> None:
    actions, evaluator = ministack("core.iam_actions"), ministack("core.iam_evaluator")
    evaluator.enforce = partial(_decide_and_note, evaluator.enforce, journal)
    derive = actions.extract_resource_arn

    def resource(
        service: str, method: str, path: str, headers: Record, body: bytes, query: Record,
        region: str, account: str,
    ) -> str:  # fmt: skip
        request = json.loads(body) if body and service in ("scheduler", "ssm") else {}
        target = headers.get("x-amz-target", "").rpartition(".")[2]
        if service == "scheduler" and path.startswith("/schedules/"):
            group = request.get("GroupName") or "".join(query.get("groupName", "default"))
            name = path.removeprefix("/schedules/")
            return f"arn:aws:scheduler:{region}:{account}:schedule/{group}/{name}"
        if target == "GetParameter" and request["Name"].startswith("/aws/service/"):
            return f"arn:aws:ssm:{region}::parameter{request['Name']}"
        if service == "autoscaling" and query.get("Action") == [TERMINATE]:
            return _group_of(query["InstanceId"][0])
        if service == "elasticfilesystem" and "FileSystemId" in query:
            return f"arn:aws:{service}:{region}:{account}:file-system/{query['FileSystemId'][0]}"
        if target == "SendCommand":
            return _resource_of_command(request, headers, region, account)
        derived = str(derive(service, method, path, headers, body, query, region, account))
        if service == "s3" and "x-amz-acl" in headers:
            return _resource_of_upload(derived, headers, region)
        return derived

    actions.extract_resource_arn = resource
    actions.request_tag_context = partial(_context, actions.request_tag_context)


def _decide_and_note(
    enforce: Any, journal: Path, key: str, action: str, service: str, region: str,
    resource_arn: str = "*", service_context: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Adds each decision about a role to the journal, a line of JSON. Who may do something to one
    message may do so to a batch."""
    if service == "sqs":
        action = action.removesuffix("Batch")
    denied = enforce(key, action, service, region, resource_arn, service_context)
    session = ministack("services.sts")._sessions.get(key)
    if session and ":assumed-role/" in session["Arn"]:
        role = session["Arn"].split("/")[1]
        entry = {"role": role, "action": action, "resource": resource_arn, "allowed": not denied}
        with journal.open("a") as file:
            file.write(json.dumps(entry) + "\n")
    return denied


def _group_of(instance_id: str) -> str:
    """The ARN of the group of an instance."""
    arns = (
        str(group["AutoScalingGroupARN"])
        for group in all_groups()
        if any(i["InstanceId"] == instance_id for i in group["Instances"])
    )
    return next(arns, "*")


def _context(
    derive: Any, service: str, action: str, body: bytes, parameters: Record
) -> dict[str, Any]:
    """The condition keys of a request."""
    context: dict[str, Any] = derive(service, action, body, parameters)
    if action == "cloudwatch:PutMetricData":
        context["cloudwatch:namespace"] = json.loads(body)["Namespace"]
    if action == "events:PutEvents":
        context["events:source"] = [entry["Source"] for entry in json.loads(body)["Entries"]]
    return context


def _resource_of_command(request: Record, headers: Record, region: str, account: str) -> str:
    """SendCommand needs a right to each instance, to the bucket for its output and to its document:
    the first one denied."""
    key = ministack("core.router").extract_access_key_id(headers)
    enforce = ministack("core.iam_evaluator").enforce
    tags = ministack("services.ec2")._tags
    needed = {
        f"arn:aws:ec2:{region}:{account}:instance/{instance}": {
            f"ssm:resourceTag/{t['Key']}": t["Value"] for t in tags.get(instance, [])
        }
        for instance in request["InstanceIds"]
    }
    if bucket := request.get("OutputS3BucketName"):
        needed[f"arn:aws:s3:::{bucket}"] = {}
    for arn, context in needed.items():
        if enforce(
            key, "ssm:SendCommand", "ssm", region, resource_arn=arn, service_context=context
        ):
            return arn
    return f"arn:aws:ssm:{region}::document/{request['DocumentName']}"


def _resource_of_upload(derived: str, headers: Record, region: str) -> str:
    """An upload with an access control list needs the right to set it, or may go nowhere."""
    key = ministack("core.router").extract_access_key_id(headers)
    denied = ministack("core.iam_evaluator").enforce(
        key, "s3:PutObjectAcl", "s3", region, resource_arn=derived
    )
    return "arn:aws:s3:::" if denied else derived


def open_session(account: str, role: str, session: str, credentials: Credentials) -> None:
    ministack("services.sts").register_session(
        credentials.access_key,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{session}",
            "UserId": f"{role}:{session}",
            "SecretAccessKey": credentials.secret_key,
            "SessionToken": credentials.token,
        },
    )
