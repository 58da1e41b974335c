"""The pages of webhooks: list, add, deliveries, test, new secret and removal."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator, Field, StringConstraints

from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.forms import ConsoleForm, FormErrors, InvalidFormError, parse_id
from api.console.pages import render_page
from api.console.security import SessionForm
from api.console.services import ADMIN_PATH
from api.console.sessions import ActiveSession, Administrator
from api.dependencies import ServicesDep
from api.schemas.notifications import WebhookResource, WebhookWithDeliveries
from stafett.database.pagination import PageToken
from stafett.domain.errors import AlreadyExistsError, ForbiddenDestinationError, TooManyWebhooksError
from stafett.domain.fields import ONE_LINE
from stafett.domain.notification import NotificationJob
from stafett.webhooks.destinations import MAX_URL_LENGTH
from stafett.webhooks.service import WebhookFilter, WebhookInput

_PATH = f"{ADMIN_PATH}/webhooks"
router = APIRouter(prefix=_PATH)


class WebhookForm(ConsoleForm):
    url: Annotated[str, BeforeValidator(str.strip), Field(min_length=1, max_length=MAX_URL_LENGTH)]
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), ONE_LINE] | None = None


@router.get("")
async def list_webhooks(
    request: Request,
    session: Administrator,
    services: ServicesDep,
    page_token: PageToken = None,
    notice: Annotated[str, Query()] = "",
) -> Response:
    page = await run_in_threadpool(services.webhooks.list, session.caller, WebhookFilter(page_token=page_token))
    webhooks, token = [WebhookResource.from_row(row) for row in page.items], page.next_page_token
    return render_page(
        request, "webhooks.html", session=session, webhooks=webhooks, next_page_token=token, notice=notice
    )


@router.get("/new")
async def show_new_webhook(request: Request, session: Administrator) -> Response:
    return _render_form(request, session, {"page": str(uuid4())})


@router.post("")
async def add_webhook(request: Request, session: Administrator, form: SessionForm, services: ServicesDep) -> Response:
    """Add the webhook and show its secret. A second press adds no second one, and shows no secret."""
    try:
        fields = WebhookForm.parse(form)
        await services.destinations.check(fields.url)
    except InvalidFormError as error:
        return _render_form(request, session, form, error.errors)
    except ForbiddenDestinationError:
        return _render_form(request, session, form, {"url": "url_invalid"})
    webhook = WebhookInput(org_id=session.org_id, url=fields.url, description=fields.description or None)
    key = f"console-{uuid5(parse_id(form.get('page')) or uuid4(), webhook.model_dump_json())}"
    try:
        issued = await run_in_threadpool(services.webhooks.add, session.caller, webhook, key)
    except AlreadyExistsError:
        return _render_secret(request, session, None, _PATH)
    except TooManyWebhooksError:
        return _render_form(request, session, form, {"url": "too_many_webhooks"})
    return _render_secret(request, session, issued.secret, f"{_PATH}/{issued.webhook.id}")


@router.get("/{webhook_id:uuid}")
async def show_webhook(
    request: Request,
    session: Administrator,
    services: ServicesDep,
    webhook_id: UUID,
    notice: Annotated[str, Query()] = "",
) -> Response:
    details = await run_in_threadpool(services.webhooks.find, session.caller, webhook_id)
    webhook = WebhookWithDeliveries.from_details(details)
    return render_page(request, "webhook.html", session=session, webhook=webhook, key=uuid4(), notice=notice)


@router.post("/{webhook_id:uuid}/enable")
async def enable_webhook(
    request: Request, session: Administrator, _form: SessionForm, services: ServicesDep, webhook_id: UUID
) -> Response:
    await run_in_threadpool(services.webhooks.enable, session.caller, webhook_id)
    return redirect(request, f"{_PATH}/{webhook_id}?notice=enabled")


@router.post("/{webhook_id:uuid}/test")
async def send_test(
    request: Request, session: Administrator, form: SessionForm, services: ServicesDep, webhook_id: UUID
) -> Response:
    """Send a test message; a second press sends no second one."""
    key = f"console-{parse_id(form.get('key')) or uuid4()}"
    accepted = await run_in_threadpool(services.webhooks.send_test, session.caller, webhook_id, key)
    if accepted.is_new:
        services.dispatcher.start(NotificationJob(org_id=accepted.delivery.org_id, subject_id=accepted.delivery.id))
    return redirect(request, f"{_PATH}/{webhook_id}?notice=test_sent")


@router.get("/{webhook_id:uuid}/secret")
async def confirm_rotation(
    request: Request, session: Administrator, services: ServicesDep, webhook_id: UUID
) -> Response:
    return await _render_confirmation(request, session, services, webhook_id, "rotate_secret")


@router.post("/{webhook_id:uuid}/secret")
async def rotate_secret(
    request: Request, session: Administrator, form: SessionForm, services: ServicesDep, webhook_id: UUID
) -> Response:
    """Replace the secret and show the new one. A second press replaces nothing."""
    key, path = f"console-{parse_id(form.get('key')) or uuid4()}", f"{_PATH}/{webhook_id}"
    try:
        issued = await run_in_threadpool(services.webhooks.rotate_secret, session.caller, webhook_id, key)
    except AlreadyExistsError:
        return _render_secret(request, session, None, path)
    return _render_secret(request, session, issued.secret, path)


@router.get("/{webhook_id:uuid}/remove")
async def confirm_removal(
    request: Request, session: Administrator, services: ServicesDep, webhook_id: UUID
) -> Response:
    return await _render_confirmation(request, session, services, webhook_id, "remove_webhook")


@router.post("/{webhook_id:uuid}/remove")
async def remove_webhook(
    request: Request, session: Administrator, _form: SessionForm, services: ServicesDep, webhook_id: UUID
) -> Response:
    await run_in_threadpool(services.webhooks.remove, session.caller, webhook_id)
    return redirect(request, f"{_PATH}?notice=removed")


def _render_form(
    request: Request, session: ActiveSession, fields: Mapping[str, str], errors: FormErrors | None = None
) -> Response:
    return render_page(
        request,
        "new_webhook.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{_PATH}/new",
        fields={name: fields.get(name, "") for name in (*WebhookForm.model_fields, "page")},
        errors=errors,
    )


def _render_secret(request: Request, session: ActiveSession, secret: str | None, back: str) -> Response:
    status = HTTPStatus.CREATED if secret else HTTPStatus.CONFLICT
    return render_page(
        request, "secret.html", session=session, status=status, address=back, back=back, kind="webhook", secret=secret
    )


async def _render_confirmation(
    request: Request, session: ActiveSession, services: ServicesDep, webhook_id: UUID, action: str
) -> Response:
    details = await run_in_threadpool(services.webhooks.find, session.caller, webhook_id)
    return render_page(
        request,
        "confirm_administration.html",
        session=session,
        action=action,
        name=details.webhook.url,
        key=uuid4(),
        back=f"{_PATH}/{webhook_id}",
    )
