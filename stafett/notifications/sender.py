"""Makes one attempt at a delivery and records its result."""

import asyncio
from concurrent.futures import Executor
from datetime import timedelta

import structlog

from stafett.domain.errors import DeliveryError, ServiceUnavailableError
from stafett.domain.notification import Channel, DeliveryRef
from stafett.monitoring.logs import error_location
from stafett.notifications.deliveries import DeliveryStore
from stafett.notifications.email import SmtpSender
from stafett.webhooks.sender import WebhookSender

MAX_FAILURES = 13
"""Almost three days of backoff in all, because only its owner can repair a receiver."""
_INITIAL_BACKOFF, _MAX_BACKOFF = timedelta(seconds=5), timedelta(hours=12)
_BACKOFF_COEFFICIENT = 4
_log = structlog.get_logger("stafett.notifications")


def backoff_after(failures: int) -> timedelta:
    """Return the delay after so many failures of the receiver: seconds, then minutes, then hours."""
    multiplier: int = _BACKOFF_COEFFICIENT ** (failures - 1)
    return min(_INITIAL_BACKOFF * multiplier, _MAX_BACKOFF)


class DeliverySender:
    """Sends deliveries; emails have an executor of their own, because a hanging mail server blocks its threads."""

    def __init__(
        self,
        deliveries: DeliveryStore,
        webhook_sender: WebhookSender,
        smtp_sender: SmtpSender | None,
        email_executor: Executor,
    ) -> None:
        self._deliveries = deliveries
        self._webhook_sender = webhook_sender
        self._smtp_sender = smtp_sender
        self._email_executor = email_executor

    async def deliver(self, delivery: DeliveryRef) -> None:
        """Make and record one attempt; raise if the delivery should be retried.

        Only a `DeliveryError` has a delay: after an outage of our own, the next attempt follows within seconds.
        """
        if not await asyncio.to_thread(self._deliveries.start_attempt, delivery):
            return
        try:
            await self._send(delivery)
        except DeliveryError as error:
            await self._handle_delivery_error(delivery, error)
        except ServiceUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - every unexpected error is logged and counts as a failure
            _log.warning("delivery_failed", error=type(error).__name__, location=error_location(error))
            await self._handle_delivery_error(delivery, DeliveryError("unexpected"))
        else:
            await asyncio.to_thread(self._deliveries.record_success, delivery)

    async def _send(self, delivery: DeliveryRef) -> None:
        match delivery.channel:
            case Channel.WEBHOOK:
                await self._webhook_sender.send(
                    await asyncio.to_thread(self._deliveries.load_webhook_message, delivery)
                )
            case Channel.EMAIL:
                email = await asyncio.to_thread(self._deliveries.load_email, delivery)
                if self._smtp_sender is None:
                    raise DeliveryError("mail_not_configured")
                await asyncio.get_running_loop().run_in_executor(self._email_executor, self._smtp_sender.send, email)

    async def _handle_delivery_error(self, delivery: DeliveryRef, error: DeliveryError) -> None:
        if error.is_permanent:
            if error.code == "http_410":
                await asyncio.to_thread(self._deliveries.disable_webhook, delivery)
            await asyncio.to_thread(self._deliveries.give_up, delivery, error.code)
            return
        failures = await asyncio.to_thread(self._deliveries.record_failure, delivery, error.code)
        if failures is None:
            return
        if failures >= MAX_FAILURES:
            await asyncio.to_thread(self._deliveries.give_up, delivery)
            return
        raise DeliveryError(error.code, retry_after=error.retry_after or backoff_after(failures)) from error
