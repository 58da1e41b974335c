"""The mail server of the stack: it takes every letter, and brings it no further than a folder."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from aiosmtpd.smtp import SMTP, Envelope, Session

from stafett.devstack.errors import DevStackError
from stafett.devstack.loopback import HOST


class MailFolder:
    """A folder with a file for each letter, named so that the names are in the order of their coming."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def list_emails(self) -> list[Path]:
        return sorted(self.path.glob("*.eml"))

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - the library's name
        """Whole or not at all: a letter that can be seen can be read."""
        content = envelope.content or b""
        unfinished = self.path / f".{uuid4().hex}"
        unfinished.write_bytes(content if isinstance(content, bytes) else content.encode())
        unfinished.replace(self.path / f"{time.time_ns()}-{uuid4().hex[:8]}.eml")
        return "250 Taken"


@asynccontextmanager
async def run_mail_server(folder: MailFolder, port: int) -> AsyncIterator[int]:
    """Take letters at this port, or at a free one for 0, for the length of a block."""
    try:
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(folder, enable_SMTPUTF8=True, hostname="localhost", ident="Stafett"), HOST, port
        )
    except OSError as fault:
        raise DevStackError(f"Port {port} cannot be had for mail: {fault.strerror}.") from fault
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
