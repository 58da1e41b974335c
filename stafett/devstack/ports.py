"""Loopback ports: the ones of last time if they are free, because presigned links carry them."""

import json
import os
import random
import socket
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from stafett.devstack.data_folder import DataFolder, write_atomically
from stafett.devstack.errors import DevStackError

# weed serves gRPC at each HTTP port + 10000. Above 11000 no browser refuses a port, and with the
# second one below 32768 no outgoing connection takes it between our choice and the server's bind.
GRPC_OFFSET = 10_000
_MIN_PORT, _MAX_PORT = 11_000, 22_700
_PORTS_WITH_GRPC = ("s3", "s3_master", "s3_filer", "s3_volume", "s3_admin")
_PORTS_WITHOUT_GRPC = (
    "postgres",
    "temporal",
    "temporal_ui",
    "temporal_metrics",
    "temporal_http",
    "api",
    "mail",
    "issuer",
)

Ports = Mapping[str, int]


def is_port_free(port: int) -> bool:
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
    if api_port is not None and not is_port_free(api_port):
        raise DevStackError(f"Port {api_port} is taken; choose another --api-port or leave it out.")
    before = _load_previous_ports(folder) | ({"api": api_port} if api_port is not None else {})
    chosen, taken = dict[str, int](), set[int]()
    for name in _PORTS_WITHOUT_GRPC + _PORTS_WITH_GRPC:
        chosen[name], *second = _choose_port(before.get(name), taken, with_grpc=name in _PORTS_WITH_GRPC)
        taken |= {chosen[name], *second}
    if chosen != before:
        write_atomically(folder.ports_file, json.dumps(chosen, indent=2))
    return chosen


def _load_previous_ports(folder: DataFolder) -> dict[str, int]:
    with suppress(OSError, ValueError):
        kept = json.loads(folder.ports_file.read_text())
        if isinstance(kept, dict):
            return {name: port for name, port in kept.items() if isinstance(port, int)}
    return {}


def _has_foreign_socket(port: int) -> bool:
    """Weed names a socket in a folder of everybody's by this port, and leaves it there: another user's shuts us out."""
    left = Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock")  # noqa: S108 - weed's choice, not ours
    return any(socket_file.stat().st_uid != os.geteuid() for socket_file in left)


def _choose_port(previous: int | None, taken: set[int], *, with_grpc: bool) -> list[int]:
    """The port, and its second one if it has one: neither is another server's first or second."""
    drawn = (random.randint(_MIN_PORT, _MAX_PORT) for _ in range(1000))  # noqa: S311 - a port is no secret
    for port in chain([previous] if previous else [], drawn):
        both = [port, port + GRPC_OFFSET] if with_grpc else [port]
        if (
            not taken.intersection(both)
            and all(map(is_port_free, both))
            and not (with_grpc and _has_foreign_socket(both[1]))
        ):
            return both
    raise DevStackError("No free port was found on 127.0.0.1; stop some of the programs that listen there.")
