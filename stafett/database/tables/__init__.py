"""SQLModel classes of the tables. Checks, policies and grants are in the migrations; a test compares the two."""

from stafett.database.tables.activities import Activity, Attachment
from stafett.database.tables.audit import (
    AuditChainLock,
    AuditEvent,
    AuditVerification,
    AuditVerificationRequest,
    IdempotencyKey,
)
from stafett.database.tables.base import JsonObject, StrEnumType
from stafett.database.tables.bulk import BulkBatch, BulkItem, BulkTransition
from stafett.database.tables.erasures import Erasure
from stafett.database.tables.exports import (
    Export,
    ExportAttempt,
    ExportMappedPart,
    ExportPartialFailures,
    ExportStageCrashes,
    ExportStageOutput,
    ExportTransition,
    PreviewResult,
    UnknownExport,
)
from stafett.database.tables.maintenance import MaintenanceRun
from stafett.database.tables.mappings import ColumnMappingVersion
from stafett.database.tables.notifications import Delivery, Notification, Webhook, WebhookSecret
from stafett.database.tables.organisations import ApiKey, Membership, Organisation, PeerMentor, User, UserIdentity
from stafett.database.tables.reexports import Reexport, ReexportTransition
from stafett.database.tables.reports import Report, ReportFileVersion
from stafett.database.tables.sessions import LoginAttempt, UserSession

__all__ = [
    "Activity",
    "ApiKey",
    "Attachment",
    "AuditChainLock",
    "AuditEvent",
    "AuditVerification",
    "AuditVerificationRequest",
    "BulkBatch",
    "BulkItem",
    "BulkTransition",
    "ColumnMappingVersion",
    "Delivery",
    "Erasure",
    "Export",
    "ExportAttempt",
    "ExportMappedPart",
    "ExportPartialFailures",
    "ExportStageCrashes",
    "ExportStageOutput",
    "ExportTransition",
    "IdempotencyKey",
    "JsonObject",
    "LoginAttempt",
    "MaintenanceRun",
    "Membership",
    "Notification",
    "Organisation",
    "PeerMentor",
    "PreviewResult",
    "Reexport",
    "ReexportTransition",
    "Report",
    "ReportFileVersion",
    "StrEnumType",
    "UnknownExport",
    "User",
    "UserIdentity",
    "UserSession",
    "Webhook",
    "WebhookSecret",
]
