"""Expected status of each operation for each caller, taken from the contract's role table and not from the API's code.

A new operation needs a line here; the test fails until it has one. The object that a path names belongs to the first
coordinator. The colleague is another coordinator of the organisation, the stranger an admin of another organisation.
The jobs have failed already, edits are sent without ``If-Match`` and the mapping is invalid: an operation that is
rejected for such a reason has passed the permission check.
"""

from collections.abc import Mapping

from tests.support.bulk import ACTIVITY

CALLERS = ("coordinator", "colleague", "admin", "auditor", "stranger", "operator")
_TABLE = """
                        coordinator colleague admin auditor stranger operator
    start_export             202       202     202    403     403      403
    preview_export           200       200     200    403     403      403
    list_exports             200       200     200    200     200      200
    get_export               200       200     200    200     404      200
    watch_export             200       200     200    200     404      200
    download_export          409       409     409    403     404      403
    download_deviations      409       409     409    403     404      403
    get_export_audit         200       403     200    200     404      403
    cancel_export            409       403     409    403     404      409
    retry_export             202       403     202    403     404      202
    delete_export            403       403     204    403     404      403

    start_reexport           202       202     202    403     404      403
    list_reexports           200       200     200    200     200      200
    get_reexport             200       200     200    200     404      200
    watch_reexport           200       200     200    200     404      200
    edit_reexport            428       403     428    403     404      403
    cancel_reexport          409       403     409    403     404      409

    start_bulk_registration  202       202     202    403     403      403
    list_bulk_registrations  200       200     200    200     200      200
    get_bulk_registration    200       200     200    200     404      200
    list_bulk_items          200       200     200    200     404      403
    watch_bulk_registration  200       200     200    200     404      200
    download_failed_items    200       200     200    403     404      403
    edit_bulk_registration   428       403     428    403     404      428
    cancel_bulk_registration 409       403     409    403     404      409
    retry_bulk_registration  202       403     202    403     404      202
    delete_bulk_registration 403       403     204    403     404      403
    list_activities          200       200     200    200     200      403
    get_activity             200       200     200    200     404      403
    correct_activity         428       428     428    403     404      403
    delete_activity          204       204     204    403     404      403

    list_reports             200       200     200    200     200      403
    get_report               200       200     200    200     404      403
    list_version_changes     409       409     409    403     404      403
    download_version_changes 409       409     409    403     404      403
    submit_report            428       428     428    403     404      403

    get_me                   200       200     200    200     200      200
    list_organisations       200       200     200    200     200      200
    add_organisation         403       403     403    403     403      201
    rename_organisation      403       403     200    403     404      200
    list_audit_events        403       403     200    200     404      403
    download_audit_events    403       403     200    200     404      403
    list_members             403       403     200    403     404      403
    invite_member            403       403     201    403     403      403
    change_member_role       403       403     200    403     404      403
    remove_member            403       403     204    403     404      403
    list_api_keys            403       403     200    403     404      403
    make_api_key             403       403     201    403     403      403
    revoke_api_key           403       403     204    403     404      403
    list_activity_types      200       200     200    200     200      200
    list_peer_mentors        200       200     200    200     200      403
    add_peer_mentor          201       201     201    403     403      403
    import_peer_mentors      200       200     200    403     200      403
    get_peer_mentor          200       200     200    200     404      403
    edit_peer_mentor         428       428     428    403     404      403
    get_column_mapping       200       200     200    200     404      403
    add_column_mapping       403       403     422    403     404      403

    list_notifications       200       200     200    200     200      200
    read_notification        200       404     404    404     404      404
    list_webhooks            403       403     200    403     200      403
    add_webhook              403       403     201    403     403      403
    get_webhook              403       403     200    403     404      403
    remove_webhook           403       403     204    403     404      403
    test_webhook             403       403     202    403     404      403
    enable_webhook           403       403     200    403     404      403
    rotate_webhook_secret    403       403     200    403     404      403

    decode_payloads          403       403     403    403     403      200
    encode_payloads          403       403     403    403     403      200
"""
EXPECTED_STATUSES: Mapping[str, Mapping[str, int]] = {
    line.split()[0]: dict(zip(CALLERS, map(int, line.split()[1:]), strict=True))
    for line in _TABLE.splitlines()[2:]
    if line.strip()
}

PUBLIC_OPERATIONS = frozenset({"get_liveness", "get_readiness"})
OWNER_ONLY = frozenset({"read_notification"})
"""Every role may call these; whether the caller owns the object decides."""

NEEDS_WORKER = frozenset({"preview_export"})

_PERIOD = {"start": "2026-01-01", "end": "2026-12-31"}
_EXPORT = {"org_id": "{org_id}", "reporting_period": _PERIOD, "export_format": "csv"}
REQUEST_BODIES: Mapping[str, object] = {
    "start_export": _EXPORT,
    "preview_export": _EXPORT,
    "start_reexport": {"report_id": "{report_id}"},
    "edit_reexport": {"label": "Til revisjonen"},
    "start_bulk_registration": {"org_id": "{org_id}", "activity": ACTIVITY, "items": [{"mentor_id": "Unknown"}]},
    "edit_bulk_registration": {"status": "cancelled"},
    "submit_report": {"submitted_at": "2026-02-01T12:00:00Z"},
    "add_column_mapping": {"language": "stafett-mapping/1"},
    "add_webhook": {"org_id": "{org_id}", "url": "https://127.0.0.1/hook"},
    "add_organisation": {"id": "{new_org_id}", "name": "Nyforbundet", "admin": "{new_address}"},
    "rename_organisation": {"name": "Prøveforbundet"},
    "invite_member": {"address": "{new_address}", "role": "coordinator"},
    "change_member_role": {"role": "auditor"},
    "make_api_key": {"name": "Integration", "role": "coordinator"},
    "add_peer_mentor": {"org_id": "{org_id}", "display_name": "Kari Nordmann"},
    "import_peer_mentors": "display_name\nKari Nordmann\n",
    "edit_peer_mentor": {"active": False},
    "correct_activity": {"duration_minutes": 60},
    "decode_payloads": {"payloads": []},
    "encode_payloads": {"payloads": []},
}
"""Request bodies for the organisation that owns the objects, whichever caller sends them."""
