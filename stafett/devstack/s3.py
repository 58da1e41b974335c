"""SeaweedFS as the S3 of the stack."""

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

from stafett.devstack.binaries import find
from stafett.devstack.child_process import Launch
from stafett.devstack.credentials import Credentials
from stafett.devstack.data_folder import DataFolder
from stafett.devstack.errors import folder_faults
from stafett.devstack.loopback import HOST, accepts, bare_environment
from stafett.devstack.options import BUCKET
from stafett.devstack.ports import GRPC_OFFSET, Ports
from stafett.devstack.privileges import die_with_us

# A bucket answers before the volumes that hold its objects are known; so something of the last
# start is read and written again, in a bucket of its own that nobody else will come across.
_PROBE_BUCKET, _PROBE = "stafett-probe", "ready"
# -ip is what weed tells its parts about each other, -ip.bind where it listens.
_FLAGS = (
    *(f"-ip={HOST}", f"-ip.bind={HOST}", "-dir=data", f"-bucket={BUCKET},{_PROBE_BUCKET}"),
    *("-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
    # With the state of last time the master is sometimes not yet leader when its volumes call, and
    # they call again after five seconds; a new state learns everything from them.
    *("-master.resumeState=false", "-master.telemetry=false", "-volume.preStopSeconds=0"),
    *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
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

    def launch(self) -> Launch:
        scratch = self.folder.s3 / "scratch"
        parts = ("master", "filer", "volume", "admin")
        listeners = (
            f"-s3.port={self.ports['s3']}",
            *(f"-{part}.port={self.ports[f's3_{part}']}" for part in parts),
        )
        # Paths from its own folder: a comma in a path would make two of -dir, and a socket's name
        # may not be longer than a hundred bytes.
        return Launch(
            name="s3",
            argv=(*die_with_us(signal.SIGKILL), str(find("weed")), "-logdir=scratch", "mini", *_FLAGS, *listeners),
            environment=bare_environment(scratch)
            | {
                "AWS_ACCESS_KEY_ID": self.credentials.s3_access_key,
                "AWS_SECRET_ACCESS_KEY": self.credentials.s3_secret_key,
            },
            cwd=self.folder.s3,
            log=self.folder.log("s3"),
            ready=self._answers,
            # It takes a second to end, which a test has no use for: killed, it loses nothing either.
            stop=((signal.SIGINT, 3.0),) if self.durable else (),
            prepare=self._prepare,
        )

    async def _prepare(self) -> None:
        self.sweep_sockets()
        with folder_faults(self.folder.s3):
            shutil.rmtree(self.folder.s3 / "scratch", ignore_errors=True)
            for name in ("scratch", "data"):
                (self.folder.s3 / name).mkdir(mode=0o700, exist_ok=True)

    def sweep_sockets(self) -> None:
        """Remove the sockets that weed puts into /tmp whatever it is told, and leaves there."""
        for part in ("master", "filer", "volume", "s3", "admin"):
            port = self.ports["s3" if part == "s3" else f"s3_{part}"] + GRPC_OFFSET
            with suppress(OSError):
                Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink()

    async def _answers(self, _pid: int) -> bool:
        return await accepts(self.ports["s3"]) and await asyncio.to_thread(self._serves_objects)

    def _serves_objects(self) -> bool:
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
                return client.bucket_exists(BUCKET) and _probe(client)
            except (MinioException, urllib3.exceptions.HTTPError, ValueError):
                return False


def _probe(client: Minio) -> bool:
    try:
        client.get_object(_PROBE_BUCKET, _PROBE).close()
    except S3Error as fault:
        if fault.code != "NoSuchKey":
            raise
    client.put_object(_PROBE_BUCKET, _PROBE, io.BytesIO(_PROBE.encode()), len(_PROBE))
    with client.get_object(_PROBE_BUCKET, _PROBE) as answer:
        return bool(answer.data == _PROBE.encode())
