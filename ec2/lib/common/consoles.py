"""Where the console of each partition of AWS is."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-eusc": "console.amazonaws-eusc.eu",
}


def console_host(partition: str, region: str) -> str:
    """No link is worth a failure: an unknown partition gets the common console."""
    return f"{region}.{CONSOLES.get(partition, CONSOLES['aws'])}"


def quick_create(
    partition: str, region: str, template: str, stack: str, parameters: Mapping[str, str]
) -> str:
    """The console's page that creates a stack, filled in as far as it is known."""
    values = {"templateURL": template, "stackName": stack}
    values.update({f"param_{name}": value for name, value in parameters.items()})
    query = urlencode(values, quote_via=quote, safe="")
    host = console_host(partition, region)
    return f"https://{host}/cloudformation/home?region={region}#/stacks/quickcreate?{query}"
