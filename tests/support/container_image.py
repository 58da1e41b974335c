"""The container image, built and run by buildah without a daemon, on a base that debootstrap makes."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # the package ships no types

from tests.support.dev_stack import CommandResult

_SUITE, _PYTHON = "trixie", "3.13"
_BASE_TAG = f"docker.io/library/python:{_PYTHON}-slim-{_SUITE}"
_IMAGE_TAG = "localhost/stafett:test"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_USER = "10001:10001"
_ENDED_BY_SIGTERM = "exited on terminated"
"""What buildah prints if a process ends by the signal itself, which Uvicorn raises again after its shutdown."""


def can_build_images() -> bool:
    """Return whether this machine has what a build needs: the two programs, and root's rights."""
    return os.geteuid() == 0 and all(map(shutil.which, ("buildah", "debootstrap")))


class ContainerImage:
    """One container of the image. Its processes see the network of this machine, and none of its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        stores = (f"--root={folder}/storage", f"--runroot={folder}/run", "--storage-driver=vfs")
        self._buildah = ("buildah", *stores)
        self._container = ""

    def build(self, repository: Path) -> None:
        """Make a base image of Debian's packages, and build the repository's Dockerfile on it."""
        base = self._folder / "base"
        packages = "--include=python3,python3-venv,ca-certificates"
        _run("debootstrap", "--variant=minbase", packages, _SUITE, str(base))
        (base / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        shutil.copy(_CERTIFICATES, base / _CERTIFICATES[1:])  # of this machine's own authorities, too
        scratch = self._call("from", "scratch")
        self._call("copy", scratch, str(base), "/")
        variables = [f"--env={name}={_CERTIFICATES}" for name in ("SSL_CERT_FILE", "PIP_CERT")]
        self._call("config", *variables, scratch)
        self._call("commit", scratch, _BASE_TAG)
        dockerfile = ("--file", str(repository / "deploy/Dockerfile"), "--build-arg", f"PYTHON={_PYTHON}")
        build = ("bud", "--isolation=chroot", "--pull=never", *dockerfile, "--tag", _IMAGE_TAG)
        self._call(*build, str(repository))
        self._container = self._call("from", "--pull=never", _IMAGE_TAG)

    async def run(self, *command: str, env: Mapping[str, str]) -> CommandResult:
        """Run one `stafett` command in the container, as the image's user."""
        process = await asyncio.create_subprocess_exec(
            *self._build_run(command, env), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        return CommandResult(process.returncode or 0, out.decode(), err.decode())

    @asynccontextmanager
    async def serve(self, *command: str, env: Mapping[str, str]) -> AsyncIterator[None]:
        """Run a process of the service during the block, and check that SIGTERM ends it."""
        with (self._folder / f"{command[0]}.log").open("w+") as log:
            process = await asyncio.create_subprocess_exec(*self._build_run(command, env), stdout=log, stderr=log)
            try:
                yield
            finally:
                _find_service(process.pid).terminate()  # buildah would kill it
                exit_code = await process.wait()
                log.seek(0)
                output = log.read()
            assert exit_code == 0 or _ENDED_BY_SIGTERM in output, output

    def _build_run(self, command: tuple[str, ...], env: Mapping[str, str]) -> tuple[str, ...]:
        variables = (f"--env={name}={text}" for name, text in env.items())
        run = ("run", "--isolation=chroot", "--user", _USER, *variables, self._container, "--", "stafett")
        return (*self._buildah, *run, *command)

    def _call(self, *args: str) -> str:
        return _run(*self._buildah, *args).splitlines()[-1]


def _find_service(buildah: int) -> psutil.Process:
    """Find the process of the service below the processes of buildah."""
    children = psutil.Process(buildah).children(recursive=True)
    return next(child for child in children if child.cmdline()[0] == "/opt/stafett/bin/python")


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout or "\n"
