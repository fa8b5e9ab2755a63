"""Stacks that must be refused before anything is made."""

from __future__ import annotations

from botocore.exceptions import ClientError

from admin.acceptance.found import Found
from admin.acceptance.scene import Scene
from admin.command import AdminError


def refused(scene: Scene, words: str, **parameters: str) -> Found:
    name = f"{scene.account.name}-refused"
    url = scene.template_url
    try:
        scene.account.create(name, {**scene.parameters, **parameters}, TemplateURL=url)
        found = "it was created"
    except ClientError as error:
        found = error.response["Error"]["Message"]
    except AdminError as error:
        found = str(error)
    scene.account.remove(name)
    return Found(words in found, found, f"CreateStack with {parameters}")


def rules(scene: Scene) -> Found:
    return refused(scene, "must be another region", ReplicaRegion=scene.region)


def patterns(scene: Scene) -> Found:
    words = "must be the IDs of subnets"
    first, *_ = scene.network["Subnets"].split(",")
    return refused(scene, words, Subnets=f"{first},subnet_x")
