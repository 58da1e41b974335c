from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from stafett.domain.export_job import ExportJob


@pytest.fixture
def job() -> ExportJob:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return ExportJob(
        export_id=uuid4(), org_id="nhf", attempt=1, period_start=start, period_end=start + timedelta(days=365)
    )
