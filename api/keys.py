"""The issuer's JSON Web Keys by key id, read from a file or fetched from the issuer's JWKS endpoint."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Protocol

import httpx
import jwt
import structlog

from stafett.domain.errors import ServiceUnavailableError, SettingsError
from stafett.settings import AuthSettings

_READ_ERRORS = (OSError, ValueError, TypeError, AttributeError, RecursionError, jwt.PyJWTError)
_REFRESH_AFTER_SECONDS = 300.0
_MIN_FETCH_INTERVAL_SECONDS = 10.0
_MAX_AGE_SECONDS = 24 * 3600.0
_MAX_BYTES = 1024 * 1024
_log = structlog.get_logger("stafett.api")
KeysById = Mapping[str, jwt.PyJWK]


class KeySource(Protocol):
    """A source of verification keys. ``get_key`` raises ``LookupError`` for an unknown key id."""

    def get_key(self, key_id: str) -> jwt.PyJWK: ...


class JwksFile:
    """Keys of a local JWKS file.

    The file is reloaded when a token names an unknown key id. A new key therefore works at once, and a removed key
    stays valid until then. A file that cannot be read leaves the loaded keys unchanged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = _parse_jwks(path.read_text())

    def get_key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys:
            self._reload()
        return self._keys[key_id]

    def _reload(self) -> None:
        try:
            self._keys = _parse_jwks(self._path.read_text())
        except _READ_ERRORS as error:
            _log.warning("jwks_file_unreadable", error=type(error).__name__)


class JwksEndpoint:
    """Keys that the issuer publishes at its JWKS endpoint.

    They are fetched on first use, every five minutes, and for an unknown key id, but at most every ten seconds,
    so that tokens with invented key ids cannot flood the issuer. While the issuer is unavailable, the fetched keys
    stay valid for a day.
    """

    def __init__(
        self, url: str, clock: Callable[[], float] = time.monotonic, http_client: httpx.Client | None = None
    ) -> None:
        self._http_client = http_client or httpx.Client(timeout=5, follow_redirects=True)
        self._url = url
        self._clock = clock
        self._keys: KeysById = {}
        self._fetched_at = self._attempted_at = -_MAX_AGE_SECONDS
        self._lock = Lock()

    def get_key(self, key_id: str) -> jwt.PyJWK:
        if not self._is_fresh(key_id):
            with self._lock:
                if not self._is_fresh(key_id) and self._clock() - self._attempted_at >= _MIN_FETCH_INTERVAL_SECONDS:
                    self._fetch()
        if self._clock() - self._fetched_at >= _MAX_AGE_SECONDS:
            raise ServiceUnavailableError("The identity provider")
        return self._keys[key_id]

    def _is_fresh(self, key_id: str) -> bool:
        return key_id in self._keys and self._clock() - self._fetched_at < _REFRESH_AFTER_SECONDS

    def _fetch(self) -> None:
        self._attempted_at = self._clock()
        try:
            self._keys = _parse_jwks(download_text(self._http_client, self._url))
            self._fetched_at = self._clock()
        except (httpx.HTTPError, *_READ_ERRORS) as error:
            _log.warning("jwks_fetch_failed", error=type(error).__name__)


def download_text(http_client: httpx.Client, url: str) -> str:
    """Download a small document of an issuer; raise ``ValueError`` if it is large."""
    with http_client.stream("GET", url) as response:
        response.raise_for_status()
        body = b""
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _MAX_BYTES:
                raise ValueError(f"the document is larger than {_MAX_BYTES} bytes")
    return body.decode()


def create_key_source(settings: AuthSettings) -> KeySource:
    if settings.jwks_file is not None:
        try:
            return JwksFile(settings.jwks_file)
        except _READ_ERRORS:
            raise SettingsError("STAFETT_AUTH__JWKS_FILE does not name a readable JSON Web Key Set.") from None
    if settings.jwks_url is not None:
        return JwksEndpoint(str(settings.jwks_url))
    raise SettingsError(
        "Neither STAFETT_AUTH__JWKS_URL nor STAFETT_AUTH__JWKS_FILE is set; without keys no token can be verified."
    )


def _parse_jwks(text: str) -> KeysById:
    keys = jwt.PyJWKSet.from_json(text).keys
    return {key.key_id: key for key in keys if key.key_id and key.public_key_use in {"sig", None}}
