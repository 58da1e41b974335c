"""Makes one attempt at a delivery and records its result."""

import asyncio
from concurrent.futures import Executor

from stafett.domain.errors import DeliveryError
from stafett.domain.notification import Channel, DeliveryRef
from stafett.notifications.deliveries import DeliveryStore
from stafett.notifications.email import SmtpSender
from stafett.webhooks.sender import WebhookSender


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
        """Make and record one attempt; raise if the delivery should be retried."""
        if not await asyncio.to_thread(self._deliveries.start_attempt, delivery):
            return
        try:
            await self._send(delivery)
        except DeliveryError as error:
            await self._handle_delivery_error(delivery, error)
        except Exception:
            await asyncio.to_thread(self._deliveries.record_failure, delivery, "unexpected")
            raise
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
        if not error.is_permanent:
            await asyncio.to_thread(self._deliveries.record_failure, delivery, error.code)
            raise error
        if error.code == "http_410":
            await asyncio.to_thread(self._deliveries.disable_webhook, delivery)
        await asyncio.to_thread(self._deliveries.give_up, delivery, error.code)
