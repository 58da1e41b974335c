"""Batches that correct the failed items of another one: at most one of them at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.bulk.service import BatchDetails
from stafett.database.session import Database
from stafett.domain.bulk_job import BulkJob, Chunk
from stafett.domain.errors import AlreadyCorrectedError, InvalidRequestError, InvalidStateError
from stafett.testing import ActivityFactory, ExportClient, Tenant
from tests.support.bulk import BulkClient, BulkHarness

Correct = Callable[..., BulkJob]


@pytest.fixture
def bulk(tenant: Tenant, api_database: Database, worker_database: Database) -> BulkHarness:
    return BulkHarness(tenant, api_database, worker_database)


@pytest.fixture
def bulk_client(export_client: ExportClient) -> BulkClient:
    return BulkClient(export_client.http_client, export_client.org_id, export_client.headers)


@pytest.fixture
def failed_batch(bulk: BulkHarness) -> BulkJob:
    job = bulk.accept([uuid4()])
    assert bulk.run(job).status == "failed"
    return job


@pytest.fixture
def correct(bulk: BulkHarness, failed_batch: BulkJob) -> Correct:
    """Accept a batch that corrects the failed one, by default with a mentor that does not exist."""
    return lambda mentor=None: bulk.accept([mentor or uuid4()], corrects=str(failed_batch.batch_id))


def test_second_correction_is_refused_and_names_the_first(
    bulk: BulkHarness, failed_batch: BulkJob, correct: Correct, activity_factory: ActivityFactory
) -> None:
    first = correct(activity_factory.create_mentor())
    for is_running in (True, False):  # the first one may still register something, or has done so
        with pytest.raises(AlreadyCorrectedError) as caught:
            correct()
        assert caught.value.correction_id == first.batch_id
        assert str(first.batch_id) in str(caught.value)
        with pytest.raises(AlreadyCorrectedError):
            bulk.service.validate(bulk.caller, bulk.build_request([uuid4()], corrects=str(failed_batch.batch_id)))
        if is_running:
            assert bulk.run(first).status == "completed"


def test_correction_that_failed_or_is_deleted_leaves_the_batch_to_another(
    bulk: BulkHarness, correct: Correct, activity_factory: ActivityFactory
) -> None:
    first = correct()
    bulk.run(first)
    second = correct(activity_factory.create_mentor())
    bulk.run(second)
    with pytest.raises(AlreadyCorrectedError):
        correct()
    bulk.commands.delete(bulk.admin, second.batch_id)
    third = correct()
    bulk.commands.cancel(bulk.caller, third.batch_id)
    bulk.registration.finish_cancel(third)
    assert correct().batch_id not in {first.batch_id, second.batch_id, third.batch_id}


def test_failed_correction_is_not_retried_beside_another_one(
    bulk: BulkHarness, correct: Correct, activity_factory: ActivityFactory
) -> None:
    first = correct()
    bulk.run(first)
    second = correct(activity_factory.create_mentor())
    with pytest.raises(AlreadyCorrectedError) as caught:
        bulk.retry(first)
    assert caught.value.correction_id == second.batch_id
    bulk.run(second)
    bulk.commands.delete(bulk.admin, second.batch_id)
    assert bulk.retry(first).attempt == 2


def test_corrected_batch_is_retried_only_after_its_correction_has_no_effect(
    bulk: BulkHarness, failed_batch: BulkJob, correct: Correct, activity_factory: ActivityFactory
) -> None:
    first = correct(activity_factory.create_mentor())
    for is_running in (True, False):
        with pytest.raises(AlreadyCorrectedError) as caught:
            bulk.retry(failed_batch)
        assert caught.value.correction_id == first.batch_id
        if is_running:
            assert bulk.run(first).status == "completed"
    bulk.commands.delete(bulk.admin, first.batch_id)
    assert bulk.retry(failed_batch).attempt == 2


def test_failed_correction_is_not_retried_after_a_retry_of_the_corrected_batch(
    bulk: BulkHarness, failed_batch: BulkJob, correct: Correct
) -> None:
    correction = correct()
    bulk.run(correction)
    retried = bulk.retry(failed_batch)
    for is_running in (True, False):
        with pytest.raises(InvalidStateError, match=f"Batch {failed_batch.batch_id}, .* has been retried since"):
            bulk.retry(correction)
        if is_running:
            bulk.run(retried)


def test_batch_whose_failed_correction_was_corrected_is_neither_retried_nor_corrected(
    bulk: BulkHarness, failed_batch: BulkJob, correct: Correct, activity_factory: ActivityFactory
) -> None:
    first = correct()
    bulk.run(first)
    second = bulk.accept([activity_factory.create_mentor()], corrects=str(first.batch_id))
    bulk.run(second)
    attempts: list[Callable[[], BulkJob]] = [correct, lambda: bulk.retry(failed_batch), lambda: bulk.retry(first)]
    for again in attempts:
        with pytest.raises(AlreadyCorrectedError) as caught:
            again()
        assert caught.value.correction_id == second.batch_id


def test_failed_correction_is_not_corrected_after_a_retry_of_the_corrected_batch(
    bulk: BulkHarness, failed_batch: BulkJob, correct: Correct
) -> None:
    correction = correct()
    bulk.run(correction)
    bulk.run(bulk.retry(failed_batch))
    with pytest.raises(InvalidStateError, match="has been retried since"):
        bulk.accept([uuid4()], corrects=str(correction.batch_id))


def test_cancelled_correction_that_registered_something_stays_in_effect(
    bulk: BulkHarness, failed_batch: BulkJob, activity_factory: ActivityFactory
) -> None:
    mentors = [activity_factory.create_mentor() for _ in range(501)]
    correction = bulk.accept(mentors, corrects=str(failed_batch.batch_id))
    first, *others = bulk.registration.start_attempt(correction).pending_chunks
    assert others
    bulk.registration.register_chunk(Chunk(job=correction, number=first))
    bulk.commands.cancel(bulk.caller, correction.batch_id)
    bulk.registration.finish_cancel(correction)
    with pytest.raises(AlreadyCorrectedError):
        bulk.retry(failed_batch)
    assert bulk.retry(correction).attempt == 2


def test_of_concurrent_retry_and_correction_one_is_accepted(
    bulk: BulkHarness, failed_batch: BulkJob, correct: Correct
) -> None:
    def attempt(start: Callable[[], BulkJob]) -> BulkJob | str:
        try:
            return start()
        except (AlreadyCorrectedError, InvalidStateError, InvalidRequestError) as error:
            return type(error).__name__

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(attempt, [correct, lambda: bulk.retry(failed_batch)] * 4))
    assert len([result for result in results if not isinstance(result, str)]) == 1


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_batch_without_failed_items_is_not_corrected(
    bulk: BulkHarness, activity_factory: ActivityFactory, end: str
) -> None:
    job = bulk.accept([activity_factory.create_mentor()])
    if end == "cancelled":
        bulk.commands.cancel(bulk.caller, job.batch_id)
        bulk.registration.finish_cancel(job)
    else:
        bulk.run(job)
    request = bulk.build_request([activity_factory.create_mentor()], corrects=str(job.batch_id))
    for send in (bulk.service.accept, bulk.service.validate):
        with pytest.raises(InvalidRequestError) as caught:
            send(bulk.caller, request)
        assert [(issue.pointer, issue.code) for issue in caught.value.issues] == [("/corrects", "no_failed_items")]


def test_of_concurrent_corrections_one_is_accepted(bulk: BulkHarness, failed_batch: BulkJob) -> None:
    def accept(mentor: UUID) -> BatchDetails | UUID:
        request = bulk.build_request([mentor], corrects=str(failed_batch.batch_id))
        try:
            return bulk.service.accept(bulk.caller, request)
        except AlreadyCorrectedError as error:
            return error.correction_id

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(accept, [uuid4() for _ in range(8)]))
    (accepted,) = (result for result in results if isinstance(result, BatchDetails))
    assert {result for result in results if isinstance(result, UUID)} == {accepted.batch.id}


def test_database_refuses_two_corrections_of_one_batch(failed_batch: BulkJob, correct: Correct, owner_url: str) -> None:
    first = correct()
    with psycopg.connect(owner_url) as owner, pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute(
            "INSERT INTO bulk_registrations (id, org_id, requested_by, activity, status, attempt, total, corrects)"
            " SELECT gen_random_uuid(), org_id, requested_by, activity, 'accepted', 1, 1, corrects"
            " FROM bulk_registrations WHERE id = %s AND corrects = %s",
            [first.batch_id, failed_batch.batch_id],
        )


async def test_refusal_has_a_code_and_the_id_of_the_correction(
    bulk_client: BulkClient, failed_batch: BulkJob, correct: Correct
) -> None:
    first = correct()
    response = await bulk_client.request_batch([uuid4()], corrects=str(failed_batch.batch_id))
    retry = await bulk_client.post(f"/{failed_batch.batch_id}/retry")
    for refused in (response, retry):
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (409, "already_corrected")
        assert problem["batch_id"] == str(first.batch_id)
