"""What the stack makes: whether it can be had, and whether an update would be refused."""

from admin.preflight.facts import Facts, Request, Unknown, listing
from admin.preflight.reaching import subnets_of
from admin.preflight.results import Result, failed, ok, warning
from admin.preflight.source import statements


def instance_type(request: Request, facts: Facts) -> Result:
    if not request.instance_type:
        return failed(
            f"the template has no InstanceSize for {request.region}",
            "Give one, InstanceType=c7i.xlarge, or add a line for the region to its Mappings.",
        )
    without = {s["AvailabilityZone"] for s in subnets_of(facts)} - facts.offered_in.get()
    if without:
        return failed(
            f"{request.instance_type} is not offered in {listing(without)}",
            "Choose another InstanceType, or other subnets.",
        )
    return ok(f"{request.instance_type} is offered in both zones")


AUTO_SCALING = "AWSServiceRoleForAutoScaling"


def disk_encryption(request: Request, facts: Facts) -> Result:
    """Auto Scaling may use keys of AWS; a key of the account only where that says so."""
    key = facts.disk_key.get()
    if key is None:
        return ok("new disks are encrypted with the key of AWS")
    if AUTO_SCALING in key.policy or any(AUTO_SCALING in name for name in key.grantees):
        return ok(f"Auto Scaling may use {key.arn}")
    return failed(
        f"new disks are encrypted with {key.arn}, which Auto Scaling is not allowed to use: no "
        "instance could be launched",
        f"Let the role {AUTO_SCALING} use the key: docs/network.md has the statements.",
    )


def throughput_mode(request: Request, facts: Facts) -> Result:
    if request.existing is None:
        return ok("that of a new file system")
    found = facts.backup.get()
    if found is None:
        raise Unknown(f"there is no {request.existing.file_system}")
    now, wanted = found["ThroughputMode"], request.existing.throughput
    if now == wanted:
        return ok(f"{now}, as the stack has it")
    return failed(
        f"{request.existing.file_system} has {now}, and the stack has {wanted}: an update sets it "
        "back, or fails if the mode was changed in the last 24 hours",
        f"Give EFSThroughputMode={now} with the update, or change the mode of the file system "
        "first, a day before. docs/upgrade.md has more.",
    )


def own_policies(request: Request, facts: Facts) -> Result:
    """The update from version 1.5 brings policies for the log bucket and the topic, and
    ProtectSnapshots one for the backup file system."""
    stack = request.existing
    if stack is None:
        return ok("none that an update would meet")
    if not stack.keeps_policies and facts.bucket_policy.get() is not None:
        bucket = stack.bucket
        return failed(
            f"the log bucket {bucket} has a policy already, over which the update would fail, and "
            "its rollback too",
            f"Keep it (aws s3api get-bucket-policy --bucket {bucket}), take it away by the command "
            "below, and add its statements to the new one after the update.",
            f"aws s3api delete-bucket-policy --bucket {bucket}",
        )
    policy = (not stack.keeps_policies and facts.topic_policy.get()) or {}
    if any(s.get("Sid") != "__default_statement_ID" for s in statements(policy)):
        return warning(
            f"the topic {stack.topic} has a policy that the update replaces",
            "Keep it (aws sns get-topic-attributes), and subscribe or publish by other means: "
            "the stack's policy lets CloudWatch publish, and roles of the account by their own.",
        )
    if not stack.protected and facts.backup_policy.get() is not None:
        return warning(
            f"{stack.file_system} has a policy that ProtectSnapshots=Yes would replace",
            "Keep it (aws efs describe-file-system-policy) if you choose that, and see that it "
            "lets the role of the backup instance mount, write and be root.",
        )
    return ok("none that an update would meet")


def workers(request: Request, facts: Facts) -> Result:
    if not request.workers:
        return ok("none are wanted")
    free = sum(int(subnet["AvailableIpAddressCount"]) for subnet in subnets_of(facts))
    if free <= request.workers:
        return warning(
            f"the subnets have {free} addresses left, for {request.workers} workers and the "
            "instance that they help",
            "Choose fewer Workers, or larger subnets. A run does without those that cannot be "
            "launched.",
        )
    if request.throughput != "elastic":
        return warning(
            "in bursting mode one machine reaches what the file system can do",
            "Choose EFSThroughputMode=elastic, or Workers=0: docs/sizing.md says why.",
        )
    return ok(f"there is room for {request.workers}")
