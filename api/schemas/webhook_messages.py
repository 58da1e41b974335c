"""Messages to webhooks, as `stafett/notifications/deliveries.py` builds them."""

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, JsonValue

from api.schemas.exports import Resource

_EXAMPLE_ID = "5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10"


def _build_example(kind: str) -> ConfigDict:
    data: dict[str, JsonValue] = {f"{kind}_id": _EXAMPLE_ID, "org_id": "nhf", "attempt": 1, "status": "completed"}
    example: dict[str, JsonValue] = {
        "type": f"{kind}.completed",
        "timestamp": "2026-11-29T11:06:44.123456Z",
        "data": data,
    }
    return ConfigDict(json_schema_extra={"examples": [example]})


class _JobEnded(Resource):
    org_id: str = Field(description="Id of the organisation.")
    attempt: int = Field(description="The attempt of the job that finished. A retry adds an attempt.")


class ExportEnded(_JobEnded):
    export_id: UUID = Field(description="Id of the export: `GET /bufdir-exports/{export_id}`.")
    status: Literal["completed", "completed_empty", "failed", "cancelled"] = Field(description="Outcome.")


class ReexportEnded(_JobEnded):
    reexport_id: UUID = Field(description="Id of the re-export: `GET /report-reexports/{reexport_id}`.")
    status: Literal["completed", "failed", "cancelled"] = Field(description="Outcome.")


class BulkRegistrationEnded(_JobEnded):
    bulk_registration_id: UUID = Field(description="Id of the batch: `GET /bulk-registrations/{batch_id}`.")
    status: Literal["completed", "completed_with_failures", "failed", "cancelled"] = Field(description="Outcome.")


class WebhookTested(Resource):
    webhook_id: UUID = Field(description="Id of the webhook.")
    org_id: str = Field(description="Id of the organisation.")


class _Message(Resource):
    timestamp: AwareDatetime = Field(description="When the job finished, the same at every attempt to deliver.")


class ExportEndedMessage(_Message):
    model_config = _build_example("export")

    type: Literal["export.completed", "export.completed_empty", "export.failed", "export.cancelled"] = Field(
        description="`export.` and the outcome."
    )
    data: ExportEnded


class ReexportEndedMessage(_Message):
    model_config = _build_example("reexport")

    type: Literal["reexport.completed", "reexport.failed", "reexport.cancelled"] = Field(
        description="`reexport.` and the outcome."
    )
    data: ReexportEnded


class BulkRegistrationEndedMessage(_Message):
    model_config = _build_example("bulk_registration")

    type: Literal[
        "bulk_registration.completed",
        "bulk_registration.completed_with_failures",
        "bulk_registration.failed",
        "bulk_registration.cancelled",
    ] = Field(description="`bulk_registration.` and the outcome.")
    data: BulkRegistrationEnded


class WebhookTestMessage(_Message):
    type: Literal["webhook.test"]
    timestamp: AwareDatetime = Field(description="When the test was requested.")
    data: WebhookTested
