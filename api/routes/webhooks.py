"""``/webhooks``: an organisation's webhooks, managed by its administrators."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from api.concurrency import limit_large_lists, run_in_threadpool
from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.headers import IdempotencyKeyHeader
from api.openapi import raises
from api.schemas.notifications import (
    DeliveryResource,
    WebhookCreate,
    WebhookPage,
    WebhookResource,
    WebhookWithDeliveries,
    WebhookWithSecret,
)
from stafett.domain.errors import TooManyWebhooksError
from stafett.domain.membership import Permission
from stafett.domain.notification import NotificationJob
from stafett.webhooks.service import WebhookFilter, WebhookInput, require_administrator

router = APIRouter(prefix="/webhooks", tags=["Webhooks"], route_class=GuardedRoute)
WebhookId = Annotated[UUID, Path(description="Id of the webhook.")]
_POLL_SECONDS = "1"


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="add_webhook",
    summary="Add a webhook",
    description=(
        "Add a webhook that receives a signed message (Standard Webhooks) when a job of the organisation finishes. "
        "The secret is returned only in this response."
    ),
    dependencies=[require(Permission.ADMINISTER)],
    openapi_extra=raises(TooManyWebhooksError),
)
async def add_webhook(
    body: WebhookCreate, caller: CurrentCaller, services: ServicesDep, request: Request, response: Response
) -> WebhookWithSecret:
    org_id = require_administrator(caller, body.org_id)
    await services.destinations.check(body.url)
    webhook = WebhookInput(org_id=org_id, url=body.url, description=body.description)
    added = await run_in_threadpool(services.webhooks.add, caller, webhook)
    response.headers["Location"] = f"{request.scope['path']}/{added.webhook.id}"
    response.headers["Cache-Control"] = "no-store"
    return WebhookWithSecret.from_added_webhook(added)


@router.get(
    "",
    operation_id="list_webhooks",
    summary="List webhooks",
    description="List the organisation's webhooks, newest first.",
    dependencies=[require(Permission.ADMINISTER), limit_large_lists()],
)
def list_webhooks(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[WebhookFilter, Query()]
) -> WebhookPage:
    webhooks, token = services.webhooks.list(caller, query)
    return WebhookPage(items=tuple(map(WebhookResource.from_row, webhooks)), next_page_token=token)


@router.get(
    "/{webhook_id:uuid}",
    operation_id="get_webhook",
    summary="Get a webhook",
    description="Get a webhook with its latest 20 deliveries.",
    dependencies=[require(Permission.ADMINISTER)],
)
def get_webhook(webhook_id: WebhookId, caller: CurrentCaller, services: ServicesDep) -> WebhookWithDeliveries:
    return WebhookWithDeliveries.from_details(services.webhooks.find(caller, webhook_id))


@router.post(
    "/{webhook_id:uuid}/enable",
    operation_id="enable_webhook",
    summary="Enable a webhook",
    description="Enable a disabled webhook. Deliveries resume with the next job. No effect if already enabled.",
    dependencies=[require(Permission.ADMINISTER)],
)
def enable_webhook(webhook_id: WebhookId, caller: CurrentCaller, services: ServicesDep) -> WebhookResource:
    return WebhookResource.from_row(services.webhooks.enable(caller, webhook_id))


@router.post(
    "/{webhook_id:uuid}/rotate-secret",
    operation_id="rotate_webhook_secret",
    summary="Rotate a webhook's secret",
    description=(
        "Replace the secret that signs the webhook's messages. The new secret is returned only in this response. "
        "For a day, messages are signed with both secrets."
    ),
    dependencies=[require(Permission.ADMINISTER)],
)
def rotate_webhook_secret(
    webhook_id: WebhookId, caller: CurrentCaller, services: ServicesDep, response: Response
) -> WebhookWithSecret:
    rotated = services.webhooks.rotate_secret(caller, webhook_id)
    response.headers["Cache-Control"] = "no-store"
    return WebhookWithSecret.from_added_webhook(rotated)


@router.delete(
    "/{webhook_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="remove_webhook",
    summary="Remove a webhook",
    description="Remove a webhook. Its pending deliveries are given up.",
    dependencies=[require(Permission.ADMINISTER)],
)
def remove_webhook(webhook_id: WebhookId, caller: CurrentCaller, services: ServicesDep) -> None:
    services.webhooks.remove(caller, webhook_id)


@router.post(
    "/{webhook_id:uuid}/test",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="test_webhook",
    summary="Test a webhook",
    description=(
        "Send a message of type `webhook.test`, also to a disabled webhook. `GET /webhooks/{webhook_id}` shows the "
        "state of the delivery."
    ),
    dependencies=[require(Permission.ADMINISTER)],
)
async def send_test_webhook(
    webhook_id: WebhookId,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    request: Request,
    idempotency_key: IdempotencyKeyHeader = None,
) -> DeliveryResource:
    accepted = await run_in_threadpool(services.webhooks.send_test, caller, webhook_id, idempotency_key)
    if accepted.is_new:
        services.dispatcher.start(NotificationJob(org_id=accepted.delivery.org_id, subject_id=accepted.delivery.id))
    response.headers["Location"] = request.scope["path"].removesuffix("/test")
    response.headers["Retry-After"] = _POLL_SECONDS
    return DeliveryResource.model_validate(accepted.delivery)
