"""What templates tell the commands, those of this project and others."""

from pathlib import Path

import pytest

from admin.command import AdminError
from admin.template import Release, Template

BACKUP = Template.parse(Path("templates/efs-to-efs-backup.template").read_text())
REQUIRED = {
    "SrcEFS": "fs-01234567",
    "VpcId": "vpc-1",
    "Subnets": "subnet-a,subnet-b",
    "Email": "you@example.com",
}


def source_code(**general: str) -> Template:
    return Template({"Mappings": {"SourceCode": {"General": general}}})


def test_all_that_is_required_is_enough() -> None:
    BACKUP.check(REQUIRED)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ('"No"', {"InstanceType": "c5.xlarge", "SendAnonymousData": "No"}),
        ("No", {"InstanceType": "c5.xlarge", "SendAnonymousData": "No"}),
        ("Yes", {"InstanceType": "c5.xlarge", "SendAnonymousData": "Yes"}),
    ],
)
def test_the_mappings_are_those_of_the_region(written: str, found: dict[str, str]) -> None:
    template = Template.parse(
        f"Mappings: {{Map: {{send-data: {{SendAnonymousData: {written}}}, c5.xlarge: {{Arch: X}},"
        " eu-west-1: {InstanceSize: c5.xlarge}, us-east-1: {InstanceSize: m5.large}}}"
    )
    assert template.mapped("eu-west-1") == found
    assert BACKUP.mapped("eu-west-1") == {"InstanceType": "c5.xlarge", "SendAnonymousData": "Yes"}
    assert Template({}).mapped("eu-west-1") == {}


def test_what_is_missing_is_explained() -> None:
    with pytest.raises(AdminError) as error:
        BACKUP.check({"Email": "you@example.com", "VpcId": "vpc-1"})
    lines = str(error.value).splitlines()
    assert lines[0] == "Missing: SrcEFS, Subnets"
    assert [line.split(": ")[0].strip() for line in lines[1:]] == ["SrcEFS", "Subnets"]
    assert all(len(line) > 30 for line in lines[1:])


def test_an_existing_stack_has_its_values() -> None:
    BACKUP.check({"Retain": "3"}, previous=REQUIRED)


def test_an_unknown_parameter_is_refused_with_the_list() -> None:
    with pytest.raises(AdminError, match=r"no parameter Retian\..*Retain, "):
        BACKUP.check({**REQUIRED, "Retian": "3"})


def test_a_value_that_is_not_allowed_is_refused_with_the_list() -> None:
    with pytest.raises(AdminError, match=r"BackupWindow is '61'; .* 60, 90, "):
        BACKUP.check({**REQUIRED, "BackupWindow": "61"})
    BACKUP.check({**REQUIRED, "BackupWindow": "60"})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SrcEFS", "fs-1", "must be the ID of an EFS file system, like fs-0"),
        ("Email", "you", "must be an e-mail address, or empty"),
        ("Retain", "0", "must be a number from 1 to 99999"),
        ("Retain", "1e2", "must be a number from"),
        ("Retain", "seven", "must be a number from"),
        ("FolderLabel", "a/b", "must be one plain directory name"),
        ("FolderLabel", "x" * 101, "must be one plain directory name"),
        ("FolderLabel", "", "must be one plain directory name"),
        ("BackupPrefix", "/a\n", "must be a path"),
        ("Subnets", "subnet-a;subnet-b", "must be the IDs of subnets"),
        ("BeforeBackupFunction", "freeze", "must be the ARN of a Lambda function"),
    ],
)
def test_a_value_that_cloudformation_would_refuse_is_refused(
    name: str, value: str, said: str
) -> None:
    with pytest.raises(AdminError, match=f"^{name} is .*; it {said}"):
        BACKUP.check({**REQUIRED, name: value})


def test_what_cloudformation_takes_is_taken() -> None:
    defaults = {n: str(p["Default"]) for n, p in BACKUP.parameters.items() if "Default" in p}
    BACKUP.check({**REQUIRED, **defaults, "FolderLabel": "Größe 1", "Email": ""})


def test_the_release_of_a_template() -> None:
    template = source_code(S3Bucket="my", KeyPrefix="efs-to-efs-backup/v2.0.0", BundleSHA256="ab")
    assert template.release == Release("my", "efs-to-efs-backup/v2.0.0")


@pytest.mark.parametrize(
    "template",
    [
        source_code(S3Bucket="solutions", KeyPrefix="efs-backup/v1.5"),
        Template({"Resources": {}}),
        Template({"Mappings": {"Map": {}}}),
    ],
)
def test_version_1_and_others_have_no_restore_template(template: Template) -> None:
    with pytest.raises(AdminError, match="make deploy"):
        _ = template.release


def test_cloudformation_gives_json_as_a_tree() -> None:
    tree = {"Parameters": {"Email": {"Type": "String"}}}
    assert Template.parse(tree).parameters == tree["Parameters"]
