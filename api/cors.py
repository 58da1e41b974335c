"""The one page of another origin that may ask us something: Temporal's Web UI, which wants payloads opened."""

from pydantic import AnyHttpUrl
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

CODEC_PATH = "/api/v1/codec"
_ALLOWED_HEADERS = ("Authorization", "Authorization-Extras", "Content-Type", "X-Namespace")


class CodecCORSMiddleware:
    """Its browser is let read what the codec answers, refusals too; to any other page we say nothing about origins."""

    def __init__(self, app: ASGIApp, origin: AnyHttpUrl) -> None:
        self._app = app
        self._origin = str(origin).rstrip("/")
        self._cors_app = CORSMiddleware(
            app, allow_origins=(self._origin,), allow_methods=("POST",), allow_headers=_ALLOWED_HEADERS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chosen = self._cors_app if self._is_from_web_ui(scope) else self._app
        await chosen(scope, receive, send)

    def _is_from_web_ui(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["path"].startswith(f"{CODEC_PATH}/")
            and Headers(scope=scope).get("origin") == self._origin
        )
