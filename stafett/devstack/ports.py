"""Chooses loopback ports: those of the previous start if they are free, because presigned URLs contain them.

A stack reserves its ports until it ends, because its servers listen only later, and are killed and started again.
"""

import json
import os
import random
import socket
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

from stafett.devstack.data_folder import DataFolder, write_atomically
from stafett.devstack.errors import DevStackError

# weed serves gRPC at each HTTP port + 10000. Above 11000 no browser blocks a port, and with the
# gRPC port below 32768 no outgoing connection takes it between our choice and the server's bind.
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
    "api_metrics",
    "worker_metrics",
)

Ports = Mapping[str, int]


def is_port_free(port: int) -> bool:
    """Check whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True


class PortReservations:
    """Ports that no other stack on this machine chooses: a UDP socket with the same number keeps each of them."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for reserved in self._sockets.values():
            reserved.close()

    def reserve(self, port: int) -> bool:
        """Reserve a port if it is free, or return False."""
        if not is_port_free(port):
            return False
        if port not in self._sockets:
            reserved = socket.socket(type=socket.SOCK_DGRAM)
            try:
                reserved.bind(("127.0.0.1", port))
            except OSError:
                reserved.close()
                return False
            self._sockets[port] = reserved
        return True


def choose_ports(folder: DataFolder, api_port: int | None, reservations: PortReservations) -> Ports:
    """Choose and reserve a port for every listener of the stack, and store the choice for the next start."""
    if api_port is not None and not reservations.reserve(api_port):
        raise DevStackError(f"Port {api_port} is taken; choose another --api-port or leave it out.")
    previous = load_ports(folder) | ({"api": api_port} if api_port is not None else {})
    chosen, taken = dict[str, int](), set[int]()
    for name in _PORTS_WITHOUT_GRPC + _PORTS_WITH_GRPC:
        chosen[name], *grpc_port = _choose_port(
            previous.get(name), taken, reservations, with_grpc=name in _PORTS_WITH_GRPC
        )
        taken |= {chosen[name], *grpc_port}
    if chosen != previous:
        write_atomically(folder.ports_file, json.dumps(chosen, indent=2))
    return chosen


def load_ports(folder: DataFolder) -> dict[str, int]:
    """Load the ports of the previous start, or of the running one."""
    with suppress(OSError, ValueError):
        stored = json.loads(folder.ports_file.read_text())
        if isinstance(stored, dict):
            return {name: port for name, port in stored.items() if isinstance(port, int)}
    return {}


def _has_foreign_socket(port: int) -> bool:
    """Check /tmp for another user's socket: weed names one by this port and leaves it there, which would block ours."""
    sockets = Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock")  # noqa: S108 - weed's choice, not ours
    return any(socket_file.stat().st_uid != os.geteuid() for socket_file in sockets)


def _choose_port(
    previous: int | None, taken: set[int], reservations: PortReservations, *, with_grpc: bool
) -> list[int]:
    """Return a free port, with its gRPC port if it needs one; no other server of the stack has either."""
    candidates = (random.randint(_MIN_PORT, _MAX_PORT) for _ in range(1000))  # noqa: S311 - a port is no secret
    for port in chain([previous] if previous else [], candidates):
        ports = [port, port + GRPC_OFFSET] if with_grpc else [port]
        if (
            not taken.intersection(ports)
            and not (with_grpc and _has_foreign_socket(ports[1]))
            and all(map(reservations.reserve, ports))
        ):
            return ports
    raise DevStackError("No free port was found on 127.0.0.1; stop some of the programs that listen there.")
