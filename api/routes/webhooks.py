"""``/webhooks``: where an organisation's own systems are told, looked after by its admins."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.dependencies import CallerOf, Given, GuardedRoute, allowed
from api.headers import IdempotencyKey
from api.openapi import raises
from api.paging import page_of
from api.schemas.notifications import (
    DeliveryResource,
    NewWebhook,
    WebhookPage,
    WebhookQuery,
    WebhookResource,
    WebhookStart,
    WebhookWithDeliveries,
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
    dependencies=[allowed(Permission.ADMINISTER)],
    openapi_extra=raises(TooManyWebhooksError),
)
async def add(body: WebhookStart, caller: CallerOf, given: Given, request: Request, response: Response) -> NewWebhook:
    """Add a webhook. Its secret is in this answer and in no other one."""
    org_id = require_administrator(caller, body.org_id)
    await given.destinations.check(body.url)
    asked = WebhookInput(org_id=org_id, url=body.url, description=body.description)
    added = await run_in_threadpool(given.webhooks.add, caller, asked)
    response.headers["Location"] = f"{request.scope['path']}/{added.webhook.id}"
    response.headers["Cache-Control"] = "no-store"
    return NewWebhook.added(added)


@router.get("", operation_id="list_webhooks", dependencies=[allowed(Permission.ADMINISTER)])
def list_webhooks(caller: CallerOf, given: Given, wanted: Annotated[WebhookQuery, Query()]) -> WebhookPage:
    """The organisation's webhooks, newest first."""
    found = given.webhooks.list(caller, WebhookFilter(**wanted.wanted))
    shown, token = page_of(found, wanted.page_size, lambda webhook: (webhook.created_at, webhook.id))
    return WebhookPage(items=tuple(map(WebhookResource.of, shown)), next_page_token=token)


@router.get("/{webhook_id:uuid}", operation_id="get_webhook", dependencies=[allowed(Permission.ADMINISTER)])
def get(webhook_id: UUID, caller: CallerOf, given: Given) -> WebhookWithDeliveries:
    """One webhook, and what became of its latest deliveries."""
    return WebhookWithDeliveries.whole(given.webhooks.find(caller, webhook_id))


@router.post("/{webhook_id:uuid}/enable", operation_id="enable_webhook", dependencies=[allowed(Permission.ADMINISTER)])
def enable(webhook_id: UUID, caller: CallerOf, given: Given) -> WebhookResource:
    """Tell it again: from the next end on, once its receiver is back. Enabled already, it stays so."""
    return WebhookResource.of(given.webhooks.enable(caller, webhook_id))


@router.post(
    "/{webhook_id:uuid}/rotate-secret",
    operation_id="rotate_webhook_secret",
    dependencies=[allowed(Permission.ADMINISTER)],
)
def rotate_secret(webhook_id: UUID, caller: CallerOf, given: Given, response: Response) -> NewWebhook:
    """Sign with another secret, which is in this answer and in no other one; for a day the former one signs along."""
    rotated = given.webhooks.rotate_secret(caller, webhook_id)
    response.headers["Cache-Control"] = "no-store"
    return NewWebhook.added(rotated)


@router.delete(
    "/{webhook_id:uuid}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="remove_webhook",
    dependencies=[allowed(Permission.ADMINISTER)],
)
def remove(webhook_id: UUID, caller: CallerOf, given: Given) -> None:
    """Tell it nothing any more; what was waiting for it is given up."""
    given.webhooks.remove(caller, webhook_id)


@router.post(
    "/{webhook_id:uuid}/test",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="test_webhook",
    dependencies=[allowed(Permission.ADMINISTER)],
)
async def send_test(
    webhook_id: UUID,
    caller: CallerOf,
    given: Given,
    response: Response,
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> DeliveryResource:
    """Send a message of type `webhook.test`; the webhook shows what became of it."""
    accepted = await run_in_threadpool(given.webhooks.send_test, caller, webhook_id, idempotency_key)
    if accepted.is_new:
        given.starter.start(NotificationJob(org_id=accepted.delivery.org_id, subject_id=accepted.delivery.id))
    response.headers["Location"] = request.scope["path"].removesuffix("/test")
    response.headers["Retry-After"] = _POLL_SECONDS
    return DeliveryResource.model_validate(accepted.delivery)
