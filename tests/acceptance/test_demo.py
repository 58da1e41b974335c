"""`stafett demo` is interrupted: it removes its files and ends its processes."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # the package ships no types
import pytest

from stafett.testing import wait_until
from tests.support.dev_stack import wait_until_gone


@pytest.mark.parametrize(
    ("stop_signal", "first_file"),
    [(signal.SIGINT, "stafett-demo-*/postgres.new"), (signal.SIGTERM, "stafett-demo-*/stack.json")],
)
async def test_interrupted_demo_leaves_no_files_or_processes(
    tmp_path: Path, stop_signal: signal.Signals, first_file: str
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stafett", "demo", "--output", str(tmp_path / "out")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ) | {"TMPDIR": str(scratch)},
    )

    async def list_first_files() -> list[Path]:
        return list(scratch.glob(first_file))

    await wait_until(list_first_files, bool)
    processes = psutil.Process(demo.pid).children(recursive=True)
    assert processes
    demo.send_signal(stop_signal)
    _, err = await demo.communicate()
    assert demo.returncode == 130
    assert err == b""
    assert list(scratch.iterdir()) == []
    await wait_until_gone(processes)
