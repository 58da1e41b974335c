"""One try at one delivery, and what comes of it."""

import asyncio
from concurrent.futures import Executor

from stafett.domain.errors import DeliveryError
from stafett.domain.notification import Channel, DeliveryRef
from stafett.notifications.deliveries import DeliveryStore
from stafett.notifications.email import SmtpSender
from stafett.webhooks.sender import WebhookSender


class DeliverySender:
    """Brings messages to their receivers; letters go by threads of their own, which a dead mail server may hold."""

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
        """Return when it is settled; raise when there should be another try. Each try is written down."""
        if not await asyncio.to_thread(self._deliveries.start_attempt, delivery):
            return
        try:
            await self._send(delivery)
        except DeliveryError as error:
            await self._handle_refusal(delivery, error)
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
                letter = await asyncio.to_thread(self._deliveries.load_email, delivery)
                if self._smtp_sender is None:
                    raise DeliveryError("mail_not_configured")
                await asyncio.get_running_loop().run_in_executor(self._email_executor, self._smtp_sender.send, letter)

    async def _handle_refusal(self, delivery: DeliveryRef, error: DeliveryError) -> None:
        if not error.is_permanent:
            await asyncio.to_thread(self._deliveries.record_failure, delivery, error.code)
            raise error
        if error.code == "http_410":
            await asyncio.to_thread(self._deliveries.disable_webhook, delivery)
        await asyncio.to_thread(self._deliveries.give_up, delivery, error.code)
