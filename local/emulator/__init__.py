"""ministack, with what backups need of AWS and it lacks: what is hooked in, one file a service.

Only this package knows ministack from the inside. PRIVATE_NAMES lists what it uses that is no
interface of ministack's; each is checked before the start.
"""

import importlib
from typing import Any

import yaml

from local import api

AUTHORIZATIONS = "authorizations.jsonl"
"""Below an account's directory: each decision about a role."""

# Templates are read again and again, by a subclass of this: with libyaml, in a tenth of the time.
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # type: ignore[misc]

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
    "core.lambda_runtime": ("_detect_runtime_binary",),
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


def missing_names() -> list[str]:
    """The names of PRIVATE_NAMES that this ministack does not have."""
    return [
        f"ministack.{module}.{name}"
        for module, names in PRIVATE_NAMES.items()
        for name in names
        if not hasattr(ministack(module), name)
    ]


def ministack(module: str) -> Any:
    return importlib.import_module(f"ministack.{module}")
