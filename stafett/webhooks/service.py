"""An organisation's webhooks, as its admins know them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, update
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry
from stafett.database.idempotency import OperationKey, claim_key
from stafett.database.pagination import ListFilter, paginate
from stafett.database.session import Database
from stafett.database.tables import Delivery, Webhook, WebhookSecret
from stafett.domain.errors import NotFoundError, PermissionDeniedError, TooManyWebhooksError
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.domain.notification import Channel
from stafett.webhooks.signing import generate_secret

MAX_WEBHOOKS = 20
TEST_OPERATION = "webhooks.test"
_MAX_DELIVERIES_SHOWN = 20


class WebhookFilter(ListFilter):
    """Which webhooks a list shows."""

    status: str | None = None


class WebhookInput(FrozenModel):
    """A webhook that somebody would like to have, its URL vetted already."""

    org_id: str
    url: str
    description: str | None = None


class _WebhookTestBody(FrozenModel):
    webhook_id: UUID


class IssuedSecret(NamedTuple):
    """The one moment at which a secret is shown, a webhook's first one or another."""

    webhook: Webhook
    secret: str


class WebhookDetails(NamedTuple):
    webhook: Webhook
    deliveries: Sequence[Delivery]


class AcceptedWebhookTest(NamedTuple):
    """A test that will be sent; ``is_new`` unless its key was seen before."""

    delivery: Delivery
    is_new: bool


def require_administrator(caller: Caller, org_id: str | None = None) -> str:
    """The organisation whose webhooks the caller looks after."""
    wanted = org_id or caller.org_id or ""
    if not caller.can_administer(wanted):
        raise PermissionDeniedError("Only an administrator looks after an organisation's webhooks.")
    return wanted


class WebhookService:
    """The gateway's side of the ``webhooks`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, caller: Caller, request: WebhookInput) -> IssuedSecret:
        org_id, secret, new_id = require_administrator(caller, request.org_id), generate_secret(), uuid4()
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            row = insert(Webhook).values(id=new_id, created_by=caller.user_id, **request.model_dump())
            webhook = session.scalars(row.returning(Webhook)).one()
            session.execute(insert(WebhookSecret).values(webhook_id=new_id, org_id=org_id, secret=secret))
            audit_trail.append_audit_event(
                session,
                build_webhook_audit_entry(webhook, "webhook_added", audit_trail.actor_from_user_id(caller.user_id)),
            )
            _check_webhook_limit(session, org_id)  # here the chain is held: of two at once one sees the other's
        return IssuedSecret(webhook, secret)

    def find(self, caller: Caller, webhook_id: UUID) -> WebhookDetails:
        """With its latest deliveries."""
        org_id = require_administrator(caller)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            webhook = _get_or_404(session, webhook_id)
            newest_first = (col(Delivery.created_at).desc(), col(Delivery.id).desc())
            its_own = select(Delivery).where(Delivery.org_id == org_id, Delivery.webhook_id == webhook_id)
            return WebhookDetails(
                webhook, session.exec(its_own.order_by(*newest_first).limit(_MAX_DELIVERIES_SHOWN)).all()
            )

    def list(self, caller: Caller, filters: WebhookFilter) -> Sequence[Webhook]:
        org_id = require_administrator(caller)
        query = paginate(Webhook, caller, filters).where(col(Webhook.deleted_at).is_(None))
        if filters.status is not None:
            disabled = col(Webhook.disabled_at).is_not(None)
            query = query.where(disabled if filters.status == "disabled" else ~disabled)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            return session.exec(query).all()

    def enable(self, caller: Caller, webhook_id: UUID) -> Webhook:
        """Have it told again, if it was disabled; what it missed meanwhile is given up."""
        with self._lock_webhook(caller, webhook_id) as (session, webhook):
            if webhook.disabled_at is not None:
                session.execute(update(Webhook).where(col(Webhook.id) == webhook_id).values(disabled_at=None))
                session.refresh(webhook)
                audit_trail.append_audit_event(
                    session,
                    build_webhook_audit_entry(
                        webhook, "webhook_enabled", audit_trail.actor_from_user_id(caller.user_id)
                    ),
                )
            return webhook

    def rotate_secret(self, caller: Caller, webhook_id: UUID) -> IssuedSecret:
        """Another secret, from now on; the table keeps the one before it, which signs along for a day."""
        secret = generate_secret()
        with self._lock_webhook(caller, webhook_id) as (session, webhook):
            its_own = col(WebhookSecret.webhook_id) == webhook_id
            session.execute(update(WebhookSecret).where(its_own).values(secret=secret))
            by = audit_trail.actor_from_user_id(caller.user_id)
            audit_trail.append_audit_event(session, build_webhook_audit_entry(webhook, "webhook_secret_rotated", by))
            return IssuedSecret(webhook, secret)

    def remove(self, caller: Caller, webhook_id: UUID) -> None:
        """Nothing more is sent, its secret is gone; what was sent stays known."""
        with self._lock_webhook(caller, webhook_id) as (session, webhook):
            session.execute(
                update(Webhook).where(col(Webhook.id) == webhook_id).values(deleted_at=func.clock_timestamp())
            )
            session.execute(delete(WebhookSecret).where(col(WebhookSecret.webhook_id) == webhook_id))
            audit_trail.append_audit_event(
                session,
                build_webhook_audit_entry(webhook, "webhook_removed", audit_trail.actor_from_user_id(caller.user_id)),
            )

    def send_test(self, caller: Caller, webhook_id: UUID, idempotency_key: str | None) -> AcceptedWebhookTest:
        """A delivery of its own, about nothing; a disabled webhook can be tested too, and is not enabled by it."""
        org_id, new_id = require_administrator(caller), uuid4()
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            _get_or_404(session, webhook_id)
            asked = _WebhookTestBody(webhook_id=webhook_id)
            delivery_id = (
                claim_key(session, OperationKey(org_id, TEST_OPERATION, idempotency_key), asked, new_id)
                if idempotency_key
                else new_id
            )
            if delivery_id != new_id:
                return AcceptedWebhookTest(session.get_one(Delivery, delivery_id), is_new=False)
            row = insert(Delivery).values(id=new_id, org_id=org_id, webhook_id=webhook_id, channel=Channel.WEBHOOK)
            return AcceptedWebhookTest(session.scalars(row.returning(Delivery)).one(), is_new=True)

    @contextmanager
    def _lock_webhook(self, caller: Caller, webhook_id: UUID) -> Iterator[tuple[Session, Webhook]]:
        """Nobody else changes it meanwhile."""
        org_id = require_administrator(caller)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            yield session, _get_or_404(session, webhook_id, for_update=True)


def build_webhook_audit_entry(webhook: Webhook, event: str, actor: str) -> AuditEntry:
    """Where it leads is told nowhere but at the API: an address may be a secret of its own."""
    return AuditEntry(org_id=webhook.org_id, actor=actor, event=event, subject_kind="webhook", subject_id=webhook.id)


def _get_or_404(session: Session, webhook_id: UUID, *, for_update: bool = False) -> Webhook:
    webhook = session.get(Webhook, webhook_id, with_for_update=for_update)
    if webhook is None or webhook.deleted_at is not None:
        raise NotFoundError("There is no such webhook.")
    return webhook


def _check_webhook_limit(session: Session, org_id: str) -> None:
    count = select(func.count()).select_from(Webhook)
    if session.exec(count.where(Webhook.org_id == org_id, col(Webhook.deleted_at).is_(None))).one() > MAX_WEBHOOKS:
        raise TooManyWebhooksError(f"An organisation has at most {MAX_WEBHOOKS} webhooks; remove one first.")
