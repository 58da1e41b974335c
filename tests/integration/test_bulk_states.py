"""Whatever is done to batches, in whatever order and by whichever run: the database agrees with a model of a page."""

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
from tests.bulk import Core, item, many_mentors, rows

FINAL = {"completed", "completed_with_failures", "failed", "cancelled"}
DAY = datetime(2026, 5, 4, tzinfo=UTC)
MENTORS, UNKNOWN = 4, "no mentor of ours"
ITEMS = st.lists(st.tuples(st.integers(0, MENTORS), st.integers(0, 5), st.booleans()), min_size=1, max_size=6)


@dataclass
class Item:
    mentor: UUID | None
    begins: datetime
    is_sound: bool
    chunk: int
    status: str = "pending"
    attempts: int = 0


@dataclass
class Batch:
    jobs: list[BulkJob]
    items: list[Item]
    status: str = "accepted"

    def pending(self, chunk: int | None = None) -> list[Item]:
        return [one for one in self.items if one.status == "pending" and chunk in {None, one.chunk}]

    def settle(self, items: list[Item], status: str, tries: int = 1) -> None:
        for one in items:
            one.status, one.attempts = status, one.attempts + tries

    def is_current(self, job: BulkJob) -> bool:
        return job.attempt == len(self.jobs)

    def is_at_work(self, job: BulkJob) -> bool:
        return self.is_current(job) and self.status in {"accepted", "running"}

    @property
    def end(self) -> str:
        registered = sum(one.status == "registered" for one in self.items)
        if registered == len(self.items):
            return "completed"
        return "completed_with_failures" if registered else "failed"


@dataclass
class Model:
    """What everybody's diary holds, and who is active."""

    active: dict[UUID, bool]
    diary: dict[UUID, list[datetime]] = field(default_factory=dict)

    def register(self, items: list[Item]) -> None:
        for one in sorted(items, key=lambda one: (one.mentor or UUID(int=0), one.begins)):
            one.status, one.attempts = self._outcome(one), one.attempts + 1

    def _outcome(self, one: Item) -> str:
        if one.mentor is None:
            return "mentor_not_found"
        if not self.active[one.mentor]:
            return "mentor_inactive"
        if not one.is_sound:
            return "invalid_activity"
        taken = self.diary.setdefault(one.mentor, [])
        if any(abs(other - one.begins) < timedelta(minutes=60) for other in taken):
            return "overlapping_activity"
        taken.append(one.begins)
        return "registered"


class Batches(RuleBasedStateMachine):
    """Every step that a person, a run of the present attempt or one of a former attempt can take."""

    batches: Bundle[Batch] = Bundle("batches")

    def __init__(self, core: Core, owner_url: str) -> None:
        super().__init__()
        self.core, self.owner_url = core, owner_url
        self.mentors = many_mentors(owner_url, core.tenant.org_id, MENTORS)
        self.model = Model(dict.fromkeys(self.mentors, True))
        self.all: list[Batch] = []

    @rule(target=batches, asked=ITEMS)
    def submit(self, asked: list[tuple[int, int, bool]]) -> Batch:
        said = [
            item(
                UNKNOWN if mentor == MENTORS else self.mentors[mentor],
                client_ref=str(place),
                overrides={
                    "starts_at": (DAY + slot * timedelta(minutes=30)).isoformat(),
                    "new_participants": 9 - 9 * sound,
                },
            )
            for place, (mentor, slot, sound) in enumerate(asked)
        ]
        request = self.core.request(said)
        job = self.core.accepted(said)
        items = [
            Item(one.mentor_id, DAY + slot * timedelta(minutes=30), sound, one.chunk)
            for one, (_, slot, sound) in zip(plan_items(request), asked, strict=True)
        ]
        self.all.append(Batch([job], items))
        return self.all[-1]

    @rule(batch=batches, which=st.integers(0, 3))
    def begin(self, batch: Batch, which: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        if not batch.is_at_work(job):
            with pytest.raises(StaleAttemptError):
                self.core.work.start_attempt(job)
            return
        plan = self.core.work.start_attempt(job)
        batch.status = "running"
        assert plan.pending_chunks == tuple(sorted({one.chunk for one in batch.pending()}))

    @rule(batch=batches, which=st.integers(0, 3), number=st.integers(0, 2))
    def register(self, batch: Batch, which: int, number: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        chunk = Chunk(job=job, number=number)
        if batch.is_at_work(job) and (batch.status == "running" or not batch.pending(number)):
            self.model.register(batch.pending(number))
            self.core.work.register_chunk(chunk)
            batch.status = batch.end if batch.status == "running" and not batch.pending() else batch.status
            return
        with pytest.raises(StaleAttemptError):
            self.core.work.register_chunk(chunk)

    @rule(batch=batches, which=st.integers(0, 3), number=st.integers(0, 2))
    def give_up(self, batch: Batch, which: int, number: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        chunk, left = Chunk(job=job, number=number), batch.pending(number)
        if left and not (batch.is_current(job) and batch.status in {"running", "cancelling"}):
            with pytest.raises(StaleAttemptError):
                self.core.work.fail_chunk(chunk)
            return
        batch.settle(left, "temporarily_unavailable")
        self.core.work.fail_chunk(chunk)

    @rule(batch=batches, which=st.integers(0, 3))
    def work_to_the_end(self, batch: Batch, which: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        if batch.is_at_work(job):
            for number in self.core.work.start_attempt(job).pending_chunks:
                self.model.register(batch.pending(number))
                self.core.work.register_chunk(Chunk(job=job, number=number))
            batch.status = batch.end
            assert self.core.work.finish(job).status == batch.status
        elif batch.is_current(job) and batch.status in FINAL:
            assert self.core.work.finish(job).status == batch.status
        else:
            with pytest.raises(StaleAttemptError):
                self.core.work.finish(job)

    @rule(batch=batches)
    def ask_to_cancel(self, batch: Batch) -> None:
        if batch.status in FINAL:
            with pytest.raises(InvalidStateError):
                self.core.control.cancel(self.core.caller, batch.jobs[-1].batch_id)
            return
        self.core.control.cancel(self.core.caller, batch.jobs[-1].batch_id)
        batch.status = "cancelling"

    @rule(batch=batches, which=st.integers(0, 3))
    def stop(self, batch: Batch, which: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        if batch.is_current(job) and batch.status not in FINAL:
            batch.settle(batch.pending(), "cancelled", tries=0)
            batch.status = "cancelled"
        assert self.core.work.finish_cancel(job).status == batch.status

    @rule(batch=batches, which=st.integers(0, 3))
    def end_from_outside(self, batch: Batch, which: int) -> None:
        job = batch.jobs[-1 - which % len(batch.jobs)]
        is_closed = batch.is_at_work(job)
        if is_closed:
            left = batch.pending()
            batch.settle(left, "temporarily_unavailable")
            batch.status = "failed" if left or batch.status == "accepted" else batch.end
        elif batch.is_current(job) and batch.status == "cancelling":
            return  # the sweeper starts another run, which stops
        assert self.core.work.close(job, "terminated") is is_closed

    @rule(batch=batches)
    def retry(self, batch: Batch) -> None:
        again = [one for one in batch.items if one.status not in {"registered", "pending"}]
        if batch.status not in FINAL or not again:
            with pytest.raises(InvalidStateError):
                self.core.retried(batch.jobs[-1])
            return
        batch.jobs.append(self.core.retried(batch.jobs[-1]))
        batch.settle(again, "pending", tries=0)
        batch.status = "accepted"

    @rule(batch=consumes(batches))
    def delete(self, batch: Batch) -> None:
        if batch.status in FINAL:
            self.core.control.delete(self.core.admin, batch.jobs[-1].batch_id)
            self.all.remove(batch)

    @rule(number=st.integers(0, MENTORS - 1))
    def turn(self, number: int) -> None:
        mentor = self.mentors[number]
        self.model.active[mentor] = not self.model.active[mentor]
        rows(self.owner_url, "UPDATE peer_mentors SET active = NOT active WHERE id = %s RETURNING 1", mentor)

    @invariant()
    def the_database_agrees(self) -> None:
        for batch in self.all:
            found = self.core.registrations.find(self.core.caller, batch.jobs[-1].batch_id)
            seen: list[Any] = [(one.error.code if one.error else one.status, one.attempts) for one in found.items]
            assert (found.batch.status, seen) == (batch.status, [(one.status, one.attempts) for one in batch.items])
            kinds = [one[0] for one in seen]
            counted = (found.batch.registered, found.batch.cancelled, found.batch.total - found.batch.failed)
            settled = kinds.count("registered"), kinds.count("cancelled")
            assert counted == (*settled, kinds.count("pending") + sum(settled))

    def teardown(self) -> None:
        query = "SELECT mentor_id, starts_at FROM activities WHERE mentor_id = ANY(%s)"
        written = sorted(rows(self.owner_url, query, self.mentors))
        assert written == sorted((mentor, begins) for mentor, taken in self.model.diary.items() for begins in taken)


@pytest.fixture
def core(tenant: Tenant, api_database: Database, worker_database: Database) -> Core:
    return Core(tenant, api_database, worker_database)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "ITEMS_PER_CHUNK", 2)


@pytest.mark.parametrize("sequences", [200, pytest.param(10_000, marks=pytest.mark.soak)])
def test_batches_behave_as_the_model_says(sequences: int, core: Core, owner_url: str) -> None:
    run_state_machine_as_test(
        partial(Batches, core, owner_url),  # type: ignore[arg-type]  # whatever makes a machine will do
        settings=settings(
            max_examples=sequences, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
