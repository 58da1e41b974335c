"""``/webhooks``: where an organisation's own systems are told, looked after by its admins."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.headers import IdempotencyKeyHeader
from api.openapi import raises
from api.paging import split_page
from api.schemas.notifications import (
    DeliveryResource,
    WebhookCreate,
    WebhookListQuery,
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
_POLL_SECONDS = "1"


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="add_webhook",
    dependencies=[require(Permission.ADMINISTER)],
    openapi_extra=raises(TooManyWebhooksError),
)
async def add_webhook(
    body: WebhookCreate, caller: CurrentCaller, services: ServicesDep, request: Request, response: Response
) -> WebhookWithSecret:
    """Add a webhook. Its secret is in this answer and in no other one."""
    org_id = require_administrator(caller, body.org_id)
    await services.destinations.check(body.url)
    asked = WebhookInput(org_id=org_id, url=body.url, description=body.description)
    added = await run_in_threadpool(services.webhooks.add, caller, asked)
    response.headers["Location"] = f"{request.scope['path']}/{added.webhook.id}"
    response.headers["Cache-Control"] = "no-store"
    return WebhookWithSecret.from_added_webhook(added)


@router.get("", operation_id="list_webhooks", dependencies=[require(Permission.ADMINISTER)])
def list_webhooks(
    caller: CurrentCaller, services: ServicesDep, query: Annotated[WebhookListQuery, Query()]
) -> WebhookPage:
    """The organisation's webhooks, newest first."""
    found = services.webhooks.list(caller, WebhookFilter(**query.filter_args))
    shown, token = split_page(found, query.page_size, lambda webhook: (webhook.created_at, webhook.id))
    return WebhookPage(items=tuple(map(WebhookResource.from_row, shown)), next_page_token=token)


@router.get("/{webhook_id:uuid}", operation_id="get_webhook", dependencies=[require(Permission.ADMINISTER)])
def get_webhook(webhook_id: UUID, caller: CurrentCaller, services: ServicesDep) -> WebhookWithDeliveries:
    """One webhook, and what became of its latest deliveries."""
    return WebhookWithDeliveries.from_details(services.webhooks.find(caller, webhook_id))


@router.post("/{webhook_id:uuid}/enable", operation_id="enable_webhook", dependencies=[require(Permission.ADMINISTER)])
def enable_webhook(webhook_id: UUID, caller: CurrentCaller, services: ServicesDep) -> WebhookResource:
    """Tell it again: from the next end on, once its receiver is back. Enabled already, it stays so."""
    return WebhookResource.from_row(services.webhooks.enable(caller, webhook_id))


@router.post(
    "/{webhook_id:uuid}/rotate-secret",
    operation_id="rotate_webhook_secret",
    dependencies=[require(Permission.ADMINISTER)],
)
def rotate_webhook_secret(
    webhook_id: UUID, caller: CurrentCaller, services: ServicesDep, response: Response
) -> WebhookWithSecret:
    """Sign with another secret, which is in this answer and in no other one; for a day the former one signs along."""
    rotated = services.webhooks.rotate_secret(caller, webhook_id)
    response.headers["Cache-Control"] = "no-store"
    return WebhookWithSecret.from_added_webhook(rotated)


@router.delete(
    "/{webhook_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="remove_webhook",
    dependencies=[require(Permission.ADMINISTER)],
)
def remove_webhook(webhook_id: UUID, caller: CurrentCaller, services: ServicesDep) -> None:
    """Tell it nothing any more; what was waiting for it is given up."""
    services.webhooks.remove(caller, webhook_id)


@router.post(
    "/{webhook_id:uuid}/test",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="test_webhook",
    dependencies=[require(Permission.ADMINISTER)],
)
async def send_test_webhook(
    webhook_id: UUID,
    caller: CurrentCaller,
    services: ServicesDep,
    response: Response,
    request: Request,
    idempotency_key: IdempotencyKeyHeader = None,
) -> DeliveryResource:
    """Send a message of type `webhook.test`; the webhook shows what became of it."""
    accepted = await run_in_threadpool(services.webhooks.send_test, caller, webhook_id, idempotency_key)
    if accepted.is_new:
        services.dispatcher.start(NotificationJob(org_id=accepted.delivery.org_id, subject_id=accepted.delivery.id))
    response.headers["Location"] = request.scope["path"].removesuffix("/test")
    response.headers["Retry-After"] = _POLL_SECONDS
    return DeliveryResource.model_validate(accepted.delivery)
