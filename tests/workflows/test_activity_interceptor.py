"""Errors as Temporal records them: codes and class names, never the text that they quote."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import ActivityFailureError, Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.interceptors import ActivityInterceptor, RecordRetry
from stafett.domain.errors import (
    ExportError,
    NotFoundError,
    ServiceUnavailableError,
    StagedDataLostError,
    StaleAttemptError,
)
from stafett.domain.export_status import ExportErrorCode
from stafett.monitoring.logs import make_formatter
from stafett.monitoring.metrics import RetryCause
from stafett.settings import LogSettings
from stafett.temporal.workers import run_workers

ERRORS = {
    "export_error": ExportError(ExportErrorCode.NO_DATA_FOR_PERIOD, "There are no activities in this period."),
    "staged_data_lost": StagedDataLostError(),
    "stale_attempt": StaleAttemptError("This attempt at the export is over."),
    "service_unavailable": ServiceUnavailableError("S3"),
    "database_unavailable": ServiceUnavailableError("A writable PostgreSQL server"),
    "receiver": ApplicationError("The message was not taken.", type="http_500"),
    "not_found": NotFoundError("There is no such thing."),
    "unexpected": KeyError("Kari Nordmann, 01017012345"),
}


@activity.defn
async def raise_error(kind: str) -> None:
    raise ERRORS[kind]


@pytest.mark.parametrize(
    ("kind", "error_type", "retry_cause"),
    [
        ("export_error", "no_data_for_period", None),
        ("staged_data_lost", "storage_unavailable", None),
        ("stale_attempt", "stale_attempt", None),
        ("service_unavailable", "ServiceUnavailableError", RetryCause.S3),
        ("database_unavailable", "ServiceUnavailableError", RetryCause.POSTGRESQL),
        ("receiver", "http_500", RetryCause.RECEIVER),
        ("not_found", "NotFoundError", None),
        ("unexpected", "KeyError", RetryCause.UNEXPECTED),
    ],
)
async def test_errors_keep_only_their_code_and_only_transient_ones_are_retryable(
    temporal: Client, caplog: pytest.LogCaptureFixture, kind: str, error_type: str, retry_cause: RetryCause | None
) -> None:
    retries: list[tuple[str, RetryCause]] = []
    error = await run_failing_activity(temporal, kind, lambda *retry: retries.append(retry))
    assert (error.type, error.non_retryable) == (error_type, retry_cause is None)
    assert retries == ([] if retry_cause is None else [("raise_error", retry_cause)])
    assert "Nordmann" not in str(error) + caplog.text
    assert error.__cause__ is None
    (record,) = [record for record in caplog.records if record.name == "temporalio.activity"]
    line = json.loads(make_formatter(LogSettings()).format(record))
    assert (line["event"], line["activity"], line["error"]) == ("activity_attempt_failed", "raise_error", error_type)
    assert "exception" not in line


async def test_retryability_is_a_detail_of_the_application_error(temporal: Client) -> None:
    assert list((await run_failing_activity(temporal, "staged_data_lost")).details) == [True]
    assert list((await run_failing_activity(temporal, "export_error")).details) == [False]


async def run_failing_activity(
    temporal: Client, kind: str, record_retry: RecordRetry = lambda _activity_type, _cause: None
) -> ApplicationError:
    queue = f"test-{uuid4().hex[:12]}"
    async with run_workers(
        Worker(
            temporal, task_queue=queue, activities=[raise_error], interceptors=[ActivityInterceptor(None, record_retry)]
        )
    ):
        with pytest.raises(ActivityFailureError) as failure:
            await temporal.execute_activity(
                raise_error,
                kind,
                id=queue,
                task_queue=queue,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    return cause
