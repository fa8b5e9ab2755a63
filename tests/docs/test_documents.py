"""The user documentation against the templates, the Makefile and itself."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.templates.reading import BACKUP, RESTORE, load

GUIDE = Path("docs/deployment.md")
DOCUMENTS = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]


def parameter_table(template: dict[str, Any]) -> str:
    """In the order of the console's form."""
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    rows = ["| parameter | label | default | |", "| --- | --- | --- | --- |"]
    for group in interface["ParameterGroups"]:
        for name in group["Parameters"]:
            parameter = template["Parameters"][name]
            label = interface["ParameterLabels"][name]["default"]
            default = f"`{value}`" if (value := parameter.get("Default", "")) != "" else ""
            text = re.sub(r"<([^>]+)>", r"&lt;\1&gt;", parameter["Description"]).replace("|", r"\|")
            rows.append(f"| `{name}` | {label} | {default} | {text} |")
    return "\n".join(rows)


@pytest.mark.parametrize("path", [BACKUP, RESTORE], ids=lambda path: path.stem)
def test_the_guide_has_every_parameter_with_its_label_default_and_meaning(path: Path) -> None:
    template = load(path)
    begin, end = f"<!-- parameters: {path.name} -->\n", "<!-- end -->"
    table = GUIDE.read_text().partition(begin)[2].partition(end)[0].strip()
    assert len(table.splitlines()) == len(template["Parameters"]) + 2
    assert table == parameter_table(template), "put the second table into docs/deployment.md"


def test_the_guide_has_every_output_of_the_backup_template() -> None:
    section = GUIDE.read_text().partition("| output |")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"`(\w+)`", section)) == sorted(load(BACKUP)["Outputs"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_lead_to_documents_and_headings_that_exist(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


def anchors(text: str) -> set[str]:
    """As GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_make_targets_and_variables_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(), re.MULTILINE))
    assert used <= targets


def test_parameters_on_command_lines_exist() -> None:
    """A mistyped parameter in an example is refused by CloudFormation, but only there."""
    known = {*load(BACKUP)["Parameters"], *load(RESTORE)["Parameters"]}
    for path in DOCUMENTS:
        used = set(re.findall(r"\b([A-Z][a-z]\w*)=(?!=)", path.read_text()))
        assert used <= known | {"Name"}, path
