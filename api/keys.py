"""The issuer's keys, by the id that a token names: from a file beside us, or as the issuer publishes them."""

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

_UNREADABLE = (OSError, ValueError, TypeError, AttributeError, RecursionError, jwt.PyJWTError)
_REFRESHED_AFTER = 300.0
_ASKED_AGAIN_AFTER = 10.0
_GOOD_FOR = 24 * 3600.0
_MOST_BYTES = 1024 * 1024
_log = structlog.get_logger("stafett.api")
KeySet = Mapping[str, jwt.PyJWK]


class Keys(Protocol):
    """Where a token's key is found; ``LookupError`` if the issuer has none of that id."""

    def key(self, key_id: str) -> jwt.PyJWK: ...


class KeyFile:
    """Keys that somebody put beside us.

    The file is read anew for a key that is not known yet: a new key works at once, and one that was taken out ceases
    to be good with the first token of a key we have not seen. A file that cannot be read changes nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = _read(path.read_text())

    def key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys:
            self._read_anew()
        return self._keys[key_id]

    def _read_anew(self) -> None:
        try:
            self._keys = _read(self._path.read_text())
        except _UNREADABLE as error:
            _log.warning("keys_unreadable", error=type(error).__name__)


class PublishedKeys:
    """Keys that the issuer publishes.

    They are fetched when they are first needed, every five minutes, and for a key that is not known yet; but however
    many unknown ones are named, the issuer is not asked again at once. While it is away, what is known stays good for
    a day.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic, http: httpx.Client | None = None) -> None:
        self._http = http or httpx.Client(timeout=5, follow_redirects=True)
        self._url = url
        self._clock = clock
        self._keys: KeySet = {}
        self._fetched_at = self._asked_at = -_GOOD_FOR
        self._lock = Lock()

    def key(self, key_id: str) -> jwt.PyJWK:
        if not self._is_fresh(key_id):
            with self._lock:
                if not self._is_fresh(key_id) and self._clock() - self._asked_at >= _ASKED_AGAIN_AFTER:
                    self._fetch()
        if self._clock() - self._fetched_at >= _GOOD_FOR:
            raise ServiceUnavailableError("The identity provider")
        return self._keys[key_id]

    def _is_fresh(self, key_id: str) -> bool:
        return key_id in self._keys and self._clock() - self._fetched_at < _REFRESHED_AFTER

    def _fetch(self) -> None:
        self._asked_at = self._clock()
        try:
            self._keys = _read(self._text())
            self._fetched_at = self._clock()
        except (httpx.HTTPError, *_UNREADABLE) as error:
            _log.warning("keys_not_fetched", error=type(error).__name__)

    def _text(self) -> str:
        with self._http.stream("GET", self._url) as response:
            response.raise_for_status()
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise ValueError("no key set is so large")
        return body.decode()


def keys_of(settings: AuthSettings) -> Keys:
    if settings.jwks_file is not None:
        try:
            return KeyFile(settings.jwks_file)
        except _UNREADABLE:
            raise SettingsError("STAFETT_AUTH__JWKS_FILE does not name a readable JSON Web Key Set.") from None
    if settings.jwks_url is not None:
        return PublishedKeys(str(settings.jwks_url))
    raise SettingsError("Neither STAFETT_AUTH__JWKS_URL nor STAFETT_AUTH__JWKS_FILE is set: no token could be checked.")


def _read(text: str) -> KeySet:
    keys = jwt.PyJWKSet.from_json(text).keys
    return {key.key_id: key for key in keys if key.key_id and key.public_key_use in {"sig", None}}
