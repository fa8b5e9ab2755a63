"""tools/setup.sh installs what is missing or says what to run, and keeps .venv in order."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ec2.conftest import until

SETUP = Path("tools/setup.sh").resolve()
PYTHON = f"{sys.base_exec_prefix}/bin/python3"
# Stands in for pip, which takes seconds: refuses a requirement without a hash.
PIP = "import sys; sys.exit('==' in open(sys.argv[-1]).read() if 'install' in sys.argv else 0)"
TOOLS = (
    "bash", "cat", "chmod", "cmp", "cp", "dirname", "env", "fold", "mkdir", "rm", "sleep", "tail",
    "touch",
)  # fmt: skip
COMMAND = (
    "apt-get update && env DEBIAN_FRONTEND=noninteractive"
    " apt-get install --yes --no-install-recommends"
)


def program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None
    return found


class Machine:
    """A copy of the script with no requirements, and a PATH with stand-ins that log their calls."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "project"
        self.bin = directory / "bin"
        self.log = directory / "log"
        self.environment = {"PATH": str(self.bin), "HOME": str(directory)}
        (self.root / "tools").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(SETUP, self.root / "tools")
        for name in ("", "-demo", "-dev", "-page", "-scan", "-lock"):
            (self.root / f"requirements{name}.txt").write_text("# nothing\n")
        self.venv = self.root / ".venv"
        for name in TOOLS:
            (self.bin / name).symlink_to(program(name))
        self.python()
        self.packages(missing=[])
        self.stand_in("apt-get")

    def stand_in(self, name: str, script: str = "") -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.log}"\n{script}\n')
        path.chmod(0o755)

    def python(self, before: str = "") -> None:
        self.stand_in(
            "python3",
            f"""{before}
            [[ "$1 $2" == "-m venv" ]] || exec {PYTHON} "$@"
            {PYTHON} -m venv --without-pip "$3"
            site=("$3"/lib/python*/site-packages)
            echo "{PIP}" >"${{site[0]}}/pip.py"
            printf '#!%s\\nimport pip\\n' "$PWD/$3/bin/python" >"$3/bin/pip"
            chmod +x "$3/bin/pip"
            """,
        )

    def packages(self, missing: list[str]) -> None:
        cases = "".join(f"{name}) exit 1 ;;\n" for name in missing)
        self.stand_in("dpkg-query", f'case "${{@: -1}}" in\n{cases}esac\necho -n installed')

    def start(self, *arguments: str, root: bool = False) -> subprocess.Popen[str]:
        self.log.write_text("")
        command = [str(self.root / "tools/setup.sh"), *arguments]
        if root and os.geteuid() != 0:
            pytest.skip("needs root")
        if not root and os.geteuid() == 0:
            command = [program("unshare"), "--user", *command]  # the same files, but not uid 0
        return subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, root: bool = False) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, root=root)
        output, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def called(self, name: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(f"{name} ")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class TestPackages:
    def test_nothing_is_run_when_all_are_there(self, machine: Machine) -> None:
        machine.stand_in("sudo")
        assert machine.run().returncode == 0
        assert machine.called("apt-get") == machine.called("sudo") == []

    @pytest.mark.parametrize("sudo", [None, "exit 1"], ids=["no sudo", "sudo wants a password"])
    def test_without_the_right_it_says_what_to_run(
        self, machine: Machine, sudo: str | None
    ) -> None:
        machine.packages(missing=["rsync", "curl"])
        if sudo:
            machine.stand_in("sudo", sudo)
        result = machine.run()
        assert result.returncode == 2
        assert f"sudo sh -c '{COMMAND} curl rsync'" in result.stderr
        assert machine.called("apt-get") == []
        assert not machine.venv.exists()

    def test_with_sudo_it_installs_what_is_missing(self, machine: Machine) -> None:
        machine.packages(missing=["rsync", "curl"])
        machine.stand_in("sudo", '[[ $1 != -n ]] || shift; exec "$@"')
        machine.stand_in("true")
        assert machine.run().returncode == 0
        update, install = machine.called("apt-get")
        assert update.startswith("apt-get update")
        assert install.startswith("apt-get install --yes --no-install-recommends curl rsync")

    def test_as_root_it_needs_no_sudo(self, machine: Machine) -> None:
        machine.packages(missing=["rsync"])
        assert machine.run(root=True).returncode == 0
        assert len(machine.called("apt-get")) == 2

    def test_installs_although_some_list_could_not_be_updated(self, machine: Machine) -> None:
        machine.packages(missing=["rsync"])
        machine.stand_in("apt-get", "[[ $1 != update ]]")
        assert machine.run(root=True).returncode == 0
        assert len(machine.called("apt-get")) == 2

    def test_fails_when_apt_fails(self, machine: Machine) -> None:
        machine.packages(missing=["rsync"])
        machine.stand_in("apt-get", "echo why; exit 100")
        result = machine.run(root=True)
        assert result.returncode not in (0, 2)
        assert "why\n" in result.stderr

    def test_is_never_silent_for_long(self, machine: Machine) -> None:
        machine.packages(missing=["rsync"])
        machine.stand_in(
            "apt-get", 'printf "one\rtwo\a %0300d\r\n" 0; [[ $1 == update ]] || sleep 5'
        )
        result = machine.run(root=True)
        assert result.returncode == 0, result.stderr
        *_, title, progress, venv, _, _, _ = result.stderr.splitlines()
        assert title.endswith(": rsync")
        assert re.sub(r"\d(?= s)", "4", progress, count=1) == f"{'    4 s  two 000':0<78}"
        assert venv.startswith("Making .venv")

    def test_the_demo_needs_no_linters(self, machine: Machine) -> None:
        machine.packages(missing=["shellcheck", "shfmt"])
        machine.stand_in("sudo")
        assert machine.run("demo").returncode == 0
        assert "requirements-dev.txt" not in os.listdir(machine.venv)
        (machine.bin / "sudo").unlink()
        assert machine.run().returncode == 2

    @pytest.mark.skipif(
        "\nID=debian\n" not in Path("/etc/os-release").read_text(), reason="elsewhere there is none"
    )
    def test_only_what_asks_for_it_gets_the_browser(self, machine: Machine) -> None:
        machine.packages(missing=["chromium-headless-shell"])
        assert machine.run().returncode == 0
        assert "requirements-page.txt" not in os.listdir(machine.venv)
        result = machine.run("page")
        assert result.returncode == 2
        assert "chromium-headless-shell" in result.stderr

    def test_elsewhere_than_on_debian(self, machine: Machine) -> None:
        (machine.bin / "dpkg-query").unlink()
        result = machine.run()
        assert result.returncode == 2
        assert "Debian 12" in result.stderr

    def test_administration_needs_none(self, machine: Machine) -> None:
        (machine.bin / "dpkg-query").unlink()
        result = machine.run("admin")
        assert result.returncode == 0, result.stderr
        assert (machine.venv / "requirements.txt").exists()
        assert not (machine.venv / "requirements-demo.txt").exists()

    @pytest.mark.parametrize("name", ["scan", "lock"])
    def test_what_is_apart_is_no_part_of_the_venv(self, machine: Machine, name: str) -> None:
        (machine.bin / "dpkg-query").unlink()
        result = machine.run(name)
        assert result.returncode == 0, result.stderr
        assert not machine.venv.exists()
        assert (machine.root / ".cache" / name / f"requirements-{name}.txt").exists()


class TestPython:
    def test_one_that_is_too_old_is_passed_over(self, machine: Machine) -> None:
        machine.stand_in("old-python", "exit 1")
        machine.environment["PYTHON"] = "old-python"
        assert machine.run().returncode == 0
        assert len(machine.called("old-python")) == 1

    def test_without_venv_it_asks_for_the_package(self, machine: Machine) -> None:
        machine.packages(missing=["python3-venv"])
        assert machine.run().returncode == 0  # this Python has venv, so no package is needed
        machine.python(before="[[ $* != *ensurepip* ]] || exit 1")
        result = machine.run()
        assert result.returncode == 2
        assert f"{COMMAND} python3-venv" in result.stderr


class TestVenv:
    def marked(self, machine: Machine) -> Path:
        """A finished .venv with a file in it that only a new .venv would not have."""
        assert machine.run().returncode == 0
        mark = machine.venv / "mark"
        mark.touch()
        return mark

    def test_is_made_once(self, machine: Machine) -> None:
        mark = self.marked(machine)
        assert machine.run().returncode == 0
        machine.stand_in("sudo")
        assert machine.run("demo").returncode == 0
        assert mark.exists()

    def test_of_the_demo_is_completed(self, machine: Machine) -> None:
        machine.stand_in("sudo")
        assert machine.run("demo").returncode == 0
        (machine.venv / "mark").touch()
        assert machine.run().returncode == 0
        assert (machine.venv / "mark").exists()
        assert (machine.venv / "requirements-dev.txt").exists()

    def test_is_made_again_for_other_requirements(self, machine: Machine) -> None:
        mark = self.marked(machine)
        (machine.root / "requirements-dev.txt").write_text("# others\n")
        assert machine.run().returncode == 0
        assert not mark.exists()

    def test_is_made_again_after_an_interrupted_run(self, machine: Machine) -> None:
        mark = self.marked(machine)
        (machine.root / "requirements.txt").write_text("missing-hash==1\n")
        assert machine.run().returncode != 0
        (machine.root / "requirements.txt").write_text("# nothing\n")
        mark.touch()
        assert machine.run().returncode == 0
        assert not mark.exists()
        assert not (machine.venv / ".incomplete").exists()

    def test_is_made_again_where_it_was_moved_to(self, machine: Machine) -> None:
        self.marked(machine)
        machine.root = machine.root.rename(machine.root.with_name("moved"))
        machine.venv = machine.root / ".venv"
        assert machine.run().returncode == 0
        assert not (machine.venv / "mark").exists()

    def test_is_made_again_when_its_python_is_gone(self, machine: Machine) -> None:
        mark = self.marked(machine)
        (machine.venv / "bin/python").unlink()
        assert machine.run().returncode == 0
        assert not mark.exists()


class TestTwoAtOnce:
    """One of them would remove the .venv that the other makes."""

    @contextmanager
    def locked(self, machine: Machine) -> Iterator[None]:
        """As by another one that is at work."""
        (machine.root / ".cache").mkdir(exist_ok=True)
        with open(machine.root / ".cache/setup.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def test_the_second_says_that_it_waits_and_finds_what_the_first_made(
        self, machine: Machine
    ) -> None:
        assert machine.run("admin").returncode == 0
        made = machine.venv.rename(machine.root / "made")
        with self.locked(machine):
            waiting = machine.start("admin")
            assert waiting.stderr is not None
            assert waiting.stderr.readline().startswith("Another set-up is at work")
            made.rename(machine.venv)
        assert waiting.communicate() == ("", "")
        assert waiting.returncode == 0

    def test_where_nothing_is_to_be_done_nobody_waits(self, machine: Machine) -> None:
        assert machine.run("admin").returncode == 0
        with self.locked(machine):
            assert machine.run("admin").stderr == ""

    def test_what_a_killed_one_has_begun_is_waited_for(self, machine: Machine) -> None:
        held, begun = machine.root / "held", machine.root / "begun"
        os.mkfifo(held)
        waits = f'[[ "$1 $2" != "-m venv" || -e {begun} ]] || {{ echo >{begun}; read -r <{held}; }}'
        machine.python(before=waits)
        with open(os.open(held, os.O_RDWR)):  # until the end of this, who reads it waits
            killed = machine.start("admin")
            until(begun.exists)
            killed.kill()
            killed.wait()
            waiting = machine.start("admin")
            assert waiting.stderr is not None
            assert waiting.stderr.readline().startswith("Another set-up is at work")
        assert waiting.wait() == 0
        assert machine.called("python3")

    def test_what_a_package_starts_does_not_hold_it(self, machine: Machine) -> None:
        machine.packages(missing=["rsync"])
        machine.stand_in("apt-get", "[[ ! /proc/self/fd/9 -ef .cache/setup.lock ]]")
        assert machine.run(root=True).returncode == 0
        with self.locked(machine):
            pass


@pytest.mark.parametrize("sudo", [None, "exit 1"], ids=["no sudo", "sudo wants a password"])
def test_the_demo_says_first_that_it_needs_root(machine: Machine, sudo: str | None) -> None:
    if sudo:
        machine.stand_in("sudo", sudo)
    result = machine.run("demo")
    assert result.returncode == 2
    assert "sandbox needs root" in result.stderr
    assert not machine.venv.exists()


def test_refuses_other_arguments(machine: Machine) -> None:
    result = machine.run("everything")
    assert (result.returncode, "usage" in result.stderr) == (2, True)
