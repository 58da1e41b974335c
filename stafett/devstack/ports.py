"""Loopback ports: the ones of last time if they are free, because presigned links carry them."""

import json
import os
import random
import socket
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from stafett.devstack.data_folder import DataFolder, write_whole
from stafett.devstack.errors import DevStackError

# weed serves gRPC at each HTTP port + 10000. Above 11000 no browser refuses a port, and with the
# second one below 32768 no outgoing connection takes it between our choice and the server's bind.
GRPC_OFFSET = 10_000
_LOWEST, _HIGHEST = 11_000, 22_700
_PAIRED = ("s3", "s3_master", "s3_filer", "s3_volume", "s3_admin")
_SINGLE = ("postgres", "temporal", "temporal_ui", "temporal_metrics", "temporal_http", "api", "mail", "issuer")

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
    chosen, taken = dict[str, int](), set[int]()
    for name in _SINGLE + _PAIRED:
        chosen[name], *second = _choose(before.get(name), taken, paired=name in _PAIRED)
        taken |= {chosen[name], *second}
    if chosen != before:
        write_whole(folder.ports, json.dumps(chosen, indent=2))
    return chosen


def _ports_of_last_time(folder: DataFolder) -> dict[str, int]:
    with suppress(OSError, ValueError):
        kept = json.loads(folder.ports.read_text())
        if isinstance(kept, dict):
            return {name: port for name, port in kept.items() if isinstance(port, int)}
    return {}


def _is_somebodys(port: int) -> bool:
    """Weed names a socket in a folder of everybody's by this port, and leaves it there: another user's shuts us out."""
    left = Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock")
    return any(socket_file.stat().st_uid != os.geteuid() for socket_file in left)


def _choose(before: int | None, taken: set[int], *, paired: bool) -> list[int]:
    """The port, and its second one if it has one: neither is another server's first or second."""
    drawn = (random.randint(_LOWEST, _HIGHEST) for _ in range(1000))
    for port in chain([before] if before else [], drawn):
        both = [port, port + GRPC_OFFSET] if paired else [port]
        if not taken.intersection(both) and all(map(is_free, both)) and not (paired and _is_somebodys(both[1])):
            return both
    raise DevStackError("No free port was found on 127.0.0.1; stop some of the programs that listen there.")
