"""What the local account uses of ministack's inside is there, in the form in which it is used."""

import ast
import importlib
import inspect
from importlib import metadata

import pytest

from local import emulator, sandbox
from local.emulator import __main__ as program
from local.emulator import images

NAMES = [(module, name) for module, names in emulator.PRIVATE_NAMES.items() for name in names]
SIGNATURES = {
    "core.iam_actions.extract_resource_arn": (
        "service", "method", "path", "headers", "body", "query_params", "region", "account_id",
    ),
    "core.iam_actions.request_tag_context": ("service", "iam_action", "body", "params"),
    "core.iam_evaluator.enforce": (
        "access_key_id", "iam_action", "service", "region", "resource_arn", "service_context",
    ),
    "core.responses.request_scope": ("account_id", "region"),
    "services.autoscaling._error": ("code", "message", "status"),
    "services.autoscaling._p": ("params", "key"),
    "services.autoscaling._reconcile_instances": ("asg",),
    "services.autoscaling._xml": ("status", "root_tag", "inner"),
    "services.ec2._lt_data_xml": ("data",),
    "services.ec2.exec_in_instance_blocking": ("instance_id", "argv"),
    "services.ec2.instance_is_managed": ("instance_id",),
    "services.eventbridge._put_events": ("data", "allow_aws_source"),
    "services.s3._delete_bucket_lifecycle": ("name",),
    "services.s3._put_bucket_lifecycle": ("name", "body"),
    "services.ssm._finish_invocation": ("command_id", "instance_id", "argv"),
    "services.sts.register_session": ("access_key", "session"),
}  # fmt: skip


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_name_exists(module, name):
    assert hasattr(importlib.import_module(f"ministack.{module}"), name), (
        f"ministack.{module}.{name} has disappeared; local/emulator/ uses it"
    )


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name):
    module, _, function = name.rpartition(".")
    found = inspect.signature(getattr(importlib.import_module(f"ministack.{module}"), function))
    assert tuple(found.parameters) == SIGNATURES[name]


def test_launch_templates_still_do_not_tell_of_spot_instances():
    """When this fails, ministack has learned it: remove ours."""
    ec2 = importlib.import_module("ministack.services.ec2")
    assert "spot" not in ec2._lt_data_xml({"InstanceMarketOptions": {"MarketType": "spot"}})


def test_instance_types_and_images_are_still_all_of_one_architecture():
    """When this fails, ministack has learned it: remove ours."""
    known = importlib.import_module("ministack.services.ssm")._PUBLIC_AMI_PARAMETERS
    assert images.GRAVITON_IMAGE not in known
    ec2 = importlib.import_module("ministack.services.ec2")
    status, _, body = ec2._ACTION_MAP["DescribeInstanceTypes"]({"InstanceType.1": ["c7g.large"]})
    assert (status, body.count(b"<item>x86_64</item>")) == (200, 1)


@pytest.mark.parametrize(
    "action",
    [
        "CompleteLifecycleAction",
        "RecordLifecycleActionHeartbeat",
        "SetDesiredCapacity",
        "UpdateAutoScalingGroup",
    ],
)
def test_action_to_replace_exists(action):
    actions = importlib.import_module("ministack.services.autoscaling")._ACTION_MAP
    assert action in actions


@pytest.mark.parametrize(
    ("resource_type", "operation"),
    [
        ("AWS::AutoScaling::LaunchConfiguration", "create"),
        ("AWS::AutoScaling::AutoScalingGroup", "update"),
    ],
)
def test_resource_handler_to_extend_exists(resource_type, operation):
    provisioners = importlib.import_module("ministack.services.cloudformation.provisioners")
    assert operation in provisioners._RESOURCE_HANDLERS[resource_type]


def test_the_missing_resource_type_is_still_missing():
    """When this fails, ministack has learned it: remove ours."""
    provisioners = importlib.import_module("ministack.services.cloudformation.provisioners")
    assert "AWS::EC2::SecurityGroupIngress" not in provisioners._RESOURCE_HANDLERS


def test_every_private_name_that_is_used_is_listed():
    used = {
        node.attr
        for source in (sandbox.REPOSITORY / "local" / "emulator").glob("*.py")
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and node.attr != "_exit"
        if ast.unparse(node.value) != "self"
    }
    assert used == used & {name for _, name in NAMES}


def test_the_installed_version_is_the_pinned_one():
    pins = (sandbox.REPOSITORY / "requirements-demo.in").read_text().splitlines()
    assert f"ministack=={metadata.version('ministack')}" in pins


def test_the_emulator_does_not_start_without_a_name(monkeypatch, tmp_path):
    monkeypatch.setitem(emulator.PRIVATE_NAMES, "services.ssm", ("_gone",))
    with pytest.raises(SystemExit, match=r"ministack\.services\.ssm\._gone"):
        program.main(tmp_path)
