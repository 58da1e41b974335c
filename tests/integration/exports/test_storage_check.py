"""The comparison of the bucket with the database: what is missing, what is unknown, and that it changes nothing."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.database.maintenance import MaintenanceDatabase
from stafett.exports.storage_check import (
    MissingAttachment,
    MissingObjects,
    StorageCheck,
    StorageFindings,
    UnknownObjects,
)
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient
from tests.support.audit import create_environment
from tests.support.dev_stack import run_stafett
from tests.support.exports import export_prefix
from tests.support.fixture_types import RunWorker

NOTHING = StorageFindings(0, 0, [], [], [], 0, 0, 0)


@pytest.fixture
def maintenance(settings: Settings) -> Iterator[MaintenanceDatabase]:
    database = MaintenanceDatabase(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=1)
    yield database
    database.close()


class Organisation:
    """One organisation's part of the bucket and of the database."""

    def __init__(self, maintenance: MaintenanceDatabase, storage: FileStorage, org_id: str) -> None:
        self._maintenance, self._storage, self._org_id = maintenance, storage, org_id

    def check(self) -> StorageFindings:
        return StorageCheck(self._maintenance, self._storage).run(self._org_id)

    def list_keys(self, export_id: str) -> list[str]:
        return self._storage.list_keys(export_prefix(self._org_id, export_id))

    def write(self, key: str) -> None:
        self._storage.write(key, [b"x"])

    def delete(self, *keys: str) -> None:
        self._storage.delete(keys)


@pytest.fixture
def organisation(maintenance: MaintenanceDatabase, storage: FileStorage, org_id: str) -> Organisation:
    return Organisation(maintenance, storage, org_id)


@pytest.fixture
async def export_id(export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker) -> str:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export())
    assert job["status"] == "completed"
    return str(job["id"])


def compare(organisation: Organisation) -> dict[str, object]:
    """Return the findings that differ from those of an empty organisation, without the numbers of what was compared."""
    findings = organisation.check()._replace(exports=0, objects=0)
    return {name: value for name, value in findings._asdict().items() if value != getattr(NOTHING, name)}


async def test_complete_bucket_has_no_findings(organisation: Organisation, export_id: str) -> None:
    findings = organisation.check()
    assert findings.exports == 1
    assert findings.objects == len(organisation.list_keys(export_id)) > 1


async def test_missing_file_and_snapshot_are_found(organisation: Organisation, org_id: str, export_id: str) -> None:
    keys = organisation.list_keys(export_id)
    (file_key,) = (key for key in keys if key.endswith(".csv") and "generating_file" in key)
    snapshot_keys = [key for key in keys if "querying_activities" in key]
    organisation.delete(file_key, *snapshot_keys)
    missing = MissingObjects(org_id, UUID(export_id), lacks_file=True, others=len(snapshot_keys))
    assert compare(organisation)["missing"] == [missing]
    assert compare(organisation)["missing"] == [missing]  # it has deleted and recorded nothing


async def test_objects_of_unknown_exports_and_attempts_are_found(
    organisation: Organisation, org_id: str, export_id: str
) -> None:
    unknown = uuid4()
    organisation.write(f"{export_prefix(org_id, str(unknown))}1-generating_file-0badcafe/report.csv")
    organisation.write(f"{export_prefix(org_id, export_id)}2-generating_file-0badcafe/report.csv")
    found = compare(organisation)["unknown"]
    assert isinstance(found, list)
    assert sorted(found) == sorted([UnknownObjects(org_id, unknown, 1), UnknownObjects(org_id, UUID(export_id), 1)])


async def test_superfluous_objects_are_counted(organisation: Organisation, org_id: str, export_id: str) -> None:
    before = organisation.check()
    organisation.write(f"{export_prefix(org_id, export_id)}1-generating_file-0badcafe/report.csv")
    organisation.write(f"{export_prefix(org_id, export_id)}copy.csv")
    organisation.write(f"attachments/{org_id}/{uuid4()}")
    after = organisation.check()
    assert after.unreferenced == before.unreferenced + 1
    assert (after.unrecognised, after.unknown_attachments) == (1, 1)


async def test_missing_attachment_is_found(
    organisation: Organisation, org_id: str, activity_factory: ActivityFactory, owner_url: str
) -> None:
    activity = activity_factory.create_activity(activity_factory.create_mentor())
    with psycopg.connect(owner_url) as connection:
        row = connection.execute(
            "INSERT INTO attachments SELECT gen_random_uuid(), %s, %s, 'x.pdf', 'application/pdf', 1, repeat('0', 64),"
            " 'attachments/lost/' || gen_random_uuid() RETURNING id",
            [org_id, activity],
        ).fetchone()
    assert row is not None
    assert compare(organisation) == {"missing_attachments": [MissingAttachment(org_id, activity, row[0])]}


async def test_uncommitted_objects_of_an_open_export_are_no_finding(
    organisation: Organisation, export_client: ExportClient, org_id: str
) -> None:
    open_id = await export_client.start_export()
    organisation.write(f"{export_prefix(org_id, open_id)}1-querying_activities-0badcafe/part-0")
    assert compare(organisation) == {}


async def test_doctor_names_what_is_missing(
    organisation: Organisation, org_id: str, export_id: str, settings: Settings
) -> None:
    organisation.delete(*organisation.list_keys(export_id))
    result = await run_stafett("doctor", "--storage", env=create_environment(settings))
    assert result.exit_code == 1
    (line,) = (line for line in result.stdout.splitlines() if export_id in line)
    assert line.startswith(f"NOT missing objects: Export {export_id} of {org_id} lacks its file and ")
