"""The language of a response: the first of ours that the client accepts, or else English."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute

from stafett.domain.export import Locale

VARY_BY_LANGUAGE = {"Vary": "Accept-Language"}
_DEFAULT_LANGUAGE: Locale = "en"
_LANGUAGES: dict[str, Locale] = {"nb": "nb", "no": "nb", "nn": "nn", "en": "en"}
_RANGE = re.compile(
    r"\s*([a-z]{1,8})(?:-[a-z0-9]{1,8})*\s*(?:;\s*q\s*=\s*([01](?:\.\d{1,3})?)\s*)?", re.ASCII | re.IGNORECASE
)
_MAX_LENGTH = 500


def choose_language(request: Request) -> Locale:
    """Return the language that the client prefers (RFC 9110), among those that messages are written in."""
    header = ",".join(request.headers.getlist("accept-language"))[:_MAX_LENGTH]
    best, best_quality = _DEFAULT_LANGUAGE, 0.0
    for part in header.split(","):
        match = _RANGE.fullmatch(part)
        language = _LANGUAGES.get(match[1].lower()) if match else None
        quality = float(match[2] or 1) if match else 0.0
        if language and quality > best_quality:
            best, best_quality = language, quality
    return best


async def get_language(
    request: Request,
    response: Response,
    accept_language: Annotated[  # noqa: ARG001 - declared for the OpenAPI document; the header may be repeated
        str | None, Header(description="Language of messages for people: `nb`, `nn` or `en`. The default is `en`.")
    ] = None,
) -> Locale:
    response.headers.update(VARY_BY_LANGUAGE)
    return choose_language(request)


RequestLanguage = Annotated[Locale, Depends(get_language)]


def is_translated(request: Request) -> bool:
    """Return whether the route of the request has messages in the client's language; the others are in English."""
    route = request.scope.get("route")
    return isinstance(route, APIRoute) and any(each.call is get_language for each in route.dependant.dependencies)
