"""The stack's mail server, which accepts every email and stores it in a folder without delivering it."""

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
    """A folder with one file per email, named so that the file names sort in order of arrival."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def list_emails(self) -> list[Path]:
        return sorted(self.path.glob("*.eml"))

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - the library's name
        """Store the email atomically, so that a listed file is always complete."""
        content = envelope.content or b""
        unfinished = self.path / f".{uuid4().hex}"
        unfinished.write_bytes(content if isinstance(content, bytes) else content.encode())
        unfinished.replace(self.path / f"{time.time_ns()}-{uuid4().hex[:8]}.eml")
        return "250 OK"


@asynccontextmanager
async def run_mail_server(folder: MailFolder, port: int) -> AsyncIterator[int]:
    """Accept emails at this port (0 chooses a free one) for the duration of the block, and yield the port."""
    try:
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(folder, enable_SMTPUTF8=True, hostname="localhost", ident="Stafett"), HOST, port
        )
    except OSError as error:
        raise DevStackError(f"Port {port} cannot be bound for the mail server: {error.strerror}.") from error
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
