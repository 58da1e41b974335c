"""CORS for the remote codec: Temporal's Web UI is the only other origin whose browser pages may call the API."""

from pydantic import AnyHttpUrl
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

CODEC_PATH = "/api/v1/codec"
_ALLOWED_HEADERS = ("Authorization", "Authorization-Extras", "Content-Type", "X-Namespace")


class CodecCORSMiddleware:
    """Adds CORS headers to codec responses for the Web UI's origin, errors included, and to no other response."""

    def __init__(self, app: ASGIApp, origin: AnyHttpUrl) -> None:
        self._app = app
        self._origin = str(origin).rstrip("/")
        self._cors_app = CORSMiddleware(
            app, allow_origins=(self._origin,), allow_methods=("POST",), allow_headers=_ALLOWED_HEADERS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._cors_app if self._is_from_web_ui(scope) else self._app
        await app(scope, receive, send)

    def _is_from_web_ui(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["path"].startswith(f"{CODEC_PATH}/")
            and Headers(scope=scope).get("origin") == self._origin
        )
