"""Serves the development issuer over HTTP: its discovery document and keys, like any OpenID provider."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from stafett.devstack.errors import DevStackError
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.loopback import HOST

DISCOVERY_PATH, JWKS_PATH = "/.well-known/openid-configuration", "/jwks.json"


@contextmanager
def serve_issuer(issuer: DevIssuer, port: int) -> Iterator[None]:
    """Serve the issuer's discovery document and keys at this port for the duration of the block."""
    try:
        server = ThreadingHTTPServer((HOST, port), _create_handler(issuer))
    except OSError as error:
        raise DevStackError(f"Port {port} cannot be bound for the issuer: {error.strerror}.") from error
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="issuer", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _create_handler(issuer: DevIssuer) -> type[BaseHTTPRequestHandler]:
    class IssuerRequestHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            documents = {DISCOVERY_PATH: issuer.discovery_document, JWKS_PATH: issuer.load_jwks}
            load = documents.get(self.path.partition("?")[0])
            self._send_json(HTTPStatus.OK, load()) if load else self._send_json(
                HTTPStatus.NOT_FOUND, {"error": "not_found"}
            )

        def _send_json(self, status: HTTPStatus, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Log nothing: all requests come from the stack itself."""

    return IssuerRequestHandler
