"""The file system that is backed up: whether it is there, and who may do what to it."""

import re
from collections.abc import Sequence

from admin.preflight.facts import Fact, Facts, Item, Request, Unknown
from admin.preflight.results import Result, failed, ok, warning


def source_file_system(request: Request, facts: Facts) -> Result:
    found = facts.file_system.get()
    if found is None:
        return failed(
            f"{request.source} does not exist in {request.region}",
            "Give the id of a file system of this account and region.",
        )
    state = found["LifeCycleState"]
    if state != "available":
        return failed(f"{request.source} is {state}", "Wait until it is available.")
    return ok(f"{request.source} is available")


NEEDED = ("ClientMount", "ClientRootAccess")
"""What the instance does with the source; it never writes."""
READ_ONLY_MOUNT = "what keeps a backup from writing is that it mounts the source read-only"
HARMLESS = [  # conditions of a Deny that this solution's mounts never meet
    {"Bool": {"aws:SecureTransport": "false"}},
    {"Bool": {"elasticfilesystem:AccessedViaMountTarget": "false"}},
    {"BoolIfExists": {"elasticfilesystem:AccessedViaMountTarget": "false"}},
]


def file_system_policy(request: Request, facts: Facts) -> Result:
    """In its own account a role needs no Allow in the policy; only a Deny stands in its way."""
    if facts.file_system == Fact(None):
        raise Unknown("there is no such file system")
    policy = facts.policy.get()
    if policy is None:
        return ok(f"none: whoever can connect may write; {READ_ONLY_MOUNT}")
    for statement in statements(policy):
        if statement.get("Effect") != "Deny" or not _concerns(statement, NEEDED):
            continue
        if statement.get("Condition") in HARMLESS:
            continue
        name = statement.get("Sid", "without a Sid")
        everybody = statement.get("Principal") in EVERYBODY
        advice = f"Let the instance's role {' and '.join(NEEDED)}, for example by a condition."
        if everybody and not statement.get("Condition"):
            return failed(f"the statement {name} denies mounting as root", advice)
        return warning(f"the statement {name} may deny mounting as root", advice)
    return ok(f"denies nothing that backups need; {_who_writes(policy)}")


EVERYBODY = ("*", {"AWS": "*"}, {"AWS": ["*"]})


def _who_writes(policy: Item) -> str:
    """Whether the policy lets a role write that has no right of its own, like the instance's."""
    writing = [s for s in statements(policy) if _concerns(s, ("ClientWrite",))]
    denied = [s for s in writing if s["Effect"] == "Deny" and not s.get("Condition")]
    if any(s.get("Principal") in EVERYBODY for s in denied):
        return "nobody can write"
    if denied:
        return f"who may write depends on the role; in any case {READ_ONLY_MOUNT}"
    if any(s["Effect"] == "Allow" for s in writing):
        return f"it lets others write, maybe all; {READ_ONLY_MOUNT}"
    return "the instance could not write, since its role may not"


def statements(policy: Item) -> list[Item]:
    found = policy.get("Statement", [])
    return [found] if isinstance(found, dict) else found


def _concerns(statement: Item, needed: Sequence[str]) -> bool:
    if "NotAction" in statement:
        return True
    actions = statement.get("Action", [])
    patterns = [
        re.escape(action).replace(r"\*", ".*").replace(r"\?", ".")
        for action in ([actions] if isinstance(actions, str) else actions)
    ]
    return any(
        re.fullmatch(pattern, f"elasticfilesystem:{action}", re.IGNORECASE)
        for pattern in patterns
        for action in needed
    )
