"""What the demo shows, on a terminal of some width."""

import io
import re

import pytest
import rich.console

from local.console import Console


@pytest.fixture
def console(monkeypatch):
    made = Console()
    wide = {"highlight": False, "markup": False, "soft_wrap": True}
    out = rich.console.Console(file=io.StringIO(), width=40, force_terminal=True, **wide)
    monkeypatch.setattr(made, "_out", out)
    return made


def printed(console):
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console._out.file.getvalue())
    return [line.rstrip() for line in plain.split("\n")]


def test_no_word_is_broken_on_a_narrow_terminal(console):
    with console.step("Instance i-0123456789abcdef0 executes its user data, as in AWS"):
        console.detail("daily.0 has /a/path/that/is/longer/than/a/line/of/the/terminal")
    shown = printed(console)
    assert all("i-0123456789abcdef0" in line for line in shown if "i-0" in line)
    assert any("/a/path/that/is/longer/than/a/line/of/the/terminal" in line for line in shown)
    assert shown[0].endswith("  Instance i-0123456789abcdef0")


def test_indentation_gives_way_to_what_is_to_be_copied(console):
    url = "s3://a-bucket/v2/a/file/ec2.tar.gz"
    console.detail(f"download: {url} to ./ec2.tar.gz")
    assert max(map(len, printed(console))) <= 40


def test_what_is_to_be_copied_is_never_broken(console):
    place = f"s3://bucket/{'0123456789/' * 8}"
    console.record({"EC2Logs": place, "BackupId": "a"})
    said = {"Message": "so many words that " * 3, "DeleteCommand": f"rm -rf {place}"}
    console.notification("The notification", "EFS restore", said)
    console.logs([{"Key": f"{place}a.log", "Size": 1}])
    assert sum(line.strip().startswith(place) for line in printed(console)) == 2
    command = f'  "DeleteCommand": "rm -rf {place}"'
    assert command in printed(console)
    assert all(len(line) <= 40 or place in line for line in printed(console))
