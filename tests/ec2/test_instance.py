"""The parts of the instance's scripts that can be tried without an instance."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .conftest import EC2


def bash(
    script: str, *words: str, path: Path | None = None, waiting: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run ``script`` after the libraries, with ``words`` as its arguments.

    A mount is tried again for ``waiting`` seconds.
    """
    head = f'set -Eeuo pipefail; HERE="{EC2}"; . "$HERE/lib/run.sh"; . "$HERE/lib/packages.sh"\n'
    head += "CAUSE= FAILURE= TASK=restore REPORT_OPTIONS=()\n"
    environment = {**os.environ, "MOUNT_SECONDS": str(waiting), "MOUNT_PAUSE": "0.1"}
    if path:
        environment["PATH"] = f"{path}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", head + script, "bash", *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def stub(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{body}\n")
    (folder / name).chmod(0o755)
    return folder


def test_settings_are_data_and_never_run(tmp_path: Path) -> None:
    config = tmp_path / "config"
    hostile = "/a b$(touch pwned)`touch pwned`'\"\\;touch pwned & =x "
    config.write_text(f"REGION=us-east-1\nBACKUP_PREFIX={hostile}\nnot a setting\nRETAIN=7\n")
    script = 'cd "$2"; read_config "$1"; printf "%s|%s|%s" "$REGION" "$BACKUP_PREFIX" "$RETAIN"'
    process = bash(script, str(config), str(tmp_path))
    assert process.stdout == f"us-east-1|{hostile}|7"
    assert not (tmp_path / "pwned").exists()


def test_settings_that_are_missing_are_those_of_an_instance(tmp_path: Path) -> None:
    process = bash('read_config "$1"; echo went on', str(tmp_path / "config"))
    assert (process.returncode, process.stdout) == (1, "")
    assert "config is missing: bash runs on the instances" in process.stderr


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("Failed to resolve fs-1.efs.us-east-1.amazonaws.com", "mount target"),
        ("Connection to the mount target IP address 10.0.0.1 timeout. Please", "security group"),
        ("Mount attempt 1/3 failed due to timeout after 15 sec, wait 0 sec", "security group"),
        ("mount.nfs4: Connection timed out", "security group"),
        ("mount.nfs4: No route to host", "security group"),
        ("mount.nfs4: mount system call failed for /mnt/source", "ends the connection"),
        ("mount.nfs4: Connection reset by peer", "ends the connection"),
        ("Failed to initialize tunnel for fs-1, please check mount.log", "ends the connection"),
        ("mount.nfs4: mounting 127.0.0.1:/x failed, No such file or directory", "prefix"),
        ("mount.nfs4: access denied by server", "file system policy"),
        ("mount.nfs4: Operation not permitted", "file system policy"),
        ("AWS Access Key ID and Secret Access Key are not found in AWS", "instance profile"),
        ("Error retrieving region. Please set the region parameter", "instance profile"),
        ("something new", "something new"),
    ],
)
def test_a_failed_mount_says_what_to_check(tmp_path: Path, output: str, cause: str) -> None:
    path = stub(tmp_path / "bin", "mount", f"echo '{output}' >&2; exit 32")
    process = bash('mount_efs source fs-1 /x "$1" ro', str(tmp_path / "mnt"), path=path)
    assert process.returncode == 1
    assert f"mounting the source file system fs-1:/x failed: {output}" in process.stderr
    last = process.stderr.splitlines()[-1]
    assert "failed: mount: " in last
    assert "the source file system fs-1:/x" in last
    assert cause in last


def test_a_closed_port_is_found_out_before_the_mount_helper_waits_for_it(tmp_path: Path) -> None:
    path = stub(tmp_path / "bin", "mount", "echo asked >&2")
    stub(path, "getent", "exit 0")
    stub(path, "timeout", '[[ $2 != bash ]] || { [[ $5 == fs-1.* ]] && exit 124; }; exec "${@:3}"')
    process = bash(
        'REGION=cn-north-1; mount_efs source fs-1 / "$1" ro', str(tmp_path / "mnt"), path=path
    )
    assert process.returncode == 1
    assert "asked" not in process.stderr
    assert "security group" in process.stderr.splitlines()[-1]
    assert "TCP 2049 of fs-1.efs.cn-north-1.amazonaws.com.cn" in process.stderr


def test_a_mount_that_never_ends_is_ended(tmp_path: Path) -> None:
    path = stub(tmp_path / "bin", "mount", "sleep infinity")
    process = bash('mount_efs source fs-1 / "$1" ro', str(tmp_path / "mnt"), path=path, waiting=1)
    assert process.returncode == 1
    assert "timeout after 1 seconds" in process.stderr


@pytest.mark.parametrize(("options", "status"), [("ro,relatime", 0), ("rw,relatime", 1)])
def test_what_is_only_read_must_be_mounted_so(tmp_path: Path, options: str, status: int) -> None:
    path = stub(tmp_path / "bin", "mount", "exit 0")
    stub(path, "mountpoint", "exit 0")
    stub(path, "findmnt", f"echo {options}")
    process = bash('mount_efs source fs-1 / "$1" tls,iam,ro', str(tmp_path / "mnt"), path=path)
    assert process.returncode == status
    assert ("was mounted, but not read-only" in process.stderr) == bool(status)


def test_a_mount_that_claims_success_but_is_not_there_is_a_failure(tmp_path: Path) -> None:
    path = stub(tmp_path / "bin", "mount", "exit 0")
    process = bash('mount_efs backup fs-1 / "$1" tls', str(tmp_path / "mnt"), path=path)
    assert process.returncode == 1


def test_a_late_mount_is_waited_for(tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    path = stub(tmp_path / "bin", "mount", f"echo >>{tries}; (($(wc -l <{tries}) > 2)) || exit 32")
    stub(path, "mountpoint", "exit 0")
    stub(path, "findmnt", "echo ro")
    script = 'mount_efs source fs-1 "/a b" "$1" ro'
    process = bash(script, str(tmp_path / "mnt"), path=path, waiting=600)
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("mounting the source file system fs-1:/a b failed: ") == 2
    assert "mounted the source file system fs-1:/a b" in process.stderr


def test_a_log_that_cannot_be_kept_is_a_warning_that_says_why(tmp_path: Path) -> None:
    path = stub(tmp_path / "bin", "aws", "echo 'upload failed: (NoSuchBucket)' >&2; exit 1")
    script = (
        'LOG_BUCKET=nowhere; ship "$1" logs/x --recursive; printf "%s\\n" "${REPORT_OPTIONS[@]}"'
    )
    process = bash(script, str(tmp_path), path=path)
    assert process.returncode == 0, process.stderr
    option, warning = process.stdout.splitlines()
    assert option == "--warning"
    assert "could not be uploaded to s3://nowhere/logs/x: upload failed: (NoSuchBucket)" in warning


@pytest.mark.parametrize(
    ("status", "failure", "explanation"),
    [
        ("0", "", ""),
        ("1", "said already", "said already"),
        ("3", "", "bash ended with exit status 3; see the logs"),
    ],
)
def test_a_script_that_ends_says_why(status: str, failure: str, explanation: str) -> None:
    process = bash('FAILURE=$2; explain "$1"; printf "%s" "$FAILURE"', status, failure)
    assert (process.returncode, process.stdout) == (0, explanation)


def test_a_message_that_has_no_space_ends_nothing() -> None:
    assert bash("log something 2>/dev/full; printf on").stdout == "on"


HOSTILE = "größe 漢 \x1b[2J\x07".encode() + (
    b"\x9b1m\xc2\x9b\x7f\na\xff\xed\xa0\x80\xe2\x80\xaegpj \xf0\x9f\x98\x80"
)
SHOWN = r"größe 漢 \x1b[2J\x07\x9b1m\xc2\x9b\x7f\x0aa\xff\xed\xa0\x80\xe2\x80\xaegpj 😀"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "de_DE.ISO-8859-1", ""])
def test_no_message_acts_on_a_terminal_in_any_locale(
    monkeypatch: pytest.MonkeyPatch, locale: str
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    process = bash('log "$1"', os.fsdecode(HOSTILE))
    assert process.stderr.splitlines()[-1].partition("  ")[2] == SHOWN
    assert bash('printf "%s" "$LC_ALL"').stdout == "C.UTF-8"


def test_every_character_of_utf8_is_shown_and_every_control_character_escaped() -> None:
    """A sample of all planes, each beside its edges."""
    edges = [0x20, 0x7E, 0xA0, 0x7FF, 0x800, 0x200A, 0x2010, 0xFFFD, 0x10000, 0x10FFFF]
    hidden = [1, 0x1F, 0x7F, 0x80, 0x9F, 0x200B, 0x200F, 0x2028, 0x202E, 0x2060, 0x206F]
    text = "".join(map(chr, edges))
    assert bash('printf "%s" "$(printable "$1")"', text).stdout == text
    escaped = bash('printf "%s" "$(printable "$1")"', "".join(map(chr, hidden))).stdout
    assert escaped == "".join(rf"\x{byte:02x}" for c in hidden for byte in chr(c).encode())


def test_a_message_of_any_length_is_a_short_line_and_a_short_argument(tmp_path: Path) -> None:
    path = stub(tmp_path / "bin", "aws", "head -c 300000 /dev/zero | tr '\\0' x; exit 1")
    script = 'LOG_BUCKET=b; ship / x; printf "%s" "${#REPORT_OPTIONS[1]}"; (fail x "$(aws)")'
    process = bash(script, path=path)
    assert process.stdout == "4000"
    assert max(map(len, process.stderr.splitlines())) < 4100


def test_nothing_is_installed_where_all_is_there(tmp_path: Path) -> None:
    path = stub(tmp_path / "bin", "mount.efs", "")
    stub(path, "apt-get", "exit 99")
    stub(path, "dnf", "exit 99")
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    subprocess.run([str(EC2 / "install.sh")], env=environment, check=True)


def test_an_installation_that_meets_another_one_is_tried_again(tmp_path: Path) -> None:
    lock = "echo 'waiting for the lock' >&2; exit 1"
    done = f'printf "#!/bin/bash\\n" >{tmp_path}/bin/mount.efs; chmod +x {tmp_path}/bin/mount.efs'
    tried = tmp_path / "tried"
    path = stub(
        tmp_path / "bin", "dnf", f"[[ -e {tried} ]] || {{ touch {tried}; {lock}; }}; {done}"
    )
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "INSTALL_PAUSE": "0"}
    process = subprocess.run(
        [str(EC2 / "install.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("trying again") == 1


def test_an_installation_that_fails_is_reported(tmp_path: Path) -> None:
    path = stub(tmp_path / "bin", "dnf", "echo 'no repository' >&2; exit 1")
    quick = {"INSTALL_SECONDS": "1", "INSTALL_PAUSE": "0.3"}
    environment = {**os.environ, **quick, "PATH": f"{path}:{os.environ['PATH']}"}
    process = subprocess.run(
        [str(EC2 / "install.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert "installing mount.efs" in process.stderr
    assert "no repository" in process.stderr


@pytest.mark.parametrize("words", [[], ["--hook", "h"], ["--hook"], ["--help"], ["--to", "a"]])
def test_ssm_says_what_it_wants(words: list[str]) -> None:
    process = subprocess.run([str(EC2 / "ssm.sh"), *words], capture_output=True, text=True)
    assert process.returncode == 1
    assert "give all of: ssm.sh --hook NAME --group NAME --instance ID --token" in process.stderr
