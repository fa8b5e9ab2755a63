"""ministack, with what backups need of AWS and it lacks.

    python -m local.emulator HOME

serves the APIs of the account until its standard input is closed. `fire RULE` on a line of that
input makes the schedule rule RULE due.

Only this file knows ministack from the inside. PRIVATE_NAMES lists what it uses that is no
interface of ministack's; each is checked before the start.
"""

import importlib
import json
import logging
import os
import re
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local import api, imds, metrics, mount_targets, refusals
from local.api import Credentials, Record
from local.autoscaling import AutoScaling, ValidationError, validate_capacity
from local.fleet import FILE_SYSTEMS, Fleet, Machine, owner

RECONCILE_SECONDS = 0.2
SCHEDULE_TICK_SECONDS = 1
AUTHORIZATIONS = "authorizations.jsonl"
TWO_YEARS = 2 * 365 * 86400
TERMINATE = "TerminateInstanceInAutoScalingGroup"
GRAVITON_IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"

# What ministack reads while it is imported. AUTH makes it enforce the IAM policies.
ENVIRONMENT = {
    "AUTH": "true",
    "BIND_HOST": "127.0.0.1",
    "DOCKER_HOST": "unix:///nonexistent",
    "GATEWAY_PORT": str(api.PORT),
    "IOT_MTLS_ENABLED": "0",
    "LAMBDA_EXECUTOR": "local",
    "MINISTACK_ACCOUNT_ID": api.ACCOUNT_ID,
    "MINISTACK_HOST": "127.0.0.1",
    "USE_SSL": "1",
}

PRIVATE_NAMES = {
    "core.iam_actions": ("extract_resource_arn", "request_tag_context"),
    "core.iam_evaluator": ("enforce",),
    "core.responses": ("request_scope",),
    "core.router": ("extract_access_key_id",),
    "core.tls": ("resolve_tls_material",),
    "services.autoscaling": (
        "_ACTION_MAP", "_asgs", "_error", "_hooks", "_launch_configs", "_p",
        "_reconcile_instances", "_xml",
    ),
    "services.cloudformation.handlers": ("_ACTION_HANDLERS",),
    "services.cloudformation.provisioners": ("_RESOURCE_HANDLERS", "_ec2_sg_permissions"),
    "services.ec2": (
        "_ACTION_MAP", "_lt_data_xml", "_security_groups", "_tags", "exec_in_instance_blocking",
        "instance_is_managed",
    ),
    "services.efs": ("_error", "_file_systems", "_update_file_system"),
    "services.eventbridge": (
        "_SCHEDULER_TICK_INTERVAL", "_put_events", "_rule_last_fired", "_rules",
    ),
    "services.s3": ("_bucket_policies", "_delete_bucket_lifecycle", "_put_bucket_lifecycle"),
    "services.scheduler": ("_SCHEDULE_TICK_INTERVAL",),
    "services.ssm": ("_PUBLIC_AMI_PARAMETERS", "_commands", "_finish_invocation"),
    "services.sts": ("_sessions", "register_session"),
}  # fmt: skip

logger = logging.getLogger(__name__)


def missing_names() -> list[str]:
    """The names of PRIVATE_NAMES that this ministack does not have."""
    return [
        f"ministack.{module}.{name}"
        for module, names in PRIVATE_NAMES.items()
        for name in names
        if not hasattr(_ministack(module), name)
    ]


def main(home: Path) -> None:
    if missing := missing_names():
        sys.exit(f"This ministack lacks what the local account hooks into: {', '.join(missing)}")
    _trust_own_certificate(api.certificate(home))
    install(home)
    threading.Thread(target=_obey, name="control", daemon=True).start()
    sys.argv = ["ministack"]
    _ministack("app").main()


def install(home: Path) -> None:
    """Puts everything in place that runs inside ministack."""
    metadata = imds.MetadataService()
    fleet = Fleet(home, metadata, _open_session, _launch_configuration)
    scaling = AutoScaling(_groups, _lifecycle_hooks, fleet.launch, _publish)
    enforce = _ministack("core.iam_evaluator").enforce
    mount_targets.serve(partial(_client_rights, metadata, enforce, home / FILE_SYSTEMS))
    _hook_authorization(home / AUTHORIZATIONS)
    _hook_cloudformation()
    _hook_refusals()
    _hook_instance_types()
    _hook_autoscaling(scaling)
    _hook_run_command(scaling, fleet)
    _ministack("services.eventbridge")._SCHEDULER_TICK_INTERVAL = SCHEDULE_TICK_SECONDS
    _ministack("services.scheduler")._SCHEDULE_TICK_INTERVAL = SCHEDULE_TICK_SECONDS
    metadata.start()
    metrics.receive(home / metrics.JOURNAL)
    os.environ["METRICS_URL"] = metrics.URL  # for the Lambda functions, which inherit it
    threading.Thread(target=_reconcile_for_ever, args=(scaling,), daemon=True).start()


def _ministack(module: str) -> Any:
    return importlib.import_module(f"ministack.{module}")


def _trust_own_certificate(certificate: Path) -> None:
    """The Lambda functions inherit this environment, and the only server they talk to is this."""
    made, _ = _ministack("core.tls").resolve_tls_material()
    shutil.copyfile(made, certificate)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        os.environ[name] = str(certificate)


# IAM: ministack derives the resource of some requests too coarsely for precise policies, and does
# not know the namespace of a metric.


def _hook_authorization(journal: Path) -> None:
    actions, evaluator = _ministack("core.iam_actions"), _ministack("core.iam_evaluator")
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
    session = _ministack("services.sts")._sessions.get(key)
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
        for group in _groups()
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
    key = _ministack("core.router").extract_access_key_id(headers)
    enforce = _ministack("core.iam_evaluator").enforce
    tags = _ministack("services.ec2")._tags
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
    key = _ministack("core.router").extract_access_key_id(headers)
    denied = _ministack("core.iam_evaluator").enforce(
        key, "s3:PutObjectAcl", "s3", region, resource_arn=derived
    )
    return "arn:aws:s3:::" if denied else derived


def _open_session(account: str, role: str, session: str, credentials: Credentials) -> None:
    _ministack("services.sts").register_session(
        credentials.access_key,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{session}",
            "UserId": f"{role}:{session}",
            "SecretAccessKey": credentials.secret_key,
            "SessionToken": credentials.token,
        },
    )


# EFS: file systems have no mount targets that would let anybody in.


def _client_rights(
    metadata: imds.MetadataService,
    enforce: Any,
    contents: Path,
    instance: str,
    file_system: str,
    iam: bool,
    tls: bool,
) -> frozenset[str]:
    """What an instance may do with a file system; `enforce` says what its role may do."""
    identity = metadata.identity(instance)
    with _ministack("core.responses").request_scope(identity.account, identity.region):
        found = _ministack("services.efs")._file_systems.get(file_system)
        if not found or not found["NumberOfMountTargets"]:
            raise mount_targets.Unresolved
        (contents / file_system).mkdir(exist_ok=True)
        policy = found.get("FileSystemPolicy")
        key = identity.credentials().access_key
        arn = found["FileSystemArn"]
        own = (
            right
            for right in mount_targets.RIGHTS
            if not enforce(key, right, "elasticfilesystem", identity.region, resource_arn=arn)
        )
        return mount_targets.granted(
            json.loads(policy) if policy else None,
            own if iam else (),
            f"arn:aws:iam::{identity.account}:role/{identity.role}" if iam else None,
            tls,
            arn,
        )


# CloudFormation: a resource type of the backup template is missing, buckets have no lifecycle, and
# an update from version 1.5 needs more of two others.


def _hook_cloudformation() -> None:
    handlers = _ministack("services.cloudformation.provisioners")._RESOURCE_HANDLERS
    handlers["AWS::EC2::SecurityGroupIngress"] = {
        "create": _create_ingress_rule,
        "delete": _delete_ingress_rule,
    }
    for resource_type, operation, replacement in (
        ("AWS::AutoScaling::LaunchConfiguration", "create", _create_launch_configuration),
        ("AWS::AutoScaling::AutoScalingGroup", "update", _update_group),
        ("AWS::S3::Bucket", "create", _create_bucket),
        ("AWS::S3::Bucket", "update", _update_bucket),
    ):
        handler = handlers[resource_type]
        handler[operation] = partial(replacement, handler[operation])


def _ingress_rules(properties: Record) -> tuple[list[Record], list[Record]]:
    """All rules of the security group, and those that the properties describe."""
    group = _ministack("services.ec2")._security_groups[properties["GroupId"]]
    provisioners = _ministack("services.cloudformation.provisioners")
    return group["IpPermissions"], provisioners._ec2_sg_permissions([properties])


def _create_ingress_rule(
    logical_id: str, properties: Record, stack: str
) -> tuple[str, dict[str, str]]:
    rules, own = _ingress_rules(properties)
    rules.extend(own)
    rule_id = f"sgr-{secrets.token_hex(9)[:17]}"
    return rule_id, {"Id": rule_id}


def _delete_ingress_rule(physical_id: str, properties: Record) -> None:
    rules, own = _ingress_rules(properties)
    for rule in own:
        rules.remove(rule)


def _create_launch_configuration(
    create: Any, logical_id: str, properties: Record, stack: str
) -> tuple[str, dict[str, str]]:
    """Keeps the instance profile, too, which is a name or an ARN."""
    name, attributes = create(logical_id, properties, stack)
    profile = properties["IamInstanceProfile"].rpartition("/")[2]
    kept = _ministack("services.autoscaling")._launch_configs[name]
    kept["IamInstanceProfile"] = {"Name": profile}
    return name, attributes


def _launch_configuration(group: Record) -> Record:
    """What the group launches, in the terms of a launch template."""
    with _ministack("core.responses").request_scope(*owner(group)):
        configurations = _ministack("services.autoscaling")._launch_configs
        found: Record = configurations[group["LaunchConfigurationName"]]
    return found


def _update_group(
    update: Any, name: str, old: Record, new: Record, stack: str, logical_id: str
) -> Any:
    """Leaves the desired capacity as it is, unless the template changes it.

    In AWS that is so with the update policy IgnoreUnmodifiedGroupSizeProperties, which the handler
    of a type does not see: tests/templates/ checks that the templates have it.
    """
    group = _ministack("services.autoscaling")._asgs[name]
    desired = group["DesiredCapacity"]
    answer = update(name, old, new, stack, logical_id)
    if old.get("DesiredCapacity") == new.get("DesiredCapacity"):
        group["DesiredCapacity"] = desired
    return answer


def _create_bucket(
    create: Any, logical_id: str, properties: Record, stack: str
) -> tuple[str, dict[str, str]]:
    name, attributes = create(logical_id, properties, stack)
    _put_lifecycle(name, properties)
    return name, attributes


def _update_bucket(update: Any, name: str, old: Record, new: Record, stack: str) -> Any:
    answer = update(name, old, new, stack)
    _put_lifecycle(name, new)
    return answer


# What CloudFormation calls the parts of a lifecycle rule -> what S3 does.
LIFECYCLE = {
    "Prefix": "<Filter><Prefix>{}</Prefix></Filter>",
    "Status": "<Status>{}</Status>",
    "ExpirationInDays": "<Expiration><Days>{}</Days></Expiration>",
    "NoncurrentVersionExpiration": (
        "<NoncurrentVersionExpiration><NoncurrentDays>{[NoncurrentDays]}</NoncurrentDays>"
        "</NoncurrentVersionExpiration>"
    ),
    "AbortIncompleteMultipartUpload": (
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>{[DaysAfterInitiation]}"
        "</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
    ),
}


def _put_lifecycle(bucket: str, properties: Record) -> None:
    rules = properties.get("LifecycleConfiguration", {}).get("Rules", [])
    written = [
        "".join(LIFECYCLE[part].format(value) for part, value in {"Prefix": "", **rule}.items())
        for rule in rules
    ]
    body = "".join(f"<Rule>{rule}</Rule>" for rule in written)
    s3 = _ministack("services.s3")
    if rules:
        s3._put_bucket_lifecycle(
            bucket, f"<LifecycleConfiguration>{body}</LifecycleConfiguration>".encode()
        )
    else:
        s3._delete_bucket_lifecycle(bucket)


# What AWS would refuse.


def _hook_refusals() -> None:
    handlers = _ministack("services.cloudformation.provisioners")._RESOURCE_HANDLERS
    function, policy = handlers["AWS::Lambda::Function"], handlers["AWS::S3::BucketPolicy"]
    function["create"] = partial(refusals.long_name, function["create"])
    policies = _ministack("services.s3")._bucket_policies
    policy["create"] = partial(refusals.second_policy, policy["create"], policies)
    efs = _ministack("services.efs")
    efs._update_file_system = refusals.ThroughputChanges(
        efs._update_file_system, efs._file_systems, efs._error
    )
    actions = _ministack("services.cloudformation.handlers")._ACTION_HANDLERS
    actions["DescribeStacks"] = partial(refusals.ascii_only, actions["DescribeStacks"])


# EC2: every instance type and every image of ministack has Intel's architecture, and a launch
# template does not tell whether it asks for Spot Instances.


def _hook_instance_types() -> None:
    ec2 = _ministack("services.ec2")
    ec2._lt_data_xml = partial(_with_market, ec2._lt_data_xml)
    actions = ec2._ACTION_MAP
    actions["DescribeInstanceTypes"] = partial(_describe, actions["DescribeInstanceTypes"])
    _ministack("services.ssm")._PUBLIC_AMI_PARAMETERS[GRAVITON_IMAGE] = "ami-0c2023a1b2c3d4e60"


def _with_market(render: Callable[[Record], str], data: Record) -> str:
    kind = data.get("InstanceMarketOptions", {}).get("MarketType")
    market = f"<marketType>{kind}</marketType>" if kind else ""
    return f"{render(data)}<instanceMarketOptions>{market}</instanceMarketOptions>"


def _describe(describe: Any, parameters: Record) -> Any:
    """The request names one type: those with a g after their generation are Graviton."""
    status, headers, body = describe(parameters)
    (name,) = parameters["InstanceType.1"]
    if re.match(r"[a-z]+[0-9]+g", name):
        body = body.replace(b"<item>x86_64</item>", b"<item>arm64</item>")
    return status, headers, body


# Auto Scaling: the groups of ministack have no real instances, no lifecycle and no events.


def _hook_autoscaling(scaling: AutoScaling) -> None:
    service = _ministack("services.autoscaling")
    actions = service._ACTION_MAP
    service._reconcile_instances = lambda group: None
    for action, act in (
        ("CompleteLifecycleAction", scaling.complete),
        ("RecordLifecycleActionHeartbeat", scaling.heartbeat),
    ):
        actions[action] = partial(_answer_lifecycle_action, service, action, act)
    actions[TERMINATE] = partial(_answer_termination, service, scaling.end)
    of_instances = _ministack("services.ec2")._ACTION_MAP
    of_instances["TerminateInstances"] = partial(
        _power_off, scaling, of_instances["TerminateInstances"]
    )
    for action in ("SetDesiredCapacity", "UpdateAutoScalingGroup"):
        actions[action] = partial(_answer_capacity_change, service, actions[action])


def _answer_lifecycle_action(
    service: Any, action: str, act: Callable[[str, str, str, str], None], parameters: Record
) -> Any:
    names = ("AutoScalingGroupName", "LifecycleHookName", "InstanceId", "LifecycleActionToken")
    group, hook, instance, token = (service._p(parameters, name) for name in names)
    try:
        act(group, hook, instance, token)
    except ValidationError as error:
        return service._error("ValidationError", str(error))
    return service._xml(200, f"{action}Response", f"<{action}Result/>")


def _answer_termination(service: Any, end: Callable[[str, bool], None], parameters: Record) -> Any:
    decrement = service._p(parameters, "ShouldDecrementDesiredCapacity") == "true"
    try:
        end(service._p(parameters, "InstanceId"), decrement)
    except ValidationError as error:
        return service._error("ValidationError", str(error))
    return service._xml(200, f"{TERMINATE}Response", f"<{TERMINATE}Result/>")


def _power_off(scaling: AutoScaling, terminate: Any, parameters: Record) -> Any:
    """Without a word to its group, which finds it dead and replaces it."""
    for name, (instance_id, *_) in parameters.items():
        machine = scaling.machine(instance_id) if name.startswith("InstanceId.") else None
        if isinstance(machine, Machine):
            machine.instance.terminate()
    return terminate(parameters)


def _answer_capacity_change(service: Any, answer: Any, parameters: Record) -> Any:
    group = service._asgs.get(service._p(parameters, "AutoScalingGroupName"))
    if group:
        names = ("DesiredCapacity", "MaxSize", "MinSize")
        try:
            validate_capacity({n: int(service._p(parameters, n) or group[n]) for n in names})
        except ValidationError as error:
            return service._error("ValidationError", str(error))
    return answer(parameters)


def _groups() -> Iterable[Record]:
    return [group for _, group in _ministack("services.autoscaling")._asgs.all_items()]


def _lifecycle_hooks(group: Record) -> Iterable[Record]:
    return [
        hook
        for key, hook in _ministack("services.autoscaling")._hooks.all_items()
        if key[:2] == owner(group) and hook["AutoScalingGroupName"] == group["AutoScalingGroupName"]
    ]


def _publish(group: Record, detail_type: str, detail: Record) -> None:
    logger.info("%s: %s", detail_type, detail)
    event = {
        "Source": "aws.autoscaling",
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": [group["AutoScalingGroupARN"]],
    }
    with _ministack("core.responses").request_scope(*owner(group)):
        _ministack("services.eventbridge")._put_events({"Entries": [event]}, allow_aws_source=True)


def _reconcile_for_ever(scaling: AutoScaling) -> None:
    while True:
        try:
            scaling.reconcile()
        except Exception:
            logger.exception("Auto Scaling failed; trying again")
        time.sleep(RECONCILE_SECONDS)


# Systems Manager: commands run nowhere, and their output goes nowhere.


def _hook_run_command(scaling: AutoScaling, fleet: Fleet) -> None:
    ec2, ssm = _ministack("services.ec2"), _ministack("services.ssm")
    finish = ssm._finish_invocation

    def machine(instance_id: str) -> Machine | None:
        found = scaling.machine(instance_id)
        return found if isinstance(found, Machine) and found.instance.reachable else None

    def run(instance_id: str, command: list[str]) -> tuple[int, str, str]:
        target = machine(instance_id)
        if target is None:
            return 255, "", "the instance is gone"
        done = target.instance.run(command)
        return done.returncode, done.stdout, done.stderr

    def finish_and_ship(command_id: str, instance_id: str, command: list[str]) -> None:
        target = machine(instance_id)
        finish(command_id, instance_id, command)
        if target:
            _ship_output(ssm._commands[command_id], target, fleet)

    ec2.instance_is_managed = lambda instance_id: machine(instance_id) is not None
    ec2.exec_in_instance_blocking = run
    ssm._finish_invocation = finish_and_ship


def _ship_output(command: Record, machine: Machine, fleet: Fleet) -> None:
    """Puts what a command printed into the bucket, with the rights of the instance.

    The agent asks how the bucket encrypts, which AWS wants to be allowed, and gives what it uploads
    an access control list, which takes a right of its own.
    """
    bucket = command["OutputS3BucketName"]
    if not bucket:
        return
    invocation = command["Invocations"][machine.instance_id]
    identity = machine.identity
    s3 = fleet.client("s3", identity.region, identity.credentials())
    folder = "/".join(
        filter(
            None,
            (
                command["OutputS3KeyPrefix"].strip("/"),
                command["CommandId"],
                machine.instance_id,
                "awsrunShellScript/0.awsrunShellScript",
            ),
        )
    )
    streams = (("stdout", "StandardOutputContent"), ("stderr", "StandardErrorContent"))
    try:
        s3.get_bucket_encryption(Bucket=bucket)
        for stream, name in streams:
            if content := invocation[name]:
                s3.put_object(
                    Bucket=bucket,
                    Key=f"{folder}/{stream}",
                    Body=content.encode(),
                    ACL="bucket-owner-full-control",
                )
    except ClientError as error:
        logger.warning("the output of a command is not kept: %s", error)


# Control


def _obey() -> None:
    """Carries out the lines of the standard input; ends the emulator when it is closed."""
    for line in sys.stdin:
        command, _, name = line.strip().partition(" ")
        if command == "fire":
            _make_due(name)
    os._exit(0)


def _make_due(rule: str) -> None:
    """Lets the next tick find that a schedule rule has not fired for two years."""
    service = _ministack("services.eventbridge")
    for (account, region, key), record in service._rules.all_items():
        if record["Name"] == rule:
            service._rule_last_fired[account, region, key] = time.time() - TWO_YEARS


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    main(Path(sys.argv[1]))
