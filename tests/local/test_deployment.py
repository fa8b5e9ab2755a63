"""A stack that fails is explained."""

import pytest

from local import deployment


class CloudFormation:
    """A stack that ends in a rollback."""

    def create_stack(self, **request):
        self.request = request

    def describe_stacks(self, StackName):
        return {"Stacks": [{"StackStatus": "ROLLBACK_COMPLETE"}]}

    def describe_stack_events(self, StackName):
        return {
            "StackEvents": [
                event("EFSLogBucket", "DELETE_COMPLETE"),
                event("Orchestrator", "CREATE_FAILED", "Resource creation cancelled"),
                event("AMIInfo", "CREATE_FAILED", "no image for c5.xlarge"),
                event("EFSLogBucket", "CREATE_COMPLETE"),
            ]
        }


def event(resource, status, reason=None):
    reasons = {"ResourceStatusReason": reason} if reason else {}
    return {"LogicalResourceId": resource, "ResourceStatus": status, **reasons}


class Account:
    def __init__(self):
        self.cloudformation = CloudFormation()

    def client(self, service):
        return self.cloudformation


def test_a_failed_stack():
    account = Account()
    shown = []
    with pytest.raises(deployment.DeploymentError) as error:
        deployment.Deployment.create(
            account,
            deployment.Network("vpc-1", ("subnet-1", "subnet-2")),
            "fs-1",
            "https://template",
            shown.append,
            Retain="3",
        )
    assert str(error.value).splitlines() == [
        "expected the stack efs-backup to be CREATE_COMPLETE, found ROLLBACK_COMPLETE",
        "AMIInfo: no image for c5.xlarge",
        "Orchestrator: Resource creation cancelled",
    ]
    assert shown == ["1 resources"]
    parameters = {
        p["ParameterKey"]: p["ParameterValue"] for p in account.cloudformation.request["Parameters"]
    }
    assert parameters == {
        "SrcEFS": "fs-1",
        "VpcId": "vpc-1",
        "Subnets": "subnet-1,subnet-2",
        "Email": "you@example.com",
        "Retain": "3",
    }
