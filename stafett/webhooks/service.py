"""An organisation's webhooks, as its administrators manage them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple
from uuid import UUID, uuid4

from pydantic import Field
from sqlalchemy import delete, func, insert, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry
from stafett.database.idempotency import IdempotencyScope, claim_idempotency_key
from stafett.database.pagination import ListFilter, Page, load_page, select_visible
from stafett.database.session import Database
from stafett.database.tables import Delivery, Webhook, WebhookSecret
from stafett.domain.errors import AlreadyExistsError, NotFoundError, PermissionDeniedError, TooManyWebhooksError
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.domain.notification import Channel
from stafett.webhooks.signing import generate_secret

MAX_WEBHOOKS = 20
TEST_OPERATION = "webhooks.test"
_ADD_OPERATION, _ROTATE_OPERATION = "webhooks.add", "webhooks.rotate-secret"
WebhookStatus = Literal["active", "disabled"]
_MAX_DELIVERIES_SHOWN = 20


class WebhookFilter(ListFilter):
    """Filter of the list of webhooks."""

    status: WebhookStatus | None = Field(None, description="Only webhooks with this status.")


class WebhookInput(FrozenModel):
    """A webhook to add, whose URL is already checked."""

    org_id: str
    url: str
    description: str | None = None


class IssuedSecret(NamedTuple):
    """A webhook with a new secret, which is shown only in this response."""

    webhook: Webhook
    secret: str


class WebhookDetails(NamedTuple):
    webhook: Webhook
    deliveries: Sequence[Delivery]


class AcceptedWebhookTest(NamedTuple):
    """A test delivery; ``is_new`` is false if its key was already used."""

    delivery: Delivery
    is_new: bool


def require_administrator(caller: Caller, org_id: str | None = None) -> str:
    """Return the organisation whose webhooks the caller may manage; raise if there is none."""
    managed_org_id = org_id or caller.org_id or ""
    if not caller.can_administer(managed_org_id):
        raise PermissionDeniedError("Only an administrator may manage an organisation's webhooks.")
    return managed_org_id


class WebhookService:
    """The API's access to the ``webhooks`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, caller: Caller, request: WebhookInput, idempotency_key: str | None = None) -> IssuedSecret:
        """Add a webhook. A repeat raises ``AlreadyExistsError``, because the secret cannot be returned again."""
        org_id, secret, new_id = require_administrator(caller, request.org_id), generate_secret(), uuid4()
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            _claim_secret(session, IdempotencyScope(org_id, _ADD_OPERATION, idempotency_key), request, new_id)
            statement = insert(Webhook).values(id=new_id, created_by=caller.user_id, **request.model_dump())
            webhook = session.scalars(statement.returning(Webhook)).one()
            session.execute(insert(WebhookSecret).values(webhook_id=new_id, org_id=org_id, secret=secret))
            _append_audit_event(session, webhook, "webhook_added", caller)
            # The audit chain is locked by now, so of two concurrent additions the second one counts the first.
            _check_webhook_limit(session, org_id)
        return IssuedSecret(webhook, secret)

    def find(self, caller: Caller, webhook_id: UUID) -> WebhookDetails:
        """Load a webhook with its latest deliveries."""
        org_id = require_administrator(caller)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            webhook = _get_or_404(session, webhook_id)
            order = (col(Delivery.created_at).desc(), col(Delivery.id).desc())
            query = select(Delivery).where(Delivery.org_id == org_id, Delivery.webhook_id == webhook_id)
            return WebhookDetails(webhook, session.exec(query.order_by(*order).limit(_MAX_DELIVERIES_SHOWN)).all())

    def list(self, caller: Caller, filters: WebhookFilter) -> Page[Webhook]:
        org_id = require_administrator(caller)
        query = select_visible(Webhook, caller, filters)
        if filters.status is not None:
            is_disabled = col(Webhook.disabled_at).is_not(None)
            query = query.where(is_disabled if filters.status == "disabled" else ~is_disabled)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            return load_page(session, Webhook, query, filters)

    def enable(self, caller: Caller, webhook_id: UUID) -> Webhook:
        """Enable a disabled webhook; messages that it missed meanwhile are not sent."""
        with self._lock_webhook(caller, webhook_id) as (session, webhook):
            if webhook.disabled_at is not None:
                session.execute(update(Webhook).where(col(Webhook.id) == webhook_id).values(disabled_at=None))
                session.refresh(webhook)
                _append_audit_event(session, webhook, "webhook_enabled", caller)
            return webhook

    def rotate_secret(self, caller: Caller, webhook_id: UUID, idempotency_key: str | None = None) -> IssuedSecret:
        """Issue a new secret; a trigger stores the previous one, which also signs for a day.

        A repeat raises ``AlreadyExistsError``: it would replace the previous secret, which receivers still use.
        """
        secret = generate_secret()
        with self._lock_webhook(caller, webhook_id) as (session, webhook):
            scope = IdempotencyScope(webhook.org_id, _ROTATE_OPERATION, idempotency_key)
            _claim_secret(session, scope, webhook_id, uuid4())
            statement = update(WebhookSecret).where(col(WebhookSecret.webhook_id) == webhook_id)
            session.execute(statement.values(secret=secret))
            _append_audit_event(session, webhook, "webhook_secret_rotated", caller)
            return IssuedSecret(webhook, secret)

    def remove(self, caller: Caller, webhook_id: UUID) -> None:
        """Stop deliveries and delete the secret; past deliveries stay stored."""
        with self._lock_webhook(caller, webhook_id) as (session, webhook):
            session.execute(
                update(Webhook).where(col(Webhook.id) == webhook_id).values(deleted_at=func.clock_timestamp())
            )
            session.execute(delete(WebhookSecret).where(col(WebhookSecret.webhook_id) == webhook_id))
            _append_audit_event(session, webhook, "webhook_removed", caller)

    def send_test(self, caller: Caller, webhook_id: UUID, idempotency_key: str | None) -> AcceptedWebhookTest:
        """Enqueue a test delivery; a disabled webhook can be tested too, and stays disabled."""
        org_id, new_id = require_administrator(caller), uuid4()
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            _get_or_404(session, webhook_id)
            scope = IdempotencyScope(org_id, TEST_OPERATION, idempotency_key)
            delivery_id = claim_idempotency_key(session, scope, webhook_id, new_id)
            if delivery_id != new_id:
                return AcceptedWebhookTest(session.get_one(Delivery, delivery_id), is_new=False)
            statement = insert(Delivery).values(
                id=new_id, org_id=org_id, webhook_id=webhook_id, channel=Channel.WEBHOOK
            )
            return AcceptedWebhookTest(session.scalars(statement.returning(Delivery)).one(), is_new=True)

    @contextmanager
    def _lock_webhook(self, caller: Caller, webhook_id: UUID) -> Iterator[tuple[Session, Webhook]]:
        """Lock the webhook against concurrent changes."""
        org_id = require_administrator(caller)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            yield session, _get_or_404(session, webhook_id, for_update=True)


def build_webhook_audit_entry(webhook: Webhook, event: str, actor: str) -> AuditEntry:
    """Build an audit entry without the URL, which may itself contain a secret."""
    return AuditEntry(org_id=webhook.org_id, actor=actor, event=event, subject_kind="webhook", subject_id=webhook.id)


def _append_audit_event(session: Session, webhook: Webhook, event: str, caller: Caller) -> None:
    audit_trail.append_audit_event(session, build_webhook_audit_entry(webhook, event, caller.actor))


def _get_or_404(session: Session, webhook_id: UUID, *, for_update: bool = False) -> Webhook:
    webhook = session.get(Webhook, webhook_id, with_for_update=for_update)
    if webhook is None or webhook.deleted_at is not None:
        raise NotFoundError("There is no such webhook.")
    return webhook


def _claim_secret(session: Session, scope: IdempotencyScope, body: FrozenModel | UUID, new_id: UUID) -> None:
    if claim_idempotency_key(session, scope, body, new_id) != new_id:
        raise AlreadyExistsError("The secret was issued already. It is returned only once.")


def _check_webhook_limit(session: Session, org_id: str) -> None:
    count = select(func.count()).select_from(Webhook)
    if session.exec(count.where(Webhook.org_id == org_id, col(Webhook.deleted_at).is_(None))).one() > MAX_WEBHOOKS:
        raise TooManyWebhooksError(f"An organisation has at most {MAX_WEBHOOKS} webhooks; remove one first.")
