"""The deployment's settings, read once from the Lambda environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Parameters of the restore template, and variables of the function.
RESTORE = (
    "SrcEFS",
    "DstEFS",
    "IntervalTag",
    "FolderLabel",
    "RestorePrefix",
    "RestoreLogBucket",
    "VpcId",
    "Subnets",
    "SecurityGroupId",
    "Email",
)


class SettingsError(ValueError):
    """A setting is missing; the message names it."""


@dataclass(frozen=True)
class Settings:
    """orchestrator: the ARN of the function that acts, template: the URL of the one that restores,
    restore: the parameters that it is given."""

    table: str
    orchestrator: str
    template: str
    restore: Mapping[str, str]

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Raises SettingsError for a variable that is missing or empty."""
        # Nobody needs to be notified by e-mail.
        for name in ("table", "orchestrator", "template", *RESTORE[:-1]):
            if not env.get(name):
                raise SettingsError(f"environment variable {name} is missing or empty")
        restore = {name: env[name] for name in RESTORE if env.get(name)}
        return cls(env["table"], env["orchestrator"], env["template"], restore)

    @property
    def stack(self) -> str:
        """The table is named like it."""
        return self.table

    @property
    def bucket(self) -> str:
        return self.restore["RestoreLogBucket"]

    @property
    def partition(self) -> str:
        return self.orchestrator.split(":")[1]

    @property
    def region(self) -> str:
        return self.orchestrator.split(":")[3]
