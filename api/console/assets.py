"""The console's stylesheet, script and icon, under URLs that change with their content."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from api.console.services import CONSOLE_PATH
from stafett.domain.errors import NotFoundError

router = APIRouter()
_MEDIA_TYPES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}


class _Asset(NamedTuple):
    content: bytes
    sha256: str


def get_asset_url(name: str) -> str:
    return f"{CONSOLE_PATH}/static/{name}?v={_load_asset(name).sha256[:16]}"


@router.get(f"{CONSOLE_PATH}/static/{{name}}")
async def get_asset(_request: Request, name: str) -> Response:
    if name not in _MEDIA_TYPES:
        raise NotFoundError("There is no such file.")
    return Response(_load_asset(name).content, media_type=_MEDIA_TYPES[name], headers=_HEADERS)


@cache
def _load_asset(name: str) -> _Asset:
    content = files("api.console").joinpath("static", name).read_bytes()
    return _Asset(content, hashlib.sha256(content).hexdigest())
