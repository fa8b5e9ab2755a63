"""An EC2 instance: a sandbox with a disk of its own that boots into its user data.

The disk is an ordinary directory of the host, with the host's /usr in it read-only. The instance
sees nothing else of the host but the file systems that `mount.efs` mounts. Files of an image lie
over the disk; its etc/environment holds for all that runs there.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from local import forks, sandbox

# Where a login shell on Amazon Linux looks first, so the commands that Debian lacks go there.
_OWN_COMMANDS = "opt/aws/bin"
CLI = "/opt/aws/cli/aws"
_PATH = f"/{_OWN_COMMANDS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DIRECTORIES = ("etc", "mnt", "root", "run/efs", "sbin", "var/lib/cloud/data", "var/log", "var/tmp")
_HOST_SETTINGS = (
    "alternatives", "debian_version", "group", "hosts", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "nsswitch.conf", "os-release", "passwd", "ssl",
)  # fmt: skip
_MOUNT_HELPER = Path(__file__).parent / "mount.efs"
_USER_DATA = "var/lib/cloud/user-data"
_INSTANCE_ID = "var/lib/cloud/data/instance-id"
_CERTIFICATE = "/etc/local-account.crt"
_ENVIRONMENT = "etc/environment"
_AGENT = "etc/systemd/system/amazon-ssm-agent.service"

# As cloud-init names them.
LOG = "var/log/cloud-init-output.log"
BOOT_FINISHED = "var/lib/cloud/boot-finished"


class Instance:
    """One running instance.

    It lives until it is terminated, as a real one does: the end of its user data changes nothing.
    It must be made by a thread that lives longer: the kernel ends it together with that thread.
    """

    def __init__(
        self,
        instance_id: str,
        *,
        disk: Path,
        image: Path,
        user_data: bytes,
        file_systems: Path,
        certificate: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.instance_id = instance_id
        self._log = disk / LOG
        self._agent = disk / _AGENT
        _make_disk(disk, user_data)
        _lay_over(disk, image)
        (disk / _INSTANCE_ID).write_text(f"{instance_id}\n")
        self._environment = {
            "PATH": _PATH,
            "LANG": "C.UTF-8",
            "AWS_CA_BUNDLE": _CERTIFICATE,
            **environment,
            **_settings(disk / _ENVIRONMENT),
        }
        boot = f"/{_USER_DATA} >/{LOG} 2>&1; touch /{BOOT_FINISHED}; exec sleep infinity"
        info, info_for_child = os.pipe()
        with os.fdopen(info) as report:
            self._process = subprocess.Popen(
                [
                    *(str(sandbox.BUBBLEWRAP), "--info-fd", str(info_for_child)),
                    *_world(instance_id, disk, file_systems, certificate),
                    *("/bin/sh", "-c", boot),
                ],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=(info_for_child,),
                start_new_session=True,
            )
            os.close(info_for_child)
            self._init = json.load(report)["child-pid"]

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def reachable(self) -> bool:
        """Whether it has come so far that commands can run on it, and its agent is not masked."""
        masked = self._agent.is_symlink() and str(self._agent.readlink()) == os.devnull
        return self.running and self._log.exists() and not masked

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Runs a command on the instance, as its SSM agent would."""
        # Without --root it would run at the root of the mount namespace, which is the instance's
        # own unless all this happens in a chroot.
        enter = ["nsenter", f"--target={self._init}", "--root", "--wd"]
        enter += ["--mount", "--pid", "--uts", "--ipc"]
        return subprocess.run(
            [*enter, *command],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )

    def terminate(self) -> None:
        self._process.kill()
        self._process.wait()


def _make_disk(disk: Path, user_data: bytes) -> None:
    for directory in (*_DIRECTORIES, _OWN_COMMANDS):
        (disk / directory).mkdir(parents=True)
    (disk / "tmp").mkdir()
    (disk / "tmp").chmod(0o1777)
    for name in _HOST_SETTINGS:
        setting = Path("/etc", name)
        if setting.is_dir():
            shutil.copytree(setting, disk / "etc" / name, symlinks=True, ignore=_secrets)
        elif setting.exists():
            shutil.copy(setting, disk / "etc" / name)
    command = Path(f"{disk}{CLI}")
    command.parent.mkdir()
    command.write_text(forks.command("aws"))
    command.chmod(0o755)
    (disk / _OWN_COMMANDS / "aws").symlink_to(CLI)
    (disk / _OWN_COMMANDS / "python3").symlink_to(sys.executable)
    script = disk / _USER_DATA
    script.write_bytes(user_data)
    script.chmod(0o700)


def _lay_over(disk: Path, image: Path) -> None:
    if image.is_dir():
        # What is a link on the disk leads to the host: it is replaced, not written through.
        copy = ["cp", "--archive", "--remove-destination", f"{image}/.", str(disk)]
        subprocess.run(copy, check=True)


def _settings(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(line.split("=", 1) for line in lines)


def _secrets(directory: str, names: list[str]) -> list[str]:
    """What of the host's settings the world may not read: the disk may be readable to all."""
    return [n for n in names if not os.lstat(os.path.join(directory, n)).st_mode & stat.S_IROTH]


def _world(instance_id: str, disk: Path, file_systems: Path, certificate: Path) -> list[str]:
    pythons = {sys.prefix, sys.base_prefix} - {"/usr"}
    system_links = [name for name in ("bin", "lib", "lib64") if Path("/", name).is_symlink()]
    # fmt: off
    return [
        "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--hostname", instance_id,
        "--die-with-parent", "--cap-add", "ALL",
        "--bind", str(disk), "/", "--ro-bind", "/usr", "/usr",
        *(word for name in system_links for word in ("--symlink", f"usr/{name}", f"/{name}")),
        *(word for python in pythons for word in ("--ro-bind", python, python)),
        "--proc", "/proc", "--dev", "/dev",
        "--ro-bind", str(_MOUNT_HELPER), "/sbin/mount.efs",
        "--ro-bind", str(certificate), _CERTIFICATE,
        "--bind", str(file_systems), "/run/efs",
        "--chdir", "/",
    ]
    # fmt: on
