"""Programs that are forked from one that has them loaded behave as if they were started."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import forks, sandbox

NAME = f"test-forks-{os.getpid()}"
SCRIPT = """
import json, os, sys
print(json.dumps([sys.argv, os.environ["NAME"], os.getcwd(), sys.stdin.read(), sys.path[0]]))
print("said", file=sys.stderr)
sys.exit(7)
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """aws and python, in a directory."""
    folder = tmp_path_factory.mktemp("programs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(sandbox.REPOSITORY)
        with forks.serve(NAME):
            for name in ("aws", "python"):
                (folder / name).write_text(forks.command(name, NAME))
                (folder / name).chmod(0o755)
            yield folder


def test_a_script_has_what_its_caller_gave_it(programs, tmp_path):
    (tmp_path / "script").write_text(SCRIPT)
    value = os.fsdecode(b"\xff '\n")
    done = subprocess.run(
        [programs / "python", tmp_path / "script", value],
        env={**os.environ, "NAME": value},
        cwd=tmp_path,
        input="typed",
        capture_output=True,
        text=True,
    )
    script, folder = str(tmp_path / "script"), str(tmp_path)
    assert json.loads(done.stdout) == [[script, value], value, folder, "typed", folder]
    assert (done.returncode, done.stderr) == (7, "said\n")


@pytest.mark.parametrize("words", [["--version"], ["s3", "cp"], ["sns", "nonsense"]])
def test_the_cli_says_what_it_says_when_it_is_started(programs, words):
    installed = Path(sys.executable).with_name("aws")
    ours, theirs = (
        subprocess.run([program, *words], capture_output=True)
        for program in (programs / "aws", installed)
    )
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        theirs.returncode,
        theirs.stdout,
        theirs.stderr,
    )


def test_what_is_too_large_is_refused(programs, tmp_path):
    """And never cut: the end is what the environment says."""
    (tmp_path / "script").touch()
    large = {f"LARGE{number}": "x" * 100_000 for number in range(3)}
    done = subprocess.run([programs / "python", tmp_path / "script"], env=os.environ | large)
    assert done.returncode == 255


def test_it_ends_with_its_caller(programs, tmp_path):
    (tmp_path / "script").write_text("import time; print('runs', flush=True); time.sleep(10**6)")
    with subprocess.Popen(
        [programs / "python", tmp_path / "script"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"runs\n"
        process.kill()
        assert process.stdout.read() == b"", "the end of what it writes comes with its own"
