"""Copies of an erased person that the service cannot remove, each with the command or the step that removes it."""

import shlex
from pathlib import Path

from stafett.domain.erasure import RemainingCopy

_COMPACT_VOLUMES = r"printf 'lock\nvolume.vacuum -garbageThreshold=0.0001\nunlock\n' | weed shell"
_TABLES = "peer_mentors, activities, attachments, bulk_registrations, bulk_items, users, report_reexports, webhooks"


def list_remaining_copies(weed_shell: str | None = None) -> tuple[RemainingCopy, ...]:
    """List the copies. ``weed_shell`` is the command for the volumes of a development stack."""
    volumes = weed_shell or f'docker compose exec seaweedfs sh -c "{_COMPACT_VOLUMES}"'
    return (
        RemainingCopy(
            place="volumes of the S3 server: the bytes of deleted objects, until the volume is compacted",
            removed_by=f"for SeaweedFS, after a minute: {volumes}; for another server, see its manual",
        ),
        RemainingCopy(
            place="a bucket with versioning: former versions of the deleted objects",
            removed_by="a lifecycle rule of the bucket that expires former versions",
        ),
        RemainingCopy(
            place="pages of PostgreSQL: former versions of rows, until they are overwritten",
            removed_by=f"VACUUM (FULL, ANALYZE) {_TABLES}",
        ),
        RemainingCopy(
            place="backups of the database and of the bucket, archived write-ahead logs, lagging replicas",
            removed_by="delete them or let them expire; after a restore, run this command again",
        ),
        RemainingCopy(
            place="former versions of a mapping document: versions are append-only",
            removed_by="as a superuser: ALTER TABLE column_mappings DISABLE TRIGGER column_mappings_append_only; "
            "UPDATE …; ALTER TABLE column_mappings ENABLE ALWAYS TRIGGER column_mappings_append_only",
        ),
        RemainingCopy(
            place="files that were downloaded or handed in, sent emails, received webhooks",
            removed_by="inform their receivers",
        ),
    )


def format_weed_shell(folder: Path, weed: str, master_port: int, grpc_port: int) -> str:
    """Format the command for the embedded S3 server, whose shell needs the certificates in its folder."""
    shell = f"{shlex.quote(weed)} shell -master=127.0.0.1:{master_port}.{grpc_port}"
    return f"cd {shlex.quote(str(folder))} && {_COMPACT_VOLUMES.replace('weed shell', shell)}"
