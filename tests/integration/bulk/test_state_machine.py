"""Random sequences of operations on batches, by current and stale runs, compared with a small model."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from stafett.database.session import Database
from stafett.domain import bulk
from stafett.domain.bulk import plan_items
from stafett.domain.bulk_job import BulkJob, Chunk
from stafett.domain.errors import InvalidStateError, StaleAttemptError
from stafett.testing import Tenant
from tests.support.bulk import BulkHarness, build_item, create_mentors, fetch_rows

FINAL = {"completed", "completed_with_failures", "failed", "cancelled"}
DAY = datetime(2026, 5, 4, tzinfo=UTC)
MENTORS, UNKNOWN = 4, "not a mentor id"
ITEMS = st.lists(st.tuples(st.integers(0, MENTORS), st.integers(0, 5), st.booleans()), min_size=1, max_size=6)


@dataclass
class Item:
    mentor: UUID | None
    starts_at: datetime
    is_valid: bool
    chunk: int
    status: str = "pending"
    attempts: int = 0


@dataclass
class Batch:
    jobs: list[BulkJob]
    items: list[Item]
    status: str = "accepted"

    def pending_items(self, chunk: int | None = None) -> list[Item]:
        return [item for item in self.items if item.status == "pending" and chunk in {None, item.chunk}]

    def settle(self, items: list[Item], status: str, attempts: int = 1) -> None:
        for item in items:
            item.status, item.attempts = status, item.attempts + attempts

    def is_current(self, job: BulkJob) -> bool:
        return job.attempt == len(self.jobs)

    def is_active(self, job: BulkJob) -> bool:
        return self.is_current(job) and self.status in {"accepted", "running"}

    @property
    def outcome(self) -> str:
        registered = sum(item.status == "registered" for item in self.items)
        if registered == len(self.items):
            return "completed"
        return "completed_with_failures" if registered else "failed"


@dataclass
class Model:
    """The expected state: which mentors are active, and when the registered activities of each mentor start."""

    active: dict[UUID, bool]
    start_times: dict[UUID, list[datetime]] = field(default_factory=dict)

    def register(self, items: list[Item]) -> None:
        for item in sorted(items, key=lambda item: (item.mentor or UUID(int=0), item.starts_at)):
            item.status, item.attempts = self._register_item(item), item.attempts + 1

    def _register_item(self, item: Item) -> str:
        if item.mentor is None:
            return "mentor_not_found"
        if not self.active[item.mentor]:
            return "mentor_inactive"
        if not item.is_valid:
            return "invalid_activity"
        taken = self.start_times.setdefault(item.mentor, [])
        if any(abs(start - item.starts_at) < timedelta(minutes=60) for start in taken):
            return "overlapping_activity"
        taken.append(item.starts_at)
        return "registered"


class Batches(RuleBasedStateMachine):
    """Every operation of a user, of a run of the current attempt and of runs of earlier attempts."""

    batches: Bundle[Batch] = Bundle("batches")

    def __init__(self, harness: BulkHarness, owner_url: str) -> None:
        super().__init__()
        self.harness, self.owner_url = harness, owner_url
        self.mentors = create_mentors(owner_url, harness.tenant.org_id, MENTORS)
        self.model = Model(dict.fromkeys(self.mentors, True))
        self.all: list[Batch] = []

    @rule(target=batches, planned=ITEMS)
    def submit(self, planned: list[tuple[int, int, bool]]) -> Batch:
        items = [
            build_item(
                UNKNOWN if mentor == MENTORS else self.mentors[mentor],
                client_ref=str(position),
                overrides={
                    "starts_at": (DAY + slot * timedelta(minutes=30)).isoformat(),
                    "new_participants": 9 - 9 * valid,
                },
            )
            for position, (mentor, slot, valid) in enumerate(planned)
        ]
        request = self.harness.build_request(items)
        job = self.harness.accept(items)
        expected = [
            Item(item.mentor_id, DAY + slot * timedelta(minutes=30), valid, item.chunk)
            for item, (_, slot, valid) in zip(plan_items(request), planned, strict=True)
        ]
        self.all.append(Batch([job], expected))
        return self.all[-1]

    @rule(batch=batches, which=st.integers(0, 3))
    def start_attempt(self, batch: Batch, which: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        if not batch.is_active(job):
            with pytest.raises(StaleAttemptError):
                self.harness.registration.start_attempt(job)
            return
        plan = self.harness.registration.start_attempt(job)
        batch.status = "running"
        assert plan.pending_chunks == tuple(sorted({item.chunk for item in batch.pending_items()}))

    @rule(batch=batches, which=st.integers(0, 3), number=st.integers(0, 2))
    def register(self, batch: Batch, which: int, number: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        chunk = Chunk(job=job, number=number)
        if batch.is_active(job) and (batch.status == "running" or not batch.pending_items(number)):
            self.model.register(batch.pending_items(number))
            self.harness.registration.register_chunk(chunk)
            batch.status = batch.outcome if batch.status == "running" and not batch.pending_items() else batch.status
            return
        with pytest.raises(StaleAttemptError):
            self.harness.registration.register_chunk(chunk)

    @rule(batch=batches, which=st.integers(0, 3), number=st.integers(0, 2))
    def fail_chunk(self, batch: Batch, which: int, number: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        chunk, pending = Chunk(job=job, number=number), batch.pending_items(number)
        if pending and not (batch.is_current(job) and batch.status in {"running", "cancelling"}):
            with pytest.raises(StaleAttemptError):
                self.harness.registration.fail_chunk(chunk)
            return
        batch.settle(pending, "temporarily_unavailable")
        self.harness.registration.fail_chunk(chunk)

    @rule(batch=batches, which=st.integers(0, 3))
    def run_to_completion(self, batch: Batch, which: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        if batch.is_active(job):
            for number in self.harness.registration.start_attempt(job).pending_chunks:
                self.model.register(batch.pending_items(number))
                self.harness.registration.register_chunk(Chunk(job=job, number=number))
            batch.status = batch.outcome
            assert self.harness.registration.finish(job).status == batch.status
        elif batch.is_current(job) and batch.status in FINAL:
            assert self.harness.registration.finish(job).status == batch.status
        else:
            with pytest.raises(StaleAttemptError):
                self.harness.registration.finish(job)

    @rule(batch=batches)
    def request_cancel(self, batch: Batch) -> None:
        if batch.status in FINAL:
            with pytest.raises(InvalidStateError):
                self.harness.commands.cancel(self.harness.caller, batch.jobs[-1].batch_id)
            return
        self.harness.commands.cancel(self.harness.caller, batch.jobs[-1].batch_id)
        batch.status = "cancelling"

    @rule(batch=batches, which=st.integers(0, 3))
    def finish_cancel(self, batch: Batch, which: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        if batch.is_current(job) and batch.status not in FINAL:
            batch.settle(batch.pending_items(), "cancelled", attempts=0)
            batch.status = "cancelled"
        assert self.harness.registration.finish_cancel(job).status == batch.status

    @rule(batch=batches, which=st.integers(0, 3))
    def close_after_termination(self, batch: Batch, which: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        is_closed = batch.is_active(job)
        if is_closed:
            pending = batch.pending_items()
            batch.settle(pending, "temporarily_unavailable")
            batch.status = "failed" if pending or batch.status == "accepted" else batch.outcome
        elif batch.is_current(job) and batch.status == "cancelling":
            return  # the sweep starts another run, which finishes the cancel
        outcome = self.harness.registration.close(job, "The run was terminated")
        assert outcome == (batch.status if is_closed else None)

    @rule(batch=batches)
    def retry(self, batch: Batch) -> None:
        retryable = [item for item in batch.items if item.status not in {"registered", "pending"}]
        if batch.status not in FINAL or not retryable:
            with pytest.raises(InvalidStateError):
                self.harness.retry(batch.jobs[-1])
            return
        batch.jobs.append(self.harness.retry(batch.jobs[-1]))
        batch.settle(retryable, "pending", attempts=0)
        batch.status = "accepted"

    @rule(batch=consumes(batches))
    def delete(self, batch: Batch) -> None:
        if batch.status in FINAL:
            self.harness.commands.delete(self.harness.admin, batch.jobs[-1].batch_id)
            self.all.remove(batch)

    @rule(number=st.integers(0, MENTORS - 1))
    def toggle_mentor(self, number: int) -> None:
        mentor = self.mentors[number]
        self.model.active[mentor] = not self.model.active[mentor]
        fetch_rows(self.owner_url, "UPDATE peer_mentors SET active = NOT active WHERE id = %s RETURNING 1", mentor)

    @invariant()
    def database_matches_model(self) -> None:
        for batch in self.all:
            details = self.harness.service.find(self.harness.caller, batch.jobs[-1].batch_id)
            stored: list[Any] = [
                (item.error.code if item.error else item.status, item.attempts) for item in details.items
            ]
            expected = [(item.status, item.attempts) for item in batch.items]
            assert (details.batch.status, stored) == (batch.status, expected)
            statuses = [status for status, _ in stored]
            counts = (details.batch.registered, details.batch.cancelled, details.batch.total - details.batch.failed)
            settled = statuses.count("registered"), statuses.count("cancelled")
            assert counts == (*settled, statuses.count("pending") + sum(settled))

    def teardown(self) -> None:
        query = "SELECT mentor_id, starts_at FROM activities WHERE mentor_id = ANY(%s)"
        stored = sorted(fetch_rows(self.owner_url, query, self.mentors))
        assert stored == sorted((mentor, start) for mentor, taken in self.model.start_times.items() for start in taken)


@pytest.fixture
def harness(tenant: Tenant, api_database: Database, worker_database: Database) -> BulkHarness:
    return BulkHarness(tenant, api_database, worker_database)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "ITEMS_PER_CHUNK", 2)


@pytest.mark.parametrize("sequences", [60, pytest.param(10_000, marks=pytest.mark.soak)])
def test_batches_behave_like_the_model(sequences: int, harness: BulkHarness, owner_url: str) -> None:
    run_state_machine_as_test(
        partial(Batches, harness, owner_url),  # type: ignore[arg-type]  # a factory of machines is accepted, too
        settings=settings(
            max_examples=sequences, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
