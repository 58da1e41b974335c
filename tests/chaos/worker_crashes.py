"""Worker processes that crash at a chosen point."""

import asyncio
import os
import sys
from pathlib import Path

from stafett.devstack.stack import RunningServers
from stafett.settings import Settings


async def run_until_crash(module: str, stack: RunningServers, settings: Settings, step: str, point: str) -> int:
    """Run the worker of a module in `tests.chaos` until it crashes at this point, and return its exit code."""
    command = ("-m", f"tests.chaos.{module}", settings.temporal.task_queue, step, point)
    environment, project = os.environ | stack.addresses.environment(), Path(__file__).parents[2]
    child = await asyncio.create_subprocess_exec(sys.executable, *command, env=environment, cwd=project)
    async with asyncio.timeout(120):
        return await child.wait()
