"""Number of SQL statements of the frequent requests, besides those that begin and end transactions."""

from uuid import uuid4

from stafett.testing import ExportClient
from tests.support.statements import record_statements

EXPORTS = "/api/v1/bufdir-exports"
ACCESS, TENANT = 1, 1


async def test_start_of_an_export_takes_few_statements(export_client: ExportClient) -> None:
    await export_client.start_export()  # the token is verified once
    with record_statements() as statements:
        await export_client.request_export(idempotency_key=str(uuid4()))
    key, export, attempt, event = 1, 1, 1, 1
    assert len(statements) == ACCESS + TENANT + key + export + attempt + event


async def test_export_is_read_with_few_statements(export_client: ExportClient) -> None:
    export_id = await export_client.start_export()
    with record_statements() as statements:
        await export_client.get_export(export_id)
    export, attempts, partial_failures = 1, 1, 1
    assert len(statements) == ACCESS + TENANT + export + attempts + partial_failures
