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
from stafett.exports.stage_store import ExportRecord
from stafett.storage.files import FileStorage, StoredObject

AWAY = (ServiceUnavailableError, OSError)
"""What is nobody's fault and passes: waited for, however long it takes."""

_SECONDS_BETWEEN_PROGRESS = 0.5


class Work(Protocol):
    """What a stage does, apart from being a stage."""

    def __call__(self, job: ExportJob, bench: "Workbench", /) -> StageOutputs: ...


class Workbench:
    """One execution of one stage: a place in storage of its own, and a way to say how far it has come."""

    def __init__(
        self, storage: FileStorage, prefix: str, report: Callable[[int, int], None], go_on: Callable[[], None]
    ) -> None:
        self._storage = storage
        self._report = report
        self._go_on = go_on
        self._reported_at = time.monotonic()  # that a stage has begun is told already
        self.prefix = prefix
        self.kept: set[str] = set()
        """Objects that outlive an execution which ends without an answer, or as the second."""

    def put_part(self, number: int, content: bytes, rows: int, name: str = "part") -> StagedPart:
        stored = self._storage.write(f"{self.prefix}{name}-{number:05}.arrow", [content])
        return StagedPart(key=stored.key, rows=rows, sha256=stored.sha256)

    def copy_part(self, number: int, part: StagedPart, name: str = "part") -> StagedPart:
        """Another export's part, made one's own without its bytes leaving storage, and held against its hash."""
        copied = part.model_copy(update={"key": f"{self.prefix}{name}-{number:05}.arrow"})
        self._storage.copy(part.key, copied.key)
        self._storage.read_part(copied)
        return copied

    def put_file(self, name: str, chunks: Iterable[bytes], mime_type: str) -> StoredObject:
        return self._storage.write(self.prefix + name, chunks, mime_type)

    @contextmanager
    def interrupting(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Whoever may be silent for long in this block is interrupted when the work is to stop."""
        is_over = Event()

        def watch() -> None:
            while not is_over.wait(_SECONDS_BETWEEN_PROGRESS):
                try:
                    self._go_on()
                except WorkCancelledError:
                    interrupt()
                    return

        watcher = Thread(target=copy_context().run, args=(watch,), name="interrupter")
        watcher.start()
        try:
            yield
        except Exception:
            self._go_on()  # whoever was interrupted calls it an error
            raise
        finally:
            is_over.set()
            watcher.join()

    def keep(self, keys: Collection[str]) -> None:
        self.kept.update(keys)

    def release(self, keys: Collection[str]) -> None:
        self.kept.difference_update(keys)

    def discard(self, keys: Collection[str]) -> None:
        """Nobody needs them, whatever becomes of this execution."""
        self.release(keys)
        with suppress(*AWAY):  # what is left then, retention finds
            self._storage.remove(keys)

    def progress(self, done: int, total: int, *, at_once: bool = False) -> None:
        """Rows done of rows to do, written down at most twice a second; and the place where a cancel is heard."""
        self._go_on()
        now = time.monotonic()
        if at_once or now - self._reported_at >= _SECONDS_BETWEEN_PROGRESS:
            self._reported_at = now
            self._report(done, total)


class ExportStages:
    """Stages around pieces of work; ``go_on`` raises ``StoppedError`` when the work is to stop."""

    def __init__(self, record: ExportRecord, storage: FileStorage, *, go_on: Callable[[], None]) -> None:
        self._record = record
        self._storage = storage
        self._go_on = go_on

    def perform(self, job: ExportJob, stage: ExportStatus, work: Work) -> StageResult:
        """Do a stage's work and commit it, unless an earlier execution has."""
        if (rows := self._record.begin(job, stage)) is not None:
            return StageResult(stage=stage, rows=rows, reused=True)
        bench = self._workbench(job, stage)
        try:
            outputs = work(job, bench)
        except BaseException as error:
            self._sweep(bench)
            self._account_for(job, stage, error)
            raise
        self._commit(job, stage, outputs, bench)
        return StageResult(stage=stage, rows=outputs.rows)

    def conclude(self, job: ExportJob, complete: Callable[[ExportJob], ExportOutcome]) -> ExportOutcome:
        """The stage that leaves nothing but the end, and whose end may stand already."""
        try:
            with suppress(StaleAttemptError):
                self._record.enter(job, ExportStatus.RECORDING_AUDIT)
            return complete(job)
        except BaseException as error:
            self._account_for(job, ExportStatus.RECORDING_AUDIT, error)
            raise

    def _commit(self, job: ExportJob, stage: ExportStatus, outputs: StageOutputs, bench: Workbench) -> None:
        """After an error whose outcome nobody knows the objects stay: the commit may stand, and they be its own."""
        try:
            is_ours = self._record.finish(job, stage, outputs)
        except StaleAttemptError:
            self._sweep(bench)
            raise
        except AWAY as error:
            self._account_for(job, stage, error)
            raise
        if not is_ours:
            self._sweep(bench)

    def _account_for(self, job: ExportJob, stage: ExportStatus, error: BaseException) -> None:
        with suppress(*AWAY, StaleAttemptError):
            if isinstance(error, StagedDataLostError):
                self._record.void_outputs(job)
            if isinstance(error, ServiceUnavailableError):
                self._record.waits_for(job, stage, error.service)
            if isinstance(error, (*AWAY, WorkCancelledError)):
                self._record.answered(job, stage)

    def _workbench(self, job: ExportJob, stage: ExportStatus) -> Workbench:
        def report(done: int, total: int) -> None:
            with suppress(ServiceUnavailableError):  # progress is told again in a moment, work is not done again for it
                self._record.progress(job, stage, done, total)

        prefix = f"{job.key_prefix}{job.attempt}-{stage}-{uuid4().hex[:8]}/"
        return Workbench(self._storage, prefix, report, self._go_on)

    def _sweep(self, bench: Workbench) -> None:
        with suppress(*AWAY):  # what is left then, retention finds
            self._storage.remove_below(bench.prefix, spared=bench.kept)
