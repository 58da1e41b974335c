"""The data folder of a stack: its paths, the checks before it is used, and its lock."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stafett.devstack.errors import DevStackError, translate_folder_errors

MARKER_FILE = ".stafett"
MIN_FREE_BYTES = 300_000_000
POSTGRES_MAJOR_VERSION = "18"


@dataclass(frozen=True)
class DataFolder:
    """Paths in one data folder, and the checks before the first write."""

    path: Path

    @classmethod
    def from_path(cls, path: Path) -> "DataFolder":
        return cls(path.expanduser().resolve())

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def temporal(self) -> Path:
        return self.path / "temporal"

    @property
    def s3(self) -> Path:
        return self.path / "s3"

    @property
    def mail(self) -> Path:
        return self.path / "mail"

    @property
    def secrets_file(self) -> Path:
        return self.path / "secrets.json"

    @property
    def codec_keys_file(self) -> Path:
        return self.path / "codec-keys"

    @property
    def ports_file(self) -> Path:
        return self.path / "ports.json"

    @property
    def pids_file(self) -> Path:
        return self.path / "pids.json"

    @property
    def stack_file(self) -> Path:
        return self.path / "stack.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "stack.lock"

    def log_file(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    @contextmanager
    def acquire_lock(self) -> Iterator[None]:
        """Prepare the folder, or reject it unchanged, and lock it against other stacks."""
        with translate_folder_errors(self.path):
            self._prepare_folder()
            lock = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock_exclusively(lock)
            with translate_folder_errors(self.path):
                self._create_subfolders()
            yield
        finally:
            os.close(lock)

    def find_running_pid(self) -> int | None:
        """Return the pid of the stack that has locked the folder, or None."""
        try:
            lock = os.open(self.lock_file, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.read(lock, 20) or b"0")
        finally:
            os.close(lock)
        return None

    def has_foreign_files(self) -> bool:
        """Check whether the folder has files but no marker, so that they are not Stafett's."""
        return not (self.path / MARKER_FILE).exists() and any(self.path.iterdir())

    def _prepare_folder(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.has_foreign_files():
            raise DevStackError(
                f"{self.path} contains files that are not Stafett's; choose an empty folder as --data-dir."
            )
        free = shutil.disk_usage(self.path).free
        if free < MIN_FREE_BYTES:
            raise DevStackError(
                f"The disk of {self.path} has {free // 1_000_000} MB left, and the stack requires "
                f"{MIN_FREE_BYTES // 1_000_000} MB; free some space or choose another --data-dir."
            )
        self._check_postgres_version()
        self.path.chmod(0o700)
        (self.path / MARKER_FILE).touch(mode=0o600)

    def _check_postgres_version(self) -> None:
        version_file = self.postgres / "PG_VERSION"
        if version_file.exists() and (version := version_file.read_text().strip()) != POSTGRES_MAJOR_VERSION:
            raise DevStackError(
                f"{self.postgres} was written by PostgreSQL {version}, and this stack runs {POSTGRES_MAJOR_VERSION}; "
                f"dump it with the old version or choose another --data-dir."
            )

    def _lock_exclusively(self, lock_fd: int) -> None:
        # `find_running_pid` takes a shared lock for an instant, so one failed attempt proves nothing.
        for _ in range(10):
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.03)
                continue
            os.ftruncate(lock_fd, 0)
            os.pwrite(lock_fd, str(os.getpid()).encode(), 0)
            return
        holder = os.pread(lock_fd, 20, 0).decode() or "unknown"
        raise DevStackError(
            f"A stack is already running on {self.path} (pid {holder}); stop it or choose another --data-dir."
        )

    def _create_subfolders(self) -> None:
        for folder in (self.temporal, self.s3, self.path / "logs"):
            folder.mkdir(mode=0o700, exist_ok=True)
        self.stack_file.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Replace a file atomically, readable by its owner only; readers see the old or the new content, never a part."""
    with translate_folder_errors(path.parent):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
