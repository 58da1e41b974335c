"""Keys of objects name the attempt that wrote them, and everything else is recognised as something else."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import EXPORT_STAGES, ExportStatus
from stafett.domain.object_keys import ExportKey

EXPORT_ID = UUID("0f3c2b1a-0000-4000-8000-000000000001")
PERIOD = datetime(2026, 1, 1, tzinfo=UTC)


def build_job(attempt: int) -> ExportJob:
    return ExportJob(export_id=EXPORT_ID, org_id="nhf", attempt=attempt, period_start=PERIOD, period_end=PERIOD)


@given(st.integers(1, 1000), st.integers(1, 1000), st.sampled_from(EXPORT_STAGES))
def test_only_objects_of_later_attempts_are_spared(checked: int, writing: int, stage: ExportStatus) -> None:
    prefix = build_job(writing).build_execution_prefix(stage, uuid4().hex[:8])
    for name in ("part-00000.arrow", "nhf-bufdir-2026.xlsx", "nested/file"):
        assert ExportKey.parse(prefix + name) == ("nhf", EXPORT_ID, writing)
        assert build_job(checked).is_of_later_attempt(prefix + name) == (writing > checked)


@pytest.mark.parametrize("name", ["copies/report.csv", "report.csv", "2-report.csv", "02-x-0badcafe/y", "2-x-0badcafe"])
def test_object_that_no_attempt_wrote_is_of_attempt_zero(name: str) -> None:
    assert ExportKey.parse(f"exports/nhf/{EXPORT_ID}/{name}") == ("nhf", EXPORT_ID, 0)


@pytest.mark.parametrize(
    "key",
    [
        *("", "exports/", "exports/nhf/", "exports/nhf/readme.txt", f"exports/nhf/{EXPORT_ID}"),
        *(f"exports/nhf/{EXPORT_ID}/", f"exports/NHF/{EXPORT_ID}/x", f"exports//{EXPORT_ID}/x"),
        *(f"attachments/nhf/{EXPORT_ID}/x", f"checkpoints/nhf/{EXPORT_ID}/x", f"x/exports/nhf/{EXPORT_ID}/x"),
        f"exports/nhf/{str(EXPORT_ID).upper()}/x",
    ],
)
def test_other_key_is_not_an_export_key(key: str) -> None:
    assert ExportKey.parse(key) is None
