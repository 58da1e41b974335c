"""The tables as SQLModel sees them. Checks, policies and grants are in the migration; a test compares the two."""

from stafett.database.tables.activities import Activity, Attachment
from stafett.database.tables.audit import AuditEvent, IdempotencyKey
from stafett.database.tables.base import Code, Json
from stafett.database.tables.bulk import BulkItem, BulkRegistration, BulkTransition
from stafett.database.tables.erasures import ErasureRow
from stafett.database.tables.exports import (
    Export,
    ExportAttempt,
    ExportMappedPart,
    ExportPartialFailures,
    ExportStageOutput,
    ExportStageTries,
    ExportTransition,
    PreviewResult,
)
from stafett.database.tables.mappings import ColumnMappingVersion
from stafett.database.tables.notifications import DeliveryRow, Notification, Webhook, WebhookSecret
from stafett.database.tables.organisations import Membership, Organisation, PeerMentor, User
from stafett.database.tables.reexports import ReexportTransition, ReportReexport
from stafett.database.tables.reports import Report, ReportFileVersion

__all__ = [
    "Activity",
    "Attachment",
    "AuditEvent",
    "BulkItem",
    "BulkRegistration",
    "BulkTransition",
    "Code",
    "ColumnMappingVersion",
    "DeliveryRow",
    "ErasureRow",
    "Export",
    "ExportAttempt",
    "ExportMappedPart",
    "ExportPartialFailures",
    "ExportStageOutput",
    "ExportStageTries",
    "ExportTransition",
    "IdempotencyKey",
    "Json",
    "Membership",
    "Notification",
    "Organisation",
    "PeerMentor",
    "PreviewResult",
    "ReexportTransition",
    "Report",
    "ReportFileVersion",
    "ReportReexport",
    "User",
    "Webhook",
    "WebhookSecret",
]
