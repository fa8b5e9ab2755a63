"""What `make demo` serves at its end, from the sandbox's socket to the user's browser."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from local import dashboard, page, sandbox

CODE = "import os, sys; from local import relay; print(relay.start(), flush=True); sys.stdin.read()"


@pytest.fixture
def shown():
    def call(endpoint, event):
        if endpoint != "page":
            raise ValueError(endpoint)
        return f"<p>daily.0 {event}</p>"

    return dashboard.Dashboard(call, "page")


@pytest.fixture
def relayed():
    """The URL of a relay that its parent has started; and the parent."""
    parent = subprocess.Popen(
        [sys.executable, "-c", CODE],
        cwd=sandbox.REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield parent.stdout.readline().strip(), parent
    parent.kill()
    parent.communicate()


def post(url, body):
    with urllib.request.urlopen(url + "call", body) as answer:
        return json.loads(answer.read())


def test_it_comes_through_the_relay_and_ends_with_the_demo(shown, relayed):
    sandbox.STATE.mkdir(exist_ok=True)
    base, parent = relayed
    url = base + shown.path
    with page.served(shown):
        with urllib.request.urlopen(url) as answer:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert b"cwdb-action" in answer.read()
        asked = {"endpoint": "page", "event": {"do": "find"}}
        assert post(url, json.dumps(asked).encode()) == {"answer": "<p>daily.0 {'do': 'find'}</p>"}
        assert post(url, b'{"endpoint": "x", "event": {}}') == {"error": "ValueError: x"}
        assert "error" in post(url, b"not JSON")
        for other in ("/", "/guessed/", "/call"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(base + other, b"{}" if other == "/call" else None)
    os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.URLError as error:
            if isinstance(error.reason, ConnectionRefusedError):
                return
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail("the relay still listens")


def test_a_file_has_the_page_and_nothing_that_ends_its_script(shown, tmp_path):
    shown._call = lambda endpoint, event: "daily.0</script><script>x"
    page.write(shown, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "daily.0\\u003c/script>" in text
    assert text.count("</script>") == 1


def test_a_page_that_lacks_something_fails_the_demo(shown):
    shown._call = lambda endpoint, event: 'daily.0 <p class="problem">no right to scan</p>'
    with pytest.raises(page.DeploymentError, match="no right to scan"):
        page.verified(shown)
