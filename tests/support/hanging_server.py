"""A server that accepts requests and does not answer them, like an S3 server that was stopped by SIGSTOP."""

import socket
from threading import Thread
from types import TracebackType
from typing import Self

from pydantic import AnyHttpUrl, SecretStr

from stafett.settings import S3Settings
from stafett.storage.files import FileStorage
from stafett.storage.s3 import S3Timeouts

TIMEOUTS = S3Timeouts(connect=1, read=0.5)
_UPLOAD_STARTED = b"""<?xml version="1.0"?><InitiateMultipartUploadResult><Bucket>stafett</Bucket><Key>report</Key>\
<UploadId>1</UploadId></InitiateMultipartUploadResult>"""


class HangingServer:
    """Records the requests that clients send until they give up."""

    def __init__(self, *, starts_uploads: bool = False) -> None:
        """With ``starts_uploads`` the request that starts a multipart upload is answered."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._starts_uploads = starts_uploads
        self._accepted = list[tuple[socket.socket, Thread]]()
        self._methods = list[str]()
        port = self._listener.getsockname()[1]
        endpoint = AnyHttpUrl(f"http://127.0.0.1:{port}")
        self.settings = S3Settings(endpoint=endpoint, access_key="key", secret_key=SecretStr("secret"))
        self.storage = FileStorage(self.settings, TIMEOUTS)

    def collect_methods(self) -> list[str]:
        """Return the methods of all requests, once the client has closed its connections."""
        for _, reader in self._accepted:
            reader.join(30)
        return self._methods

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        for connection, _ in self._accepted:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            reader = Thread(target=self._read, args=[connection], daemon=True)
            reader.start()
            self._accepted.append((connection, reader))

    def _read(self, connection: socket.socket) -> None:
        """Read requests whose body fits in a segment, and answer only the start of an upload."""
        try:
            while request := connection.recv(65_536):
                method, _, path = request.partition(b" ")
                if method in {b"GET", b"HEAD", b"PUT", b"POST", b"DELETE"}:
                    self._methods.append(method.decode())
                if self._starts_uploads and method == b"POST" and path.startswith(b"/stafett/report?uploads"):
                    header = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(_UPLOAD_STARTED)
                    connection.sendall(header + _UPLOAD_STARTED)
        except OSError:
            return  # the client gave up
