"""What the demo shows, on a terminal of some width."""

import io

import rich.console

from local.console import Console


def test_no_word_is_broken_on_a_narrow_terminal(monkeypatch):
    console = Console()
    wide = {"highlight": False, "markup": False, "soft_wrap": True}
    out = rich.console.Console(file=io.StringIO(), width=40, force_terminal=True, **wide)
    monkeypatch.setattr(console, "_out", out)
    with console.step("Instance i-0123456789abcdef0 executes its user data, as in AWS"):
        console.detail("daily.0 has /a/path/that/is/longer/than/a/line/of/the/terminal")
    shown = [line.rstrip() for line in out.file.getvalue().split("\n")]
    assert all("i-0123456789abcdef0" in line for line in shown if "i-0" in line)
    assert any("/a/path/that/is/longer/than/a/line/of/the/terminal" in line for line in shown)
    assert shown[0].endswith("  Instance i-0123456789abcdef0")
