import io
from datetime import UTC, datetime
from typing import BinaryIO, assert_never
from uuid import UUID, uuid4

import pytest
from pydantic import TypeAdapter, ValidationError

from stafett.domain.export import (
    MAX_PARTIAL_FAILURES,
    DownloadArtifact,
    ExportFailure,
    ExportFormat,
    ExportRequest,
    ExportResult,
    ExportSuccess,
    PartialFailureReport,
)
from stafett.domain.export_outputs import QueriedRows
from stafett.domain.export_status import (
    EXPORT_FINAL_STATUSES,
    EXPORT_STAGES,
    EXPORT_TRANSITIONS,
    ExportErrorCode,
    ExportStatus,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
REQUEST = {
    "org_id": "nhf",
    "requesting_user_id": str(uuid4()),
    "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
    "export_format": "csv",
}


def make_partial_failure(count: int = 1) -> PartialFailureReport:
    return PartialFailureReport(
        affected_row_indices=(3,), affected_count=count, failure_reason="?", code="x", sub_service_name="y"
    )


def describe(result: ExportSuccess | ExportFailure) -> str:
    match result:
        case ExportSuccess():
            return f"{result.row_count} rows"
        case ExportFailure():
            return result.error_code
        case _:
            assert_never(result)


def test_request_defaults_to_bokmal_for_excel_without_attachments() -> None:
    request = ExportRequest.model_validate(REQUEST)
    assert (request.locale, request.csv_profile, request.include_attachments) == ("nb", "excel", False)


def test_request_is_immutable() -> None:
    request = ExportRequest.model_validate(REQUEST)
    with pytest.raises(ValidationError, match="frozen"):
        request.locale = "en"  # type: ignore[misc]  # the assignment must fail


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("org_id", None),
        ("org_id", ""),
        ("org_id", "NHF; drop table"),
        ("requesting_user_id", None),
        ("requesting_user_id", "me"),
        ("reporting_period", {"start": "2026-02-01", "end": "2026-01-01"}),
        ("export_format", "pdf"),
        ("locale", "se"),
        ("csv_profile", "lotus"),
        ("unknown", 1),
    ],
)
def test_invalid_request_is_rejected(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        ExportRequest.model_validate(REQUEST | {field: value})


def test_parameters_contain_neither_organisation_nor_user() -> None:
    parameters = ExportRequest.model_validate(REQUEST).parameters.model_dump()
    assert not {"org_id", "requesting_user_id"} & set(parameters)


@pytest.mark.parametrize("failures", [(), (make_partial_failure(),)])
def test_success_may_have_partial_failures(failures: tuple[PartialFailureReport, ...]) -> None:
    success = ExportSuccess(
        audit_id=uuid4(),
        row_count=2,
        download_artifact=None,
        download_url=None,
        partial_failures=failures,
        completed_at=NOW,
    )
    assert describe(success) == "2 rows"
    assert TypeAdapter[object](ExportResult).validate_python(success.model_dump()) == success


@pytest.mark.parametrize("code", ExportErrorCode)
@pytest.mark.parametrize("audit_id", [None, uuid4()])
def test_failure_accepts_every_error_code(code: ExportErrorCode, audit_id: UUID | None) -> None:
    result = ExportFailure(audit_id=audit_id, error_code=code, message="no", failed_at=NOW)
    assert describe(result) == code.value
    assert TypeAdapter[object](ExportResult).validate_json(result.model_dump_json()) == result


def test_partial_failures_beyond_the_maximum_are_summarised_in_the_last() -> None:
    reports = PartialFailureReport.truncate(make_partial_failure(2) for _ in range(MAX_PARTIAL_FAILURES + 500))
    assert len(reports) == MAX_PARTIAL_FAILURES
    assert (reports[-1].code, reports[-1].affected_count) == ("summary", 2 * 501)
    assert sum(report.affected_count for report in reports) == 2 * (MAX_PARTIAL_FAILURES + 500)


def test_partial_failures_up_to_the_maximum_are_not_truncated() -> None:
    reports = [make_partial_failure() for _ in range(MAX_PARTIAL_FAILURES)]
    assert PartialFailureReport.truncate(reports) == tuple(reports)


def test_partial_failure_with_more_than_a_thousand_rows_is_rejected() -> None:
    with pytest.raises(ValidationError):
        PartialFailureReport(
            affected_row_indices=tuple(range(1001)),
            affected_count=1001,
            failure_reason="?",
            code="x",
            sub_service_name="y",
        )


def test_artifact_is_fetched_when_opened_and_closed_after_reading() -> None:
    opened: list[BinaryIO] = []

    def fetch() -> BinaryIO:
        opened.append(io.BytesIO(b"abc"))
        return opened[-1]

    artifact = DownloadArtifact.from_fetcher(fetch, file_name="r.csv", mime_type="text/csv", size=3)
    assert opened == []
    with artifact.open() as stream:
        assert stream.read() == b"abc"
    assert opened[0].closed
    with artifact.open() as stream:
        assert stream.read() == b"abc"
    assert len(opened) == 2


@pytest.mark.parametrize("export_format", ExportFormat)
def test_every_format_has_a_mime_type(export_format: ExportFormat) -> None:
    assert "/" in export_format.mime_type


def test_query_result_from_before_attachments_existed_is_readable() -> None:
    stored = {"parts": [], "snapshot_at": "2026-01-01T00:00:00Z", "mapping": {"version": 1, "sha256": "0" * 64}}
    assert QueriedRows.model_validate(stored).attachments is None


def test_every_stage_can_fail_or_be_cancelled() -> None:
    for status, following in EXPORT_TRANSITIONS.items():
        if status in {*EXPORT_STAGES, ExportStatus.INITIALISED}:
            assert {ExportStatus.FAILED, ExportStatus.CANCELLING} <= following
    assert set(EXPORT_TRANSITIONS) == set(ExportStatus)


def test_only_failed_and_cancelled_exports_can_be_retried() -> None:
    retryable = {status for status in EXPORT_FINAL_STATUSES if EXPORT_TRANSITIONS[status]}
    assert retryable == {ExportStatus.FAILED, ExportStatus.CANCELLED}
