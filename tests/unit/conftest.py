"""Unit tests start no server: the fixtures that would start the stack fail here."""

from typing import NoReturn

import pytest


@pytest.fixture(scope="session")
def stack() -> NoReturn:
    pytest.fail("tests/unit starts no server; put this test into tests/integration")
