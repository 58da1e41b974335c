"""One try at one delivery, and what comes of it."""

import asyncio
from concurrent.futures import Executor

from stafett.domain.errors import DeliveryError
from stafett.domain.notification import Channel, DeliveryRef
from stafett.notifications.deliveries import Deliveries
from stafett.notifications.email import Mailer
from stafett.webhooks.sender import WebhookPoster


class Teller:
    """Brings messages to their receivers; letters go by threads of their own, which a dead mail server may hold."""

    def __init__(self, deliveries: Deliveries, poster: WebhookPoster, mailer: Mailer | None, letters: Executor) -> None:
        self._deliveries = deliveries
        self._poster = poster
        self._mailer = mailer
        self._letters = letters

    async def deliver(self, delivery: DeliveryRef) -> None:
        """Return when it is settled; raise when there should be another try. Each try is written down."""
        if not await asyncio.to_thread(self._deliveries.begin, delivery):
            return
        try:
            await self._send(delivery)
        except DeliveryError as error:
            await self._refused(delivery, error)
        except Exception:
            await asyncio.to_thread(self._deliveries.failed, delivery, "unexpected")
            raise
        else:
            await asyncio.to_thread(self._deliveries.delivered, delivery)

    async def _send(self, delivery: DeliveryRef) -> None:
        match delivery.channel:
            case Channel.WEBHOOK:
                await self._poster.post(await asyncio.to_thread(self._deliveries.message, delivery))
            case Channel.EMAIL:
                letter = await asyncio.to_thread(self._deliveries.letter, delivery)
                if self._mailer is None:
                    raise DeliveryError("mail_not_configured")
                await asyncio.get_running_loop().run_in_executor(self._letters, self._mailer.send, letter)

    async def _refused(self, delivery: DeliveryRef, error: DeliveryError) -> None:
        if not error.is_permanent:
            await asyncio.to_thread(self._deliveries.failed, delivery, error.code)
            raise error
        if error.code == "http_410":
            await asyncio.to_thread(self._deliveries.disable_webhook, delivery)
        await asyncio.to_thread(self._deliveries.give_up, delivery, error.code)
