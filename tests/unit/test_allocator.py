import os
import subprocess
import sys

import pytest

from stafett.allocator import POLARS_ALLOCATOR_VARIABLE

_WORKER_STARTUP = """
import os, sys
import stafett.cli.services
from stafett.allocator import POLARS_ALLOCATOR_VARIABLE, limit_allocator_arenas
assert "polars" not in sys.modules
limit_allocator_arenas(3)
import polars
print(os.environ[POLARS_ALLOCATOR_VARIABLE])
"""


@pytest.mark.parametrize(
    ("operator_value", "expected"),
    [(None, "narenas:3,dirty_decay_ms:100,muzzy_decay_ms:0"), ("dirty_decay_ms:9", "dirty_decay_ms:9")],
)
def test_allocator_is_configured_before_polars_but_operators_override_it(
    operator_value: str | None, expected: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != POLARS_ALLOCATOR_VARIABLE}
    environment |= {POLARS_ALLOCATOR_VARIABLE: operator_value} if operator_value else {}
    command = [sys.executable, "-c", _WORKER_STARTUP]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert output.strip().endswith(f",{expected}")
