"""A short heartbeat timeout in fault tests whose subject is what happens after it has expired."""

from datetime import timedelta

import pytest

from workflows import policies

HEARTBEAT_TIMEOUT = timedelta(seconds=4)


def shorten_heartbeat_timeout(patch: pytest.MonkeyPatch) -> None:
    """Shorten the timeout of the activities that workers of this process schedule."""
    patch.setattr(policies, "HEARTBEAT_TIMEOUT", HEARTBEAT_TIMEOUT)
