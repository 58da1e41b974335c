"""Performing a stage: any of them may run twice, even at the same time.

Whoever commits its outputs first has done it, the other one's are thrown away.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from threading import Event, Thread
from typing import Protocol
from uuid import uuid4

from stafett.domain.errors import ServiceUnavailableError, StagedDataLostError, StaleAttemptError, WorkCancelledError
from stafett.domain.export_job import ExportJob, ExportOutcome, StageResult
from stafett.domain.export_outputs import StagedPart, StageOutputs
from stafett.domain.export_status import ExportStatus
from stafett.exports.stage_store import StageStore
from stafett.storage.files import FileStorage, StoredObject

TRANSIENT_ERRORS = (ServiceUnavailableError, OSError)
"""What is nobody's fault and passes: waited for, however long it takes."""

_PROGRESS_INTERVAL_SECONDS = 0.5


class Stage(Protocol):
    """What a stage does, apart from being a stage."""

    def __call__(self, job: ExportJob, context: "StageContext", /) -> StageOutputs: ...


class StageContext:
    """One execution of one stage: a place in storage of its own, and a way to say how far it has come."""

    def __init__(
        self,
        storage: FileStorage,
        prefix: str,
        report_progress: Callable[[int, int], None],
        raise_if_cancelled: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._report_progress = report_progress
        self._raise_if_cancelled = raise_if_cancelled
        self._last_reported_at = time.monotonic()  # that a stage has begun is told already
        self.prefix = prefix
        self.protected_keys: set[str] = set()
        """Objects that outlive an execution which ends without an answer, or as the second."""

    def put_part(self, number: int, content: bytes, row_count: int, name: str = "part") -> StagedPart:
        stored = self._storage.write(f"{self.prefix}{name}-{number:05}.arrow", [content])
        return StagedPart(key=stored.key, rows=row_count, sha256=stored.sha256)

    def copy_part(self, number: int, part: StagedPart, name: str = "part") -> StagedPart:
        """Another export's part, made one's own without its bytes leaving storage, and held against its hash."""
        copied = part.model_copy(update={"key": f"{self.prefix}{name}-{number:05}.arrow"})
        self._storage.copy(part.key, copied.key)
        self._storage.read_part(copied)
        return copied

    def put_file(self, name: str, chunks: Iterable[bytes], mime_type: str) -> StoredObject:
        return self._storage.write(self.prefix + name, chunks, mime_type)

    @contextmanager
    def interrupt_on_cancel(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Whoever may be silent for long in this block is interrupted when the work is to stop."""
        is_over = Event()

        def watch() -> None:
            while not is_over.wait(_PROGRESS_INTERVAL_SECONDS):
                try:
                    self._raise_if_cancelled()
                except WorkCancelledError:
                    interrupt()
                    return

        watcher = Thread(target=copy_context().run, args=(watch,), name="interrupter")
        watcher.start()
        try:
            yield
        except Exception:
            self._raise_if_cancelled()  # whoever was interrupted calls it an error
            raise
        finally:
            is_over.set()
            watcher.join()

    def protect(self, keys: Collection[str]) -> None:
        self.protected_keys.update(keys)

    def unprotect(self, keys: Collection[str]) -> None:
        self.protected_keys.difference_update(keys)

    def delete(self, keys: Collection[str]) -> None:
        """Nobody needs them, whatever becomes of this execution."""
        self.unprotect(keys)
        with suppress(*TRANSIENT_ERRORS):  # what is left then, retention finds
            self._storage.delete(keys)

    def report_progress(self, done: int, total: int, *, force: bool = False) -> None:
        """Rows done of rows to do, written down at most twice a second; and the place where a cancel is heard."""
        self._raise_if_cancelled()
        now = time.monotonic()
        if force or now - self._last_reported_at >= _PROGRESS_INTERVAL_SECONDS:
            self._last_reported_at = now
            self._report_progress(done, total)


class StageRunner:
    """Stages around pieces of work; ``go_on`` raises ``StoppedError`` when the work is to stop."""

    def __init__(
        self, stage_store: StageStore, storage: FileStorage, *, raise_if_cancelled: Callable[[], None]
    ) -> None:
        self._stage_store = stage_store
        self._storage = storage
        self._raise_if_cancelled = raise_if_cancelled

    def run(self, job: ExportJob, stage: ExportStatus, execute: Stage) -> StageResult:
        """Do a stage's work and commit it, unless an earlier execution has."""
        if (rows := self._stage_store.start_stage(job, stage)) is not None:
            return StageResult(stage=stage, rows=rows, reused=True)
        bench = self._create_context(job, stage)
        try:
            outputs = execute(job, bench)
        except BaseException as error:
            self._delete_unprotected(bench)
            self._record_error(job, stage, error)
            raise
        self._commit(job, stage, outputs, bench)
        return StageResult(stage=stage, rows=outputs.rows)

    def run_final(self, job: ExportJob, complete: Callable[[ExportJob], ExportOutcome]) -> ExportOutcome:
        """The stage that leaves nothing but the end, and whose end may stand already."""
        try:
            with suppress(StaleAttemptError):
                self._stage_store.restart_stage(job, ExportStatus.RECORDING_AUDIT)
            return complete(job)
        except BaseException as error:
            self._record_error(job, ExportStatus.RECORDING_AUDIT, error)
            raise

    def _commit(self, job: ExportJob, stage: ExportStatus, outputs: StageOutputs, context: StageContext) -> None:
        """After an error whose outcome nobody knows the objects stay: the commit may stand, and they be its own."""
        try:
            is_ours = self._stage_store.finish_stage(job, stage, outputs)
        except StaleAttemptError:
            self._delete_unprotected(context)
            raise
        except TRANSIENT_ERRORS as error:
            self._record_error(job, stage, error)
            raise
        if not is_ours:
            self._delete_unprotected(context)

    def _record_error(self, job: ExportJob, stage: ExportStatus, error: BaseException) -> None:
        with suppress(*TRANSIENT_ERRORS, StaleAttemptError):
            if isinstance(error, StagedDataLostError):
                self._stage_store.invalidate_outputs(job)
            if isinstance(error, ServiceUnavailableError):
                self._stage_store.record_unavailable(job, stage, error.service)
            if isinstance(error, (*TRANSIENT_ERRORS, WorkCancelledError)):
                self._stage_store.uncount_crash(job, stage)

    def _create_context(self, job: ExportJob, stage: ExportStatus) -> StageContext:
        def report(done: int, total: int) -> None:
            with suppress(ServiceUnavailableError):  # progress is told again in a moment, work is not done again for it
                self._stage_store.record_progress(job, stage, done, total)

        prefix = f"{job.key_prefix}{job.attempt}-{stage}-{uuid4().hex[:8]}/"
        return StageContext(self._storage, prefix, report, self._raise_if_cancelled)

    def _delete_unprotected(self, context: StageContext) -> None:
        with suppress(*TRANSIENT_ERRORS):  # what is left then, retention finds
            self._storage.delete_prefix(context.prefix, protected_keys=context.protected_keys)
