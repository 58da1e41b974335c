"""`stafett demo`, interrupted: whatever it began is gone with it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # the package ships no types
import pytest

from stafett.testing import wait_until
from tests.acceptance.dev_stack import all_gone


@pytest.mark.parametrize(
    ("request_to_stop", "begun"),
    [(signal.SIGINT, "stafett-demo-*/postgres.new"), (signal.SIGTERM, "stafett-demo-*/stack.json")],
)
async def test_an_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, request_to_stop: signal.Signals, begun: str
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stafett", "demo", "--output", str(tmp_path / "out")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ) | {"TMPDIR": str(scratch)},
    )

    async def found() -> list[Path]:
        return list(scratch.glob(begun))

    await wait_until(found, bool)
    family = psutil.Process(demo.pid).children(recursive=True)
    assert family
    demo.send_signal(request_to_stop)
    _, err = await demo.communicate()
    assert demo.returncode == 130
    assert err == b""
    assert list(scratch.iterdir()) == []
    await all_gone(family, within=1)
