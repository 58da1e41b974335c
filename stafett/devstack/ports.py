"""Loopback ports: the ones of last time if they are free, because presigned links carry them."""

import json
import random
import socket
from collections.abc import Mapping
from contextlib import suppress

from stafett.devstack.errors import DevStackError
from stafett.devstack.folder import DataFolder, write_whole

# weed serves gRPC at each HTTP port + 10000. Above 11000 no browser refuses a port, and with the
# second one below 32768 no outgoing connection takes it between our choice and the server's bind.
GRPC_OFFSET = 10_000
_LOWEST, _HIGHEST = 11_000, 22_700
_PAIRED = ("s3", "s3_master", "s3_filer", "s3_volume", "s3_admin")
_SINGLE = ("postgres", "temporal", "temporal_ui", "temporal_metrics", "temporal_http", "api", "mail")

Ports = Mapping[str, int]


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True


def choose_ports(folder: DataFolder, api_port: int | None) -> Ports:
    """A port for every listener of the stack, written down for the next start."""
    if api_port is not None and not is_free(api_port):
        raise DevStackError(f"Port {api_port} is taken; choose another --api-port or leave it out.")
    before = _ports_of_last_time(folder) | ({"api": api_port} if api_port is not None else {})
    chosen: dict[str, int] = {}
    for name in _SINGLE + _PAIRED:
        chosen[name] = _choose(before.get(name), frozenset(chosen.values()), paired=name in _PAIRED)
    if chosen != before:
        write_whole(folder.ports, json.dumps(chosen, indent=2))
    return chosen


def _ports_of_last_time(folder: DataFolder) -> dict[str, int]:
    with suppress(OSError, ValueError):
        kept = json.loads(folder.ports.read_text())
        if isinstance(kept, dict):
            return {name: port for name, port in kept.items() if isinstance(port, int)}
    return {}


def _choose(before: int | None, taken: frozenset[int], *, paired: bool) -> int:
    def fits(port: int) -> bool:
        return port not in taken and is_free(port) and (not paired or is_free(port + GRPC_OFFSET))

    if before and fits(before):
        return before
    for _ in range(1000):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - a port is no secret
        if fits(port):
            return port
    raise DevStackError("No free port was found on 127.0.0.1; stop some of the programs that listen there.")
