import os
import subprocess
import sys

import pytest

from stafett.allocator import POLARS_ALLOCATOR_VARIABLE

_BEGIN_AS_THE_WORKER_DOES = """
import os, sys
import stafett.cli.services
from stafett.allocator import POLARS_ALLOCATOR_VARIABLE, limit_allocator_arenas
assert "polars" not in sys.modules
limit_allocator_arenas(3)
import polars
print(os.environ[POLARS_ALLOCATOR_VARIABLE])
"""


@pytest.mark.parametrize(
    ("set_by_an_operator", "last_words"),
    [(None, "narenas:3,dirty_decay_ms:100,muzzy_decay_ms:0"), ("dirty_decay_ms:9", "dirty_decay_ms:9")],
)
def test_polars_is_told_before_it_is_imported_and_an_operator_has_the_last_word(
    set_by_an_operator: str | None, last_words: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != POLARS_ALLOCATOR_VARIABLE}
    environment |= {POLARS_ALLOCATOR_VARIABLE: set_by_an_operator} if set_by_an_operator else {}
    command = [sys.executable, "-c", _BEGIN_AS_THE_WORKER_DOES]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert said.strip().endswith(f",{last_words}")
