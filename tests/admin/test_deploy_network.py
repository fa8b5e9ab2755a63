"""A deployment ends with what would keep the first backup from its source, and mends it if told."""

from typing import Any

import pytest

from admin import deploy
from admin.preflight.results import Status
from tests.admin.test_preflight import Network, clean_environment, closed_group, network

__all__ = ["clean_environment", "network"]


def look(network: Network, allow: bool) -> str:
    backup = network.security_group("backup")
    request = network.request(group=backup)
    deploy.look(network.clients.__getitem__, request, allow, {"STACK": "s"})
    assert (network.results(group=backup)["NFS security groups"].status is Status.OK) == allow
    return backup


def test_the_command_that_lets_nfs_in_is_offered(network: Network, capsys: Any) -> None:
    closed_group(network)
    backup = look(network, allow=False)
    said = capsys.readouterr().out
    assert "Without it, backups fail." in said
    assert f"--source-group {backup} --group-id sg-" in said
    assert "make deploy STACK=s ALLOW_NFS=yes" in said
    assert said.index("Without it") < said.index("NFS security groups"), "then all is checked"


def test_it_is_done_for_who_wants_it(network: Network, capsys: Any) -> None:
    closed_group(network)
    backup = look(network, allow=True)
    said = capsys.readouterr().out
    assert f"lets NFS in from {backup} now" in said
    assert "Without it" not in said


def test_where_nothing_is_closed_nothing_is_changed(network: Network, capsys: Any) -> None:
    before = network.ec2.describe_security_groups(GroupIds=[network.group])["SecurityGroups"]
    look(network, allow=True)
    assert (
        network.ec2.describe_security_groups(GroupIds=[network.group])["SecurityGroups"] == before
    )
    assert "now." not in capsys.readouterr().out


def test_an_answer_that_is_neither_yes_nor_no_changes_nothing() -> None:
    given = deploy.Given({"STACK": "s", "ALLOW_NFS": "perhaps"})
    with pytest.raises(deploy.AdminError, match="ALLOW_NFS is 'perhaps'"):
        deploy.main(given)
