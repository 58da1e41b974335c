"""The loopback address of the servers, and the environment they run in."""

import asyncio
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"


async def is_port_open(port: int) -> bool:
    """Check whether a server listens on the port."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def minimal_environment(home: Path) -> dict[str, str]:
    """Return an environment without the user's variables, so that servers see no proxy, home or cloud account."""
    return {"HOME": str(home), "TMPDIR": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
