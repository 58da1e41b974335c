"""The messages that webhooks receive, for the OpenAPI document: no request reaches these functions."""

from typing import Annotated

from fastapi import APIRouter, Header

from api.schemas.webhook_messages import (
    BulkRegistrationEndedMessage,
    ExportEndedMessage,
    ReexportEndedMessage,
    WebhookTestMessage,
)

router = APIRouter(tags=["Webhooks"])
_VERIFICATION = (
    "Sent when a job has finished. The signature follows [Standard Webhooks](https://www.standardwebhooks.com): "
    "HMAC-SHA256 of `webhook-id`, `webhook-timestamp` and the raw body, joined by full stops, with the webhook's "
    "secret without `whsec_`, decoded from Base64. Verify it, and reject a timestamp older than five minutes, before "
    "the body is parsed. Answer with a 2xx status within 20 seconds. Any other status is retried for almost three "
    "days; 410 disables the webhook. A message can arrive more than once, with the same `webhook-id`."
)

MessageId = Annotated[
    str, Header(alias="webhook-id", description="Id of the message, the same at every attempt. Part of the signature.")
]
SentAt = Annotated[
    int,
    Header(alias="webhook-timestamp", description="Unix time of the attempt, in seconds. Part of the signature."),
]
Signature = Annotated[
    str,
    Header(
        alias="webhook-signature",
        description=(
            "`v1,` and the signature in Base64. For a day after the secret is rotated, there are two, separated by a "
            "space."
        ),
    ),
]


@router.post(
    "export-ended",
    status_code=204,
    operation_id="receive_export_ended",
    summary="An export has finished",
    description=_VERIFICATION,
)
def receive_export_ended(
    body: ExportEndedMessage, message_id: MessageId, sent_at: SentAt, signature: Signature
) -> None: ...


@router.post(
    "reexport-ended",
    status_code=204,
    operation_id="receive_reexport_ended",
    summary="A re-export has finished",
    description=_VERIFICATION,
)
def receive_reexport_ended(
    body: ReexportEndedMessage, message_id: MessageId, sent_at: SentAt, signature: Signature
) -> None: ...


@router.post(
    "bulk-registration-ended",
    status_code=204,
    operation_id="receive_bulk_registration_ended",
    summary="A bulk registration has finished",
    description=_VERIFICATION,
)
def receive_bulk_registration_ended(
    body: BulkRegistrationEndedMessage, message_id: MessageId, sent_at: SentAt, signature: Signature
) -> None: ...


@router.post(
    "test",
    status_code=204,
    operation_id="receive_webhook_test",
    summary="A test message",
    description=f"Sent on request, also to a disabled webhook. {_VERIFICATION.partition('. ')[2]}",
)
def receive_webhook_test(
    body: WebhookTestMessage, message_id: MessageId, sent_at: SentAt, signature: Signature
) -> None: ...
