"""CloudFormation: a resource type of the backup template is missing, buckets have no lifecycle, and
an update from version 1.5 needs more of two others."""

import secrets
from functools import partial
from typing import Any

from local.api import Record
from local.emulator import ministack


def hook() -> None:
    handlers = ministack("services.cloudformation.provisioners")._RESOURCE_HANDLERS
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
    group = ministack("services.ec2")._security_groups[properties["GroupId"]]
    provisioners = ministack("services.cloudformation.provisioners")
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
    kept = ministack("services.autoscaling")._launch_configs[name]
    kept["IamInstanceProfile"] = {"Name": profile}
    return name, attributes


def _update_group(
    update: Any, name: str, old: Record, new: Record, stack: str, logical_id: str
) -> Any:
    """Leaves the desired capacity as it is, unless the template changes it.

    In AWS that is so with the update policy IgnoreUnmodifiedGroupSizeProperties, which the handler
    of a type does not see: tests/templates/ checks that the templates have it.
    """
    group = ministack("services.autoscaling")._asgs[name]
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
    s3 = ministack("services.s3")
    if rules:
        s3._put_bucket_lifecycle(
            bucket, f"<LifecycleConfiguration>{body}</LifecycleConfiguration>".encode()
        )
    else:
        s3._delete_bucket_lifecycle(bucket)
