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
from stafett.webhooks.signing import new_secret

MOST_WEBHOOKS = 20
TEST = "webhooks.test"
_SHOWN_DELIVERIES = 20


class WebhooksWanted(ListFilter):
    """Which webhooks a list shows."""

    status: str | None = None


class WebhookAsked(FrozenModel):
    """A webhook that somebody would like to have, its URL vetted already."""

    org_id: str
    url: str
    description: str | None = None


class _TestAsked(FrozenModel):
    webhook_id: UUID


class AddedWebhook(NamedTuple):
    """The one moment at which a secret is shown, a webhook's first one or another."""

    webhook: Webhook
    secret: str


class WebhookInFull(NamedTuple):
    webhook: Webhook
    deliveries: Sequence[Delivery]


class TestAccepted(NamedTuple):
    """A test that will be sent; ``is_new`` unless its key was seen before."""

    delivery: Delivery
    is_new: bool


def require_administrator(caller: Caller, org_id: str | None = None) -> str:
    """The organisation whose webhooks the caller looks after."""
    wanted = org_id or caller.org_id or ""
    if not caller.can_administer(wanted):
        raise PermissionDeniedError("Only an administrator looks after an organisation's webhooks.")
    return wanted


class Webhooks:
    """The gateway's side of the ``webhooks`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, caller: Caller, asked: WebhookAsked) -> AddedWebhook:
        org_id, secret, new_id = require_administrator(caller, asked.org_id), new_secret(), uuid4()
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            row = insert(Webhook).values(id=new_id, created_by=caller.user_id, **asked.model_dump())
            webhook = session.scalars(row.returning(Webhook)).one()
            session.execute(insert(WebhookSecret).values(webhook_id=new_id, org_id=org_id, secret=secret))
            audit_trail.append_audit_event(
                session, event_of(webhook, "webhook_added", audit_trail.actor_from_user_id(caller.user_id))
            )
            _require_room(session, org_id)  # here the chain is held: of two at once one sees the other's
        return AddedWebhook(webhook, secret)

    def find(self, caller: Caller, webhook_id: UUID) -> WebhookInFull:
        """With its latest deliveries."""
        org_id = require_administrator(caller)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            webhook = _found(session, webhook_id)
            newest_first = (col(Delivery.created_at).desc(), col(Delivery.id).desc())
            its_own = select(Delivery).where(Delivery.org_id == org_id, Delivery.webhook_id == webhook_id)
            return WebhookInFull(webhook, session.exec(its_own.order_by(*newest_first).limit(_SHOWN_DELIVERIES)).all())

    def list(self, caller: Caller, wanted: WebhooksWanted) -> Sequence[Webhook]:
        org_id = require_administrator(caller)
        query = paginate(Webhook, caller, wanted).where(col(Webhook.deleted_at).is_(None))
        if wanted.status is not None:
            disabled = col(Webhook.disabled_at).is_not(None)
            query = query.where(disabled if wanted.status == "disabled" else ~disabled)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            return session.exec(query).all()

    def enable(self, caller: Caller, webhook_id: UUID) -> Webhook:
        """Have it told again, if it was disabled; what it missed meanwhile is given up."""
        with self._held(caller, webhook_id) as (session, webhook):
            if webhook.disabled_at is not None:
                session.execute(update(Webhook).where(col(Webhook.id) == webhook_id).values(disabled_at=None))
                session.refresh(webhook)
                audit_trail.append_audit_event(
                    session, event_of(webhook, "webhook_enabled", audit_trail.actor_from_user_id(caller.user_id))
                )
            return webhook

    def rotate_secret(self, caller: Caller, webhook_id: UUID) -> AddedWebhook:
        """Another secret, from now on; the table keeps the one before it, which signs along for a day."""
        secret = new_secret()
        with self._held(caller, webhook_id) as (session, webhook):
            its_own = col(WebhookSecret.webhook_id) == webhook_id
            session.execute(update(WebhookSecret).where(its_own).values(secret=secret))
            by = audit_trail.actor_from_user_id(caller.user_id)
            audit_trail.append_audit_event(session, event_of(webhook, "webhook_secret_rotated", by))
            return AddedWebhook(webhook, secret)

    def remove(self, caller: Caller, webhook_id: UUID) -> None:
        """Nothing more is sent, its secret is gone; what was sent stays known."""
        with self._held(caller, webhook_id) as (session, webhook):
            session.execute(
                update(Webhook).where(col(Webhook.id) == webhook_id).values(deleted_at=func.clock_timestamp())
            )
            session.execute(delete(WebhookSecret).where(col(WebhookSecret.webhook_id) == webhook_id))
            audit_trail.append_audit_event(
                session, event_of(webhook, "webhook_removed", audit_trail.actor_from_user_id(caller.user_id))
            )

    def test(self, caller: Caller, webhook_id: UUID, key: str | None) -> TestAccepted:
        """A delivery of its own, about nothing; a disabled webhook can be tested too, and is not enabled by it."""
        org_id, new_id = require_administrator(caller), uuid4()
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            _found(session, webhook_id)
            asked = _TestAsked(webhook_id=webhook_id)
            delivery_id = claim_key(session, OperationKey(org_id, TEST, key), asked, new_id) if key else new_id
            if delivery_id != new_id:
                return TestAccepted(session.get_one(Delivery, delivery_id), is_new=False)
            row = insert(Delivery).values(id=new_id, org_id=org_id, webhook_id=webhook_id, channel=Channel.WEBHOOK)
            return TestAccepted(session.scalars(row.returning(Delivery)).one(), is_new=True)

    @contextmanager
    def _held(self, caller: Caller, webhook_id: UUID) -> Iterator[tuple[Session, Webhook]]:
        """Nobody else changes it meanwhile."""
        org_id = require_administrator(caller)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            yield session, _found(session, webhook_id, held=True)


def event_of(webhook: Webhook, event: str, actor: str) -> AuditEntry:
    """Where it leads is told nowhere but at the API: an address may be a secret of its own."""
    return AuditEntry(org_id=webhook.org_id, actor=actor, event=event, subject_kind="webhook", subject_id=webhook.id)


def _found(session: Session, webhook_id: UUID, *, held: bool = False) -> Webhook:
    webhook = session.get(Webhook, webhook_id, with_for_update=held)
    if webhook is None or webhook.deleted_at is not None:
        raise NotFoundError("There is no such webhook.")
    return webhook


def _require_room(session: Session, org_id: str) -> None:
    count = select(func.count()).select_from(Webhook)
    if session.exec(count.where(Webhook.org_id == org_id, col(Webhook.deleted_at).is_(None))).one() > MOST_WEBHOOKS:
        raise TooManyWebhooksError(f"An organisation has at most {MOST_WEBHOOKS} webhooks; remove one first.")
