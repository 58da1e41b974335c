"""Where a webhook may lead: out into the internet, over TLS, and nowhere else."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from stafett.domain.errors import ForbiddenDestinationError
from stafett.webhooks.addresses import Resolve, is_public, resolved

LONGEST_URL = 2000
_HTTPS, _FIRST_UNPRIVILEGED = 443, 1024
_PLAIN = re.compile(r"[!-~]+", re.ASCII)
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]", re.ASCII)


class Destination(NamedTuple):
    """A URL taken apart once: what was checked and what is connected to cannot be two things."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return name if self.port == usual else f"{name}:{self.port}"


@dataclass(frozen=True)
class Destinations:
    """The rules for URLs and for the addresses behind them; ``allow_private`` is for development alone."""

    allow_private: bool = False
    resolve: Resolve = resolved

    def of(self, url: str) -> Destination:
        """The destination that a URL names, if it may be one."""
        try:
            parts = parse_url(url) if _PLAIN.fullmatch(url) and "\\" not in url else None
        except LocationParseError:
            parts = None
        if parts is None or parts.host is None or not _HOST.fullmatch(parts.host) or parts.fragment is not None:
            raise ForbiddenDestinationError(
                "url_invalid", "not a URL with a host and without a fragment; hosts and paths are written in ASCII"
            )
        if parts.auth is not None:
            raise ForbiddenDestinationError("url_with_credentials", "a URL with a user or a password in it")
        scheme = parts.scheme or ""
        if scheme != "https" and not (self.allow_private and scheme == "http"):
            raise ForbiddenDestinationError("url_not_https", "only https is accepted")
        port = parts.port or (_HTTPS if scheme == "https" else 80)
        if not self.allow_private and port != _HTTPS and port < _FIRST_UNPRIVILEGED:
            raise ForbiddenDestinationError("url_port", "the port is 443, or 1024 or higher")
        return Destination(scheme, parts.host.strip("[]"), port, parts.request_uri)

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a host. One that is not public among them, and there is none."""
        found = await self.resolve(host, port)
        if not found:
            raise ForbiddenDestinationError("host_unknown", "the host has no address")
        if not self.allow_private and not all(map(is_public, found)):
            raise ForbiddenDestinationError("address_not_public", "the host has an address that is not a public one")
        return found

    async def vet(self, url: str) -> None:
        """Refuse a URL that could not be delivered to, as far as can be said now."""
        destination = self.of(url)
        if not self.allow_private:  # a developer's machine may know no names at all
            await self.addresses(destination.host, destination.port)
