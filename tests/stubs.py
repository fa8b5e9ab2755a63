"""Stand-ins for clients of AWS that take only what botocore would send."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from botocore import xform_name
from botocore.session import get_session
from botocore.validate import validate_parameters


@cache
def shapes(service: str) -> dict[str, Any]:
    """By the names of a client's methods, what they take."""
    model = get_session().get_service_model(service)
    return {xform_name(n): model.operation_model(n).input_shape for n in model.operation_names}


class Checked:
    """Passes calls on to a stand-in, once botocore's model of a service has found them right.

    services: whose client it stands in for. Raises ParamValidationError as botocore does.
    """

    def __init__(self, stub: Any, *services: str) -> None:
        self._stub, self._services = stub, services

    def __getattr__(self, name: str) -> Any:
        if name == "get_paginator":
            return self._paginator
        found = getattr(self._stub, name)
        return self._checked(name, found) if self._shape(name) is not None else found

    def __call__(self, service: str, **_: Any) -> Checked:
        """The client of a service, where one stands in for those of several."""
        assert service in self._services
        return Checked(self._stub, service)

    def _shape(self, operation: str) -> Any:
        return next((s[operation] for s in map(shapes, self._services) if operation in s), None)

    def _checked(self, operation: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            validate_parameters(parameters, self._shape(operation))
            return method(**parameters)

        return call

    def _paginator(self, operation: str) -> Any:
        assert self._shape(operation) is not None, f"no service of {self._services} has {operation}"
        return Checked.Pages(self, operation)

    class Pages:
        def __init__(self, client: Checked, operation: str) -> None:
            pages = client._stub.get_paginator(operation)
            self.paginate = client._checked(operation, pages.paginate)
