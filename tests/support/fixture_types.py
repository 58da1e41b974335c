"""Types of the fixtures that are functions."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

Bearer = Callable[..., dict[str, str]]
"""Returns the authorization headers of a user."""
RunWorker = Callable[[], AbstractAsyncContextManager[None]]
"""Runs a worker of this test for the length of a block."""
