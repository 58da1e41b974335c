"""Checks that webhooks lead to public internet addresses over TLS."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, ip_address, ip_network
from typing import NamedTuple

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from stafett.domain.errors import ForbiddenDestinationError

HostResolver = Callable[[str, int], Awaitable[Sequence[str]]]
# https://www.iana.org/assignments/iana-ipv4-special-registry, multicast and reserved blocks.
_NON_PUBLIC_IPV4 = tuple(
    ip_network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
# Only global unicast is allocated to networks, so this excludes mapped, translated, link-local and private addresses.
_GLOBAL_UNICAST = ip_network("2000::/3")
# Special-purpose blocks of global unicast: IETF protocols with Teredo, documentation, 6to4, AS112, segment routing.
_NON_PUBLIC_IPV6 = tuple(
    ip_network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


def is_public_address(address: str) -> bool:
    """Check that the address is on the public internet, not within our network or another private one."""
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return not any(ip in block for block in _NON_PUBLIC_IPV4)
    return ip in _GLOBAL_UNICAST and not any(ip in block for block in _NON_PUBLIC_IPV6)


async def resolve_host(host: str, port: int, executor: Executor | None = None) -> Sequence[str]:
    """Return every address of a host in the system's order of preference; none if the host is unknown.

    A silent name server blocks a thread long after the caller has timed out, so ``executor`` should be a separate one.
    """
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        results = await asyncio.get_running_loop().run_in_executor(executor, look_up)
    except (OSError, UnicodeError):
        return ()
    return [str(socket_address[0]) for *_, socket_address in results]


MAX_URL_LENGTH = 2000


_HTTPS_PORT, _MIN_UNPRIVILEGED_PORT = 443, 1024


_PRINTABLE_ASCII = re.compile(r"[!-~]+", re.ASCII)
_HOST_PATTERN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]", re.ASCII)


class Destination(NamedTuple):
    """A URL parsed once, so that the checked and the connected destination cannot differ."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        default_port = {"https": 443, "http": 80}[self.scheme]
        return name if self.port == default_port else f"{name}:{self.port}"


@dataclass(frozen=True)
class DestinationPolicy:
    """The rules for URLs and their addresses; ``allow_private_networks`` is for development only."""

    allow_private_networks: bool = False
    resolver: HostResolver = resolve_host

    def parse(self, url: str) -> Destination:
        """Parse a URL; raise if it is not allowed as a destination."""
        try:
            parts = parse_url(url) if _PRINTABLE_ASCII.fullmatch(url) and "\\" not in url else None
        except LocationParseError:
            parts = None
        if parts is None or parts.host is None or not _HOST_PATTERN.fullmatch(parts.host) or parts.fragment is not None:
            raise ForbiddenDestinationError("url_invalid", "must be a URL in ASCII with a host and no fragment")
        if parts.auth is not None:
            raise ForbiddenDestinationError("url_with_credentials", "must not contain a user name or password")
        scheme = parts.scheme or ""
        if scheme != "https" and not (self.allow_private_networks and scheme == "http"):
            raise ForbiddenDestinationError("url_not_https", "must use https")
        port = parts.port or (_HTTPS_PORT if scheme == "https" else 80)
        if not self.allow_private_networks and port != _HTTPS_PORT and port < _MIN_UNPRIVILEGED_PORT:
            raise ForbiddenDestinationError("url_port", "the port must be 443, or 1024 or higher")
        return Destination(scheme, parts.host.strip("[]"), port, parts.request_uri)

    async def resolve_allowed(self, host: str, port: int) -> Sequence[str]:
        """Resolve the addresses of a host; raise if there is none or any of them is not public."""
        addresses = await self.resolver(host, port)
        if not addresses:
            raise ForbiddenDestinationError("host_unknown", "the host has no address")
        if not self.allow_private_networks and not all(map(is_public_address, addresses)):
            raise ForbiddenDestinationError("address_not_public", "the host has an address that is not public")
        return addresses

    async def check(self, url: str) -> None:
        """Raise if the URL cannot be delivered to, as far as can be checked now."""
        destination = self.parse(url)
        if not self.allow_private_networks:  # a development machine may have no name server
            await self.resolve_allowed(destination.host, destination.port)
