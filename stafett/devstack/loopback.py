"""Small questions to a server on 127.0.0.1."""

import asyncio
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"


async def is_port_open(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def minimal_environment(home: Path) -> dict[str, str]:
    """A server gets none of ours: no proxy to phone through, no home or cloud account to read."""
    return {"HOME": str(home), "TMPDIR": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
