"""What the engine is told of errors: codes and kinds, never what they quote."""

from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import ActivityFailureError, Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.interceptors import ActivityInterceptor
from stafett.domain.errors import (
    ExportError,
    NotFoundError,
    ServiceUnavailableError,
    StagedDataLostError,
    StaleAttemptError,
)
from stafett.domain.export_status import ExportErrorCode
from stafett.temporal.workers import run_workers

ERRORS = {
    "foreseen": ExportError(ExportErrorCode.NO_DATA_FOR_PERIOD, "There are no activities in this period."),
    "lost": StagedDataLostError(),
    "late": StaleAttemptError("This attempt at the export is over."),
    "away": ServiceUnavailableError("S3"),
    "odd": NotFoundError("There is no such thing."),
    "surprise": KeyError("Kari Nordmann, 01017012345"),
}


@activity.defn
async def fails(kind: str) -> None:
    raise ERRORS[kind]


@pytest.mark.parametrize(
    ("kind", "told", "is_final"),
    [
        ("foreseen", "no_data_for_period", True),
        ("lost", "storage_unavailable", True),
        ("late", "stale_attempt", True),
        ("away", "ServiceUnavailableError", False),
        ("odd", "NotFoundError", True),
        ("surprise", "KeyError", False),
    ],
)
async def test_an_error_is_told_by_its_code_and_only_what_may_pass_is_tried_again(
    temporal: Client, caplog: pytest.LogCaptureFixture, kind: str, told: str, *, is_final: bool
) -> None:
    error = await failure(temporal, kind)
    assert (error.type, error.non_retryable) == (told, is_final)
    assert "Nordmann" not in str(error) + caplog.text
    assert error.__cause__ is None


async def test_whether_it_can_be_tried_again_travels_with_the_code(temporal: Client) -> None:
    assert list((await failure(temporal, "lost")).details) == [True]
    assert list((await failure(temporal, "foreseen")).details) == [False]


async def failure(temporal: Client, kind: str) -> ApplicationError:
    queue = f"test-{uuid4().hex[:12]}"
    async with run_workers(
        Worker(temporal, task_queue=queue, activities=[fails], interceptors=[ActivityInterceptor()])
    ):
        with pytest.raises(ActivityFailureError) as failed:
            await temporal.execute_activity(
                fails,
                kind,
                id=queue,
                task_queue=queue,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    return cause
