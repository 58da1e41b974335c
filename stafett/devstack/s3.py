"""SeaweedFS as the S3 server of the stack."""

import asyncio
import io
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from stafett.devstack.binaries import find_program
from stafett.devstack.child_process import ProcessSpec
from stafett.devstack.credentials import Credentials
from stafett.devstack.data_folder import DataFolder
from stafett.devstack.errors import translate_folder_errors
from stafett.devstack.loopback import HOST, is_port_open, minimal_environment
from stafett.devstack.options import BUCKET
from stafett.devstack.ports import GRPC_OFFSET, Ports, load_ports
from stafett.devstack.privileges import parent_death_prefix
from stafett.devstack.s3_security import write_security_files

# A bucket answers before the volumes with its objects are known. The probe therefore reads an object of the
# previous start and writes it again, in a separate bucket that no client uses.
_PROBE_BUCKET, _PROBE_KEY = "stafett-probe", "ready"
# -ip is the address that the parts of weed use for each other, -ip.bind the one they listen on.
_FLAGS = (
    *(f"-ip={HOST}", f"-ip.bind={HOST}", "-dir=data", f"-bucket={BUCKET},{_PROBE_BUCKET}"),
    *("-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
    # With the state of the previous start, the master is sometimes not yet leader when its volumes connect, and
    # they retry only after five seconds. With a new state it learns everything from them.
    *("-master.resumeState=false", "-master.telemetry=false", "-volume.preStopSeconds=0"),
    *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
    # Master and filer answer over HTTP only whether they are alive. With their HTTP interfaces, the master would issue
    # a token for any object to any client.
    "-disableHttp=true",
)


@dataclass(frozen=True)
class S3Server:
    folder: DataFolder
    credentials: Credentials
    ports: Ports
    durable: bool

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.ports['s3']}"

    def process_spec(self) -> ProcessSpec:
        scratch = self.folder.s3 / "scratch"
        parts = ("master", "filer", "volume", "admin")
        listeners = (
            f"-s3.port={self.ports['s3']}",
            f"-s3.allowedOrigins=http://{HOST}:{self.ports['api']}",
            *(f"-{part}.port={self.ports[f's3_{part}']}" for part in parts),
        )
        # Paths are relative to its own folder: a comma in a path would split -dir into two, and the path of a
        # socket may not be longer than about a hundred bytes.
        return ProcessSpec(
            name="s3",
            argv=(
                *parent_death_prefix(signal.SIGKILL),
                str(find_program("weed")),
                "-logdir=scratch",
                "mini",
                *_FLAGS,
                *listeners,
            ),
            environment=minimal_environment(scratch)
            | {
                "AWS_ACCESS_KEY_ID": self.credentials.s3_access_key,
                "AWS_SECRET_ACCESS_KEY": self.credentials.s3_secret_key,
            },
            cwd=self.folder.s3,
            log_file=self.folder.log_file("s3"),
            readiness_probe=self._is_ready,
            # A graceful stop takes a second, which tests save: a kill loses no data either.
            stop_signals=((signal.SIGINT, 3.0),) if self.durable else (),
            prepare=self._prepare,
        )

    async def _prepare(self) -> None:
        self.remove_sockets()
        with translate_folder_errors(self.folder.s3):
            shutil.rmtree(self.folder.s3 / "scratch", ignore_errors=True)
            for name in ("scratch", "data"):
                (self.folder.s3 / name).mkdir(mode=0o700, exist_ok=True)
            write_security_files(self.folder.s3)

    def remove_sockets(self) -> None:
        """Remove the sockets that weed creates in /tmp whatever its flags, and leaves there."""
        for part in ("master", "filer", "volume", "s3", "admin"):
            port = self.ports["s3" if part == "s3" else f"s3_{part}"] + GRPC_OFFSET
            with suppress(OSError):
                Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink()  # noqa: S108 - weed's choice, not ours

    async def _is_ready(self, _pid: int) -> bool:
        return await is_port_open(self.ports["s3"]) and await asyncio.to_thread(self._can_serve_objects)

    def _can_serve_objects(self) -> bool:
        with urllib3.PoolManager(retries=False, timeout=2.0) as pool:
            client = Minio(
                f"{HOST}:{self.ports['s3']}",
                access_key=self.credentials.s3_access_key,
                secret_key=self.credentials.s3_secret_key,
                secure=False,
                region="us-east-1",
                http_client=pool,
            )
            try:
                return client.bucket_exists(BUCKET) and _can_round_trip_probe(client)
            except (MinioException, urllib3.exceptions.HTTPError, ValueError):
                return False


def load_shell_address(data_dir: Path) -> tuple[Path, str, int, int]:
    """Return where SeaweedFS's shell runs, its program, and the ports of the master."""
    folder = DataFolder.from_path(data_dir)
    master_port = load_ports(folder)["s3_master"]
    return folder.s3, str(find_program("weed")), master_port, master_port + GRPC_OFFSET


def _can_round_trip_probe(client: Minio) -> bool:
    try:
        client.get_object(_PROBE_BUCKET, _PROBE_KEY).close()
    except S3Error as error:
        if error.code != "NoSuchKey":
            raise
    client.put_object(_PROBE_BUCKET, _PROBE_KEY, io.BytesIO(_PROBE_KEY.encode()), len(_PROBE_KEY))
    with client.get_object(_PROBE_BUCKET, _PROBE_KEY) as response:
        return bool(response.data == _PROBE_KEY.encode())
