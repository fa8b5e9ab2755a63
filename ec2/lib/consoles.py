"""Where the console of each partition of AWS is. The orchestrator and tools/ have this by
a symbolic link.

Python 3.9, standard library only: this runs on Amazon Linux 2023's own python3.
"""

CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-eusc": "console.amazonaws-eusc.eu",
}


def console_host(partition: str, region: str) -> str:
    """No link is worth a failure: an unknown partition gets the common console."""
    return f"{region}.{CONSOLES.get(partition, CONSOLES['aws'])}"
