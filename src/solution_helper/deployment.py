"""The anonymous UUID of a deployment, the same for as long as its stack exists."""

from uuid import NAMESPACE_URL, UUID, uuid5


def uuid_of(physical_id: str, stack_id: str, logical_id: str) -> str:
    """The UUID behind a custom resource that exists.

    CloudFormation hands an update nothing of what the resource returned before but its physical
    id. So that is the UUID, except where version 1 created the resource.
    """
    if _is_uuid(physical_id):
        return physical_id
    return str(uuid5(NAMESPACE_URL, f"{stack_id}/{logical_id}"))


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
