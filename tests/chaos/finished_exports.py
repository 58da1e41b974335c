"""What a finished export has left behind, to compare it with an undisturbed one."""

import psycopg

from stafett.storage.files import FileStorage
from stafett.testing import Json


def summarise_content(job: Json) -> tuple[str, int, int]:
    """Return what two equal exports share; the bundles differ, because a manifest names its export."""
    return job["file"]["content_sha256"], job["row_count"], job["partial_failure_count"]


def fetch_transitions(owner_url: str, export_id: str) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT status FROM audit_events WHERE subject_id = %s AND status IS NOT NULL ORDER BY seq"
        return [status for (status,) in connection.execute(query, [export_id]).fetchall()]


def list_object_names(storage: FileStorage, org_id: str, export_id: str) -> list[str]:
    return sorted(key.rpartition("/")[2] for key in storage.list_keys(f"exports/{org_id}/{export_id}/"))
