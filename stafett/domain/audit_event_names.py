"""The names of the events that the audit trail can have."""

from collections.abc import Sequence
from difflib import get_close_matches

AUDIT_EVENT_NAMES = (
    "activity_corrected",
    "activity_deleted",
    "api_key_made",
    "api_key_revoked",
    "bulk_cancelled",
    "bulk_completed",
    "bulk_completed_with_failures",
    "bulk_deleted",
    "bulk_edited",
    "bulk_failed",
    "bulk_requested",
    "bulk_started",
    "cancel_requested",
    "column_mapping_added",
    "deviations_downloaded",
    "export_cancelled",
    "export_completed",
    "export_deleted",
    "export_failed",
    "export_previewed",
    "export_requested",
    "failed_items_downloaded",
    "file_downloaded",
    "file_found",
    "file_missing",
    "files_removed",
    "link_issued",
    "member_invited",
    "member_removed",
    "member_role_changed",
    "mentor_added",
    "mentor_deactivated",
    "mentor_edited",
    "mentors_imported",
    "organisation_added",
    "organisation_renamed",
    "person_erased",
    "person_erasure_begun",
    "reexport_cancelled",
    "reexport_completed",
    "reexport_edited",
    "reexport_failed",
    "reexport_requested",
    "report_not_submitted",
    "report_submitted",
    "result_stored",
    "result_unchanged",
    "retry_requested",
    "stage_started",
    "version_changes_read",
    "webhook_added",
    "webhook_disabled",
    "webhook_enabled",
    "webhook_removed",
    "webhook_secret_rotated",
)


def find_nearest_event_names(name: str) -> Sequence[str]:
    """Return the names that resemble a mistyped one, or else those that contain it."""
    nearest = get_close_matches(name, AUDIT_EVENT_NAMES, cutoff=0.5)
    return nearest or [each for each in AUDIT_EVENT_NAMES if name and name in each]
