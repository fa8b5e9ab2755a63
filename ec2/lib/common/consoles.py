"""Where the console of each partition of AWS is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlencode

CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-eusc": "console.amazonaws-eusc.eu",
}


class Console(NamedTuple):
    """The console of a region. No link is worth a failure: that of an unknown partition is the
    common one."""

    partition: str
    region: str

    def page(self, page: str, rest: str = "") -> str:
        host = f"{self.region}.{CONSOLES.get(self.partition, CONSOLES['aws'])}"
        return f"https://{host}/{page}?region={self.region}{rest}"

    def objects(self, place: str) -> str:
        """What is below ``s3://bucket/prefix/``."""
        bucket, _, prefix = place[len("s3://") :].partition("/")
        return self.page(f"s3/buckets/{quote(bucket)}", f"&prefix={quote(prefix)}" * bool(prefix))

    def activity(self, group: str) -> str:
        """Why an Auto Scaling group has no instance."""
        return self.page(
            "ec2/home", f"#AutoScalingGroupDetails:id={quote(group, safe='')};view=activity"
        )

    def quick_create(self, template: str, stack: str, parameters: Mapping[str, str]) -> str:
        """The page that creates a stack, filled in as far as it is known."""
        values = {"templateURL": template, "stackName": stack}
        values.update({f"param_{name}": value for name, value in parameters.items()})
        query = urlencode(values, quote_via=quote, safe="")
        return self.page("cloudformation/home", f"#/stacks/quickcreate?{query}")
