"""Which addresses belong to the public internet, whatever the Python that asks thinks of it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from ipaddress import IPv4Address, ip_address, ip_network

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

# https://www.iana.org/assignments/iana-ipv4-special-registry, multicast, and what is reserved.
_NOT_PUBLIC_V4 = tuple(
    ip_network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
# Only global unicast is given out to networks: so mapped, translated, link-local and private ones are out already.
_GLOBAL_UNICAST = ip_network("2000::/3")
# Of it, what is set apart: IETF protocols with Teredo, documentation, 6to4, AS112, segment routing.
_NOT_PUBLIC_V6 = tuple(
    ip_network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


def is_public(address: str) -> bool:
    """Whether it is somebody's on the internet, and nobody's within a network, ours or another's."""
    given = ip_address(address)
    if isinstance(given, IPv4Address):
        return not any(given in block for block in _NOT_PUBLIC_V4)
    return given in _GLOBAL_UNICAST and not any(given in block for block in _NOT_PUBLIC_V6)


async def resolved(host: str, port: int, threads: Executor | None = None) -> Sequence[str]:
    """Every address of a host, those that are reached best first; none if it has none.

    A name server that is silent holds a thread long after whoever asked has gone: so give it threads of its own.
    """
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(threads, ask)
    except (OSError, UnicodeError):
        return ()
    return [str(place[4][0]) for place in found]
