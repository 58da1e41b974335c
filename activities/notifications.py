from temporalio import activity
from temporalio.exceptions import ApplicationError

from stafett.domain.errors import DeliveryError
from stafett.domain.notification import DeliveryRef, NotificationJob
from stafett.notifications.deliveries import DeliveryStore
from stafett.notifications.sender import DeliverySender


class NotificationActivities:
    """Finds pending deliveries, and gives up those that no receiver has accepted."""

    def __init__(self, deliveries: DeliveryStore) -> None:
        self._deliveries = deliveries

    @activity.defn(no_thread_cancel_exception=True)
    def find_deliveries(self, job: NotificationJob) -> tuple[DeliveryRef, ...]:
        return self._deliveries.find_pending(job)

    @activity.defn(no_thread_cancel_exception=True)
    def give_up_delivery(self, delivery: DeliveryRef) -> None:
        self._deliveries.give_up(delivery)


class DeliveryActivities:
    """Sends messages to receivers, on a separate task queue because a receiver may take very long to respond."""

    def __init__(self, sender: DeliverySender) -> None:
        self._sender = sender

    @activity.defn
    async def deliver(self, delivery: DeliveryRef) -> None:
        try:
            await self._sender.deliver(delivery)
        except DeliveryError as error:
            raise ApplicationError(str(error), type=error.code, next_retry_delay=error.retry_after) from None
