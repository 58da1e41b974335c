"""Serves the development issuer over HTTP, like any OpenID provider: discovery, keys, sign-in and sign-out."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl

from stafett.devstack.errors import DevStackError
from stafett.devstack.loopback import HOST
from stafett.devstack.sign_in import DevSignIn, DevSignInError, DevUser, Parameters

_MAX_BODY_BYTES = 64 * 1024
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body><main><h1>{title}</h1>{content}</main></body>
</html>
"""


@contextmanager
def serve_issuer(sign_in: DevSignIn, port: int) -> Iterator[str]:
    """Serve the issuer at this port, or a free one for 0, for the duration of the block, and yield its URL."""
    try:
        server = ThreadingHTTPServer((HOST, port), partial(_IssuerRequestHandler, sign_in))
    except OSError as error:
        raise DevStackError(f"Port {port} cannot be bound for the issuer: {error.strerror}.") from error
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="issuer", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _IssuerRequestHandler(BaseHTTPRequestHandler):
    def __init__(self, sign_in: DevSignIn, *args: Any) -> None:
        self._sign_in = sign_in
        super().__init__(*args)

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        request = dict(parse_qsl(query))
        match path:
            case "/.well-known/openid-configuration":
                self._send_json(HTTPStatus.OK, self._sign_in.discovery_document())
            case "/jwks.json":
                self._send_json(HTTPStatus.OK, self._sign_in.issuer.load_jwks())
            case "/authorize":
                self._show_users(request)
            case "/logout":
                self._redirect(lambda: self._sign_in.get_logout_redirect(request))
            case _:
                self._send_json(HTTPStatus.NOT_FOUND, {"error": "not_found"})

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length", "0")), _MAX_BODY_BYTES)
        form = dict(parse_qsl(self.rfile.read(length).decode()))
        match self.path:
            case "/authorize":
                self._redirect(lambda: self._sign_in.authorize(form, form.get("user", "")))
            case "/token":
                self._send_tokens(form)
            case _:
                self._send_json(HTTPStatus.NOT_FOUND, {"error": "not_found"})

    def _show_users(self, request: Parameters) -> None:
        try:
            self._sign_in.check_authorization(request)
        except DevSignInError as error:
            self._send_page(HTTPStatus.BAD_REQUEST, "Invalid request", f"<p>{error.code}</p>")
        else:
            users = "".join(_render_user(user, request) for user in self._sign_in.users)
            self._send_page(HTTPStatus.OK, "Sign in as", users)

    def _send_tokens(self, form: Parameters) -> None:
        try:
            self._send_json(HTTPStatus.OK, self._sign_in.redeem_code(form, self.headers.get("Authorization", "")))
        except DevSignInError as error:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": error.code})

    def _redirect(self, get_url: Callable[[], str]) -> None:
        try:
            url = get_url()
        except DevSignInError as error:
            self._send_page(HTTPStatus.BAD_REQUEST, "Invalid request", f"<p>{error.code}</p>")
            return
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_page(self, status: HTTPStatus, title: str, content: str) -> None:
        self._send(status, "text/html; charset=utf-8", _PAGE.format(title=title, content=content))

    def _send_json(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(document))

    def _send(self, status: HTTPStatus, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Log nothing: all requests come from this machine."""


def _render_user(user: DevUser, request: Parameters) -> str:
    """Render a form that sends the whole authorization request back, with the selected user."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in request.items()
    )
    button = f'<button name="user" value="{user.id}">{escape(user.email)}</button>'
    return f'<form method="post" action="/authorize">{fields}{button} {escape(user.display_name)}</form>'
