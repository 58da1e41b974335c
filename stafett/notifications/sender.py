"""One try at one delivery, and what comes of it."""

import asyncio
from concurrent.futures import Executor

from stafett.domain.errors import NotDeliveredError
from stafett.domain.notification import Channel, Delivery
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

    async def deliver(self, delivery: Delivery) -> None:
        """Return when it is settled; raise when there should be another try. Each try is written down."""
        if not await asyncio.to_thread(self._deliveries.begin, delivery):
            return
        try:
            await self._send(delivery)
        except NotDeliveredError as error:
            await self._refused(delivery, error)
        except Exception:
            await asyncio.to_thread(self._deliveries.failed, delivery, "unexpected")
            raise
        else:
            await asyncio.to_thread(self._deliveries.delivered, delivery)

    async def _send(self, delivery: Delivery) -> None:
        match delivery.channel:
            case Channel.WEBHOOK:
                await self._poster.post(await asyncio.to_thread(self._deliveries.message, delivery))
            case Channel.EMAIL:
                letter = await asyncio.to_thread(self._deliveries.letter, delivery)
                if self._mailer is None:
                    raise NotDeliveredError("mail_not_configured")
                await asyncio.get_running_loop().run_in_executor(self._letters, self._mailer.send, letter)

    async def _refused(self, delivery: Delivery, error: NotDeliveredError) -> None:
        if not error.for_good:
            await asyncio.to_thread(self._deliveries.failed, delivery, error.code)
            raise error
        if error.code == "http_410":
            await asyncio.to_thread(self._deliveries.disable_webhook, delivery)
        await asyncio.to_thread(self._deliveries.give_up, delivery, error.code)
