"""What a program on the same machine can do on the ports of the embedded S3 server without its keys."""

import asyncio
import io
import secrets
import socket
import ssl
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]  # the package ships no types
import pytest
import urllib3
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.retention import Retention

from stafett.devstack.ports import GRPC_OFFSET
from stafett.devstack.s3 import load_shell_address
from stafett.devstack.stack import RunningServers
from stafett.erasure.remaining_copies import format_weed_shell
from stafett.settings import Settings
from stafett.storage.s3 import create_s3_client

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and an empty SETTINGS frame
SETTINGS_FRAME_TYPE = 4
STATUS_PATHS = {"/", "/healthz", "/readyz", "/status", "/cluster/status", "/ui/index.html", "/metrics"}
READ_PATHS = (
    *sorted(STATUS_PATHS),
    *("/dir/assign", "/dir/status", "/dir/lookup?volumeId=1", "/vol/grow?count=1", "/vol/status", "/vol/vacuum"),
    *("/col/delete?collection={bucket}", "/stats/disk", "/debug/pprof/", "/dir/lookup?fileId={file_id}"),
    *("/buckets/{bucket}/{key}", "/buckets/", "/etc/", "/{file_id}"),
)
WRITE_PATHS = ("/buckets/{bucket}/{key}", "/buckets/{bucket}/?recursive=true", "/{file_id}", "/submit")


class StoredObject(NamedTuple):
    """An object, and its file id in SeaweedFS's volume, which an attacker could learn or guess."""

    bucket: str
    key: str
    content: bytes
    file_id: str

    def to_path(self, template: str) -> str:
        return template.format(bucket=self.bucket, key=self.key, file_id=self.file_id)


@pytest.fixture
def s3(settings: Settings) -> Minio:
    return create_s3_client(settings.s3, settings.s3.endpoint)


@pytest.fixture
def locked_object(s3: Minio, stack: RunningServers) -> StoredObject:
    """A locked object of a few random bytes in a new bucket."""
    bucket, key, content = f"locked-{secrets.token_hex(6)}", "object", secrets.token_bytes(40)
    s3.make_bucket(bucket, object_lock=True)
    retention = Retention(COMPLIANCE, retained_until())
    s3.put_object(bucket, key, io.BytesIO(content), len(content), retention=retention)
    return StoredObject(bucket, key, content, find_file_id(stack.folder.s3 / "data", bucket, content))


def retained_until() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


def find_file_id(data: Path, bucket: str, content: bytes) -> str:
    """Read the object's file id from its needle: a cookie of 4 bytes, an id of 8, two sizes of 4, then the content."""
    for volume in data.glob(f"{bucket}_*.dat"):
        volume_bytes = volume.read_bytes()
        if (found := volume_bytes.find(content)) >= 0:
            cookie, needle_id = volume_bytes[found - 20 : found - 16], volume_bytes[found - 16 : found - 8]
            return f"{volume.stem.rpartition('_')[2]},{needle_id.hex().lstrip('0')}{cookie.hex()}"
    raise AssertionError("the object is in no volume")


def list_inner_ports(stack: RunningServers, settings: Settings) -> set[int]:
    """List the ports on which the S3 server listens, without the public one."""
    connections = psutil.Process(stack.pids["s3"]).net_connections(kind="inet")
    ports = {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}
    assert settings.s3.endpoint.port in ports
    return ports - {settings.s3.endpoint.port}


def list_grpc_ports(ports: set[int], settings: Settings) -> set[int]:
    assert settings.s3.endpoint.port is not None
    return {port for port in ports if port - GRPC_OFFSET in ports | {settings.s3.endpoint.port}}


def request_without_keys(
    ports: set[int], locked_object: StoredObject
) -> Iterator[tuple[str, urllib3.BaseHTTPResponse]]:
    requests = [("GET", path, None) for path in READ_PATHS] + [
        (method, path, b"overwritten") for method in ("PUT", "POST", "DELETE") for path in WRITE_PATHS
    ]
    with urllib3.PoolManager(retries=False, timeout=5.0) as http:
        for port in sorted(ports):
            for method, template, body in requests:
                url = f"http://127.0.0.1:{port}{locked_object.to_path(template)}"
                yield f"{method} {template} :{port}", http.request(method, url, body=body, redirect=False)


def is_http2_served(port: int, context: ssl.SSLContext | None) -> bool:
    """Connect without a client certificate, and check for the SETTINGS frame with which a server begins."""
    received = b""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=5.0) as plain,
        nullcontext(plain) if context is None else context.wrap_socket(plain) as connection,
    ):
        connection.sendall(HTTP2_PREFACE)
        received = connection.recv(9)
    return len(received) == 9 and received[3] == SETTINGS_FRAME_TYPE


def test_inner_http_ports_neither_read_nor_change_an_object(
    stack: RunningServers, settings: Settings, s3: Minio, locked_object: StoredObject
) -> None:
    ports = list_inner_ports(stack, settings)
    http_ports = ports - list_grpc_ports(ports, settings)
    assert http_ports
    answered = {}
    for request, response in request_without_keys(http_ports, locked_object):
        assert locked_object.content not in response.data, request
        assert "authorization" not in {name.lower() for name in response.headers}, request
        answered[request] = response.status
    paths_served = {request.split()[1] for request, status in answered.items() if status < 400}
    assert paths_served <= STATUS_PATHS
    with s3.get_object(locked_object.bucket, locked_object.key) as response:
        assert response.data == locked_object.content
    (version,) = s3.list_objects(locked_object.bucket, include_version=True)
    assert version.object_name == locked_object.key


def test_inner_grpc_ports_reject_clients_without_a_certificate(stack: RunningServers, settings: Settings) -> None:
    ports = list_grpc_ports(list_inner_ports(stack, settings), settings)
    assert len(ports) >= 4
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    assert [port for port in sorted(ports) if is_http2_served(port, None) or is_http2_served(port, context)] == []


def test_grpc_port_serves_a_client_with_the_certificate(stack: RunningServers, settings: Settings) -> None:
    """Otherwise the rejection above would prove nothing."""
    context = ssl.create_default_context(cafile=stack.folder.s3 / "ca.pem")
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(stack.folder.s3 / "certificate.pem", stack.folder.s3 / "key.pem")
    ports = list_grpc_ports(list_inner_ports(stack, settings), settings)
    assert all(is_http2_served(port, context) for port in ports)


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_only_the_origin_of_the_api_may_read_objects_in_a_browser(
    stack: RunningServers, s3: Minio, locked_object: StoredObject, method: str
) -> None:
    url = s3.presigned_get_object(locked_object.bucket, locked_object.key)
    allowed = {}
    with urllib3.PoolManager(retries=False, timeout=5.0) as http:
        for origin in (stack.addresses.api_url, "http://evil.example", "null"):
            headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            response = http.request(method, url, headers=headers)
            allowed[origin] = response.headers.get("Access-Control-Allow-Origin")
    assert allowed == {stack.addresses.api_url: stack.addresses.api_url, "http://evil.example": None, "null": None}


async def test_listed_command_removes_the_bytes_of_a_deleted_object(
    stack: RunningServers, settings: Settings, s3: Minio
) -> None:
    """Deleting leaves the bytes in the volume, and the server frees them in the background."""
    bucket, key, content = settings.s3.bucket, f"erased-{secrets.token_hex(6)}", secrets.token_bytes(1000)
    s3.put_object(bucket, key, io.BytesIO(content), len(content))
    s3.remove_object(bucket, key)
    data = stack.folder.s3 / "data"
    assert find_file_id(data, bucket, content)
    command = format_weed_shell(*load_shell_address(stack.folder.path))

    async def is_gone() -> bool:
        process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.DEVNULL)
        assert await process.wait() == 0
        return not any(content in volume.read_bytes() for volume in data.glob("*.dat"))

    async with asyncio.timeout(120):
        while not await is_gone():
            pass


def test_security_files_are_readable_only_by_the_owner(stack: RunningServers) -> None:
    names = ("security.toml", "ca.pem", "certificate.pem", "key.pem")
    assert {(stack.folder.s3 / name).stat().st_mode & 0o777 for name in names} == {0o600}
