"""The local account and the demo."""

import admin  # noqa: F401, which knows where the packages are that an instance has, too
