"""Execution of stages: a stage may run twice, even at the same time.

The first execution to commit its outputs wins; the objects of the other one are deleted.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from datetime import timedelta
from threading import Event, Thread
from typing import Protocol
from uuid import uuid4

from stafett.domain.errors import (
    ServiceUnavailableError,
    StafettError,
    StagedDataLostError,
    StaleAttemptError,
    WorkCancelledError,
)
from stafett.domain.export_job import ExportJob, ExportOutcome, StageResult
from stafett.domain.export_outputs import StagedPart, StageOutputs
from stafett.domain.export_status import ExportStatus
from stafett.domain.thread_progress import record_step
from stafett.exports.stage_inputs import StageInputs
from stafett.exports.stage_isolation import StageIsolation
from stafett.exports.stage_store import StageStore, SuspectedStageError
from stafett.storage.files import FileStorage, StoredObject
from stafett.storage.s3 import S3_SERVICE

TRANSIENT_ERRORS = (ServiceUnavailableError, OSError)
"""Transient infrastructure errors, which Temporal retries for as long as the activity may run."""

_PROGRESS_INTERVAL_SECONDS = 0.5


class Stage(Protocol):
    """The work of one stage: it reads inputs, writes objects and returns the outputs to commit."""

    def __call__(self, job: ExportJob, context: "StageContext", /) -> StageOutputs: ...


RecordStage = Callable[[ExportStatus, StageOutputs, timedelta], None]
"""Records the outputs of a stage that was executed and committed, and how long it took."""


class StageContext:
    """One execution of one stage, with its inputs, its own storage prefix and progress reports."""

    def __init__(
        self,
        inputs: StageInputs,
        storage: FileStorage,
        prefix: str,
        report_progress: Callable[[int, int], None],
        raise_if_cancelled: Callable[[], None],
    ) -> None:
        self.inputs = inputs
        self._storage = storage
        self._report_progress = report_progress
        self._raise_if_cancelled = raise_if_cancelled
        self._last_reported_at = time.monotonic()  # the start of a stage is recorded already
        self.prefix = prefix
        self.protected_keys: set[str] = set()
        """Keys that cleanup must not delete, because a committed part refers to them."""

    def put_part(self, number: int, content: bytes, row_count: int, name: str = "part") -> StagedPart:
        stored = self._storage.write(f"{self.prefix}{name}-{number:05}.arrow", [content])
        return StagedPart(key=stored.key, rows=row_count, sha256=stored.sha256)

    def copy_part(self, number: int, part: StagedPart, name: str = "part") -> StagedPart:
        """Copy another export's part within storage, and verify its hash."""
        copied = part.model_copy(update={"key": f"{self.prefix}{name}-{number:05}.arrow"})
        self._storage.copy(part.key, copied.key)
        self._storage.read_part(copied)
        return copied

    def put_file(self, name: str, chunks: Iterable[bytes], mime_type: str) -> StoredObject:
        return self._storage.write(self.prefix + name, chunks, mime_type)

    @contextmanager
    def interrupt_on_cancel(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Call ``interrupt`` from another thread if the activity is cancelled during a long blocking call."""
        is_finished = Event()

        def watch() -> None:
            while not is_finished.wait(_PROGRESS_INTERVAL_SECONDS):
                try:
                    self._raise_if_cancelled()
                except WorkCancelledError:
                    interrupt()
                    return

        watcher = Thread(target=copy_context().run, args=(watch,), name="cancel-watcher")
        watcher.start()
        try:
            yield
        except Exception:
            self._raise_if_cancelled()  # the interrupted call raises its own error
            raise
        finally:
            is_finished.set()
            watcher.join()

    def protect(self, keys: Collection[str]) -> None:
        self.protected_keys.update(keys)

    def unprotect(self, keys: Collection[str]) -> None:
        self.protected_keys.difference_update(keys)

    def delete(self, keys: Collection[str]) -> None:
        """Delete objects that are not needed any more, whatever the outcome of this execution."""
        self.unprotect(keys)
        with suppress(*TRANSIENT_ERRORS):  # retention deletes what remains
            self._storage.delete(keys)

    def report_progress(self, done: int, total: int, *, force: bool = False) -> None:
        """Record processed and total rows, at most twice a second; raises if the activity is cancelled."""
        self._raise_if_cancelled()
        record_step()
        now = time.monotonic()
        if force or now - self._last_reported_at >= _PROGRESS_INTERVAL_SECONDS:
            self._last_reported_at = now
            self._report_progress(done, total)


class StageRunner:
    """Runs stages; ``raise_if_cancelled`` raises ``WorkCancelledError`` when the activity is cancelled."""

    def __init__(
        self,
        stage_store: StageStore,
        storage: FileStorage,
        *,
        raise_if_cancelled: Callable[[], None],
        record_stage: RecordStage = lambda _stage, _outputs, _duration: None,
    ) -> None:
        self._stage_store = stage_store
        self._storage = storage
        self._raise_if_cancelled = raise_if_cancelled
        self._record_stage = record_stage
        self._isolation = StageIsolation(raise_if_cancelled)

    def run(self, job: ExportJob, stage: ExportStatus, execute: Stage) -> StageResult:
        """Run a stage and commit its outputs, unless an earlier execution has committed them.

        A stage that crashed its worker repeatedly, or was running beside one that did, then runs alone in its process.
        """
        try:
            with self._isolation.share():
                return self._run(job, stage, execute)
        except SuspectedStageError:
            with self._isolation.isolate():
                return self._run(job, stage, execute, is_isolated=True)

    def _run(self, job: ExportJob, stage: ExportStatus, execute: Stage, *, is_isolated: bool = False) -> StageResult:
        inputs = self._start(job, stage, is_isolated=is_isolated)
        if finished := inputs.outputs.get(stage):
            return StageResult(stage=stage, rows=finished.rows, reused=True)
        started_at, context = time.monotonic(), self._create_context(job, stage, inputs)
        try:
            outputs = execute(job, context)
        except BaseException as error:
            if not _is_unanswered_by_s3(error):  # deleting would wait as long again; retention deletes the objects
                self._delete_unprotected(context)
            self._record_error(job, stage, error)
            raise
        if self._commit(job, stage, outputs, context):
            self._record_stage(stage, outputs, timedelta(seconds=time.monotonic() - started_at))
        return StageResult(stage=stage, rows=outputs.rows)

    def _start(self, job: ExportJob, stage: ExportStatus, *, is_isolated: bool) -> StageInputs:
        try:
            return self._stage_store.start_stage(job, stage, is_isolated=is_isolated)
        except ServiceUnavailableError as error:
            with suppress(*TRANSIENT_ERRORS):
                self._stage_store.record_unavailable(job, stage, error.service)
            raise

    def run_final(self, job: ExportJob, complete: Callable[[ExportJob], ExportOutcome]) -> ExportOutcome:
        """Run the last stage, whose only output is the outcome, which may be committed already."""
        try:
            with suppress(StaleAttemptError):
                self._stage_store.start_final_stage(job, ExportStatus.RECORDING_AUDIT)
            return complete(job)
        except BaseException as error:
            self._record_error(job, ExportStatus.RECORDING_AUDIT, error)
            raise

    def _commit(self, job: ExportJob, stage: ExportStatus, outputs: StageOutputs, context: StageContext) -> bool:
        """Commit the outputs, and return whether no other execution was first.

        Keep the objects if the commit's result is unknown, because it may refer to them.
        """
        try:
            is_first = self._stage_store.finish_stage(job, stage, outputs)
        except StaleAttemptError:
            self._delete_unprotected(context)
            raise
        except TRANSIENT_ERRORS as error:
            self._record_error(job, stage, error)
            raise
        if not is_first:
            self._delete_unprotected(context)
        return is_first

    def _record_error(self, job: ExportJob, stage: ExportStatus, error: BaseException) -> None:
        with suppress(*TRANSIENT_ERRORS, StaleAttemptError):
            if isinstance(error, StagedDataLostError):
                self._stage_store.invalidate_outputs(job)
            if isinstance(error, ServiceUnavailableError):
                self._stage_store.record_unavailable(job, stage, error.service)
            if isinstance(error, (*TRANSIENT_ERRORS, WorkCancelledError)):
                self._stage_store.uncount_execution(job, stage)
            elif isinstance(error, Exception) and not isinstance(error, StafettError):
                self._stage_store.count_unexpected_error(job, stage)

    def _create_context(self, job: ExportJob, stage: ExportStatus, inputs: StageInputs) -> StageContext:
        def report_progress(done: int, total: int) -> None:
            with suppress(ServiceUnavailableError):  # not worth a retry: the next report follows soon
                self._stage_store.record_progress(job, stage, done, total)

        prefix = job.build_execution_prefix(stage, uuid4().hex[:8])
        return StageContext(inputs, self._storage, prefix, report_progress, self._raise_if_cancelled)

    def _delete_unprotected(self, context: StageContext) -> None:
        with suppress(*TRANSIENT_ERRORS):  # retention deletes what remains
            self._storage.delete_prefix(context.prefix, keep=context.protected_keys.__contains__)


def _is_unanswered_by_s3(error: BaseException) -> bool:
    return isinstance(error, ServiceUnavailableError) and error.service == S3_SERVICE
