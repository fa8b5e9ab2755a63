"""All backup stacks of a region in one table."""

from io import StringIO
from typing import Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from admin import overview
from admin.command import SafeConsole
from tests.admin.test_status import NOW, PARTIAL, RUNNING, SUCCESS
from tests.stubs import Checked

OUTPUTS = ("BackupEFS", "SourceEFS", "LogBucket")


def stack(name: str, status: str = "UPDATE_COMPLETE", outputs: Any = OUTPUTS) -> dict[str, Any]:
    told = [{"OutputKey": key, "OutputValue": f"{key}-of-{name}"} for key in outputs]
    return {"StackName": name, "StackStatus": status, "Outputs": told}


class Aws:
    """CloudFormation and DynamoDB; a table is called as its stack."""

    meta = type("Meta", (), {"region_name": "eu-west-1"})()

    def __init__(self, *stacks: dict[str, Any], **tables: Any) -> None:
        self.stacks, self.tables = stacks, tables

    def get_paginator(self, name: str) -> Any:
        return type("Pages", (), {"paginate": lambda _, **given: getattr(self, name)(**given)})()

    def describe_stacks(self) -> list[Any]:
        return [{"Stacks": self.stacks[:1]}, {"Stacks": self.stacks[1:]}]

    def describe_stack_resource(self, StackName: str, LogicalResourceId: str) -> Any:
        assert LogicalResourceId == "EFSDynamoDB"
        return {"StackResourceDetail": {"PhysicalResourceId": StackName}}

    def scan(self, TableName: str) -> list[Any]:
        items = self.tables[TableName]
        if items is None:
            error = {"Error": {"Code": "AccessDeniedException", "Message": "no \x1b"}}
            raise ClientError(error, "Scan")
        serialize = TypeSerializer().serialize
        return [{"Items": [{k: serialize(v) for k, v in item.items()} for item in items]}]


def shown(aws: Aws, capsys: Any, width: int = 100) -> tuple[int, list[list[str]], str]:
    out = SafeConsole(file=StringIO(), width=width, highlight=False, markup=False)
    code = overview.show_all(out, Checked(aws, "cloudformation", "dynamodb"), NOW)
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in lines)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    return code, rows, capsys.readouterr().out


def test_each_backup_stack_is_a_row_and_no_other(capsys: Any) -> None:
    aws = Aws(
        stack("web", outputs=["URL"]),
        stack("b"),
        stack("restore-1", outputs=OUTPUTS[2:]),
        stack("broken", "ROLLBACK_COMPLETE"),
        stack("a"),
        a=[SUCCESS, RUNNING],
        b=[],
    )
    assert shown(aws, capsys) == (
        0,
        [
            ["a", "SourceEFS-of-a", "2026-03-04 05:00", "Running", "1 d 1 h old"],
            ["b", "SourceEFS-of-b", "", "no run yet", "none"],
        ],
        "",
    )


def test_a_run_that_did_not_end_well_is_an_exit_code(capsys: Any) -> None:
    code, rows, _ = shown(Aws(stack("a"), stack("b"), a=[SUCCESS], b=[SUCCESS, PARTIAL]), capsys)
    assert (code, [row[3] for row in rows]) == (1, ["Success", "Partial"])


def test_a_stack_that_cannot_be_read_hides_no_other(capsys: Any) -> None:
    code, rows, said = shown(Aws(stack("a"), stack("b"), a=None, b=[SUCCESS]), capsys)
    assert (code, [row[3] for row in rows]) == (1, ["not known", "Success"])
    assert said == "a: AWS refused Scan (AccessDeniedException): no  \n"


def test_no_name_is_broken(capsys: Any) -> None:
    """On a narrow terminal; there is no room for sources."""
    short = shown(Aws(stack("a"), a=[SUCCESS]), capsys, width=70)[1]
    assert [len(short), short[0][0], *short[0][2:]] == [1, "a", "Success", "1 d 1 h old"]
    out = SafeConsole(file=StringIO(), width=70, highlight=False, markup=False)
    aws = Aws(stack("a" * 64), **{"a" * 64: [SUCCESS]})
    overview.show_all(out, Checked(aws, "cloudformation", "dynamodb"), NOW)
    assert f" {'a' * 64} " in out.file.getvalue()  # type: ignore[attr-defined]


def test_a_region_without_any(capsys: Any) -> None:
    assert shown(Aws(), capsys) == (0, [], "There is no backup stack in eu-west-1.\n")
