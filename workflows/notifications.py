"""Telling people: a workflow of its own, so that a receiver who is not there holds nothing up."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.notifications import DeliveryActivities, NotificationActivities
    from stafett.domain.job import Job, JobKind
    from stafett.domain.notification import DeliveryRef, NotificationJob
    from stafett.temporal.client import ATTEMPT_MEMO_KEY, build_search_attributes, notification_queue
    from workflows.policies import DELIVERY_RETRY, run_activity


@workflow.defn(name=JobKind.SEND_NOTIFICATIONS.value)
class SendNotifications:
    """Every receiver on its own, each until it has taken its message or is given up."""

    @workflow.run
    async def run(self, notification_job: NotificationJob) -> None:
        deliveries = await run_activity(NotificationActivities.find_deliveries, notification_job, "who is to be told")
        await asyncio.gather(*(self._deliver(delivery) for delivery in deliveries))

    async def _deliver(self, delivery: DeliveryRef) -> None:
        try:
            await workflow.execute_activity_method(
                DeliveryActivities.deliver,
                delivery,
                task_queue=notification_queue(workflow.info().task_queue),
                start_to_close_timeout=timedelta(minutes=10),
                schedule_to_close_timeout=timedelta(days=14),
                heartbeat_timeout=timedelta(seconds=5),
                retry_policy=DELIVERY_RETRY,
                summary=delivery.channel,
            )
        except ActivityError:
            await run_activity(NotificationActivities.give_up_delivery, delivery, "nobody took it")


async def start_notifications(job: Job) -> None:
    """Start telling people how a job ended, and do not wait for it."""
    telling = NotificationJob.from_job(job)
    try:
        _running = await workflow.start_child_workflow(
            SendNotifications.run,
            telling,
            id=telling.workflow_id,
            parent_close_policy=ParentClosePolicy.ABANDON,
            static_summary=telling.summary,
            search_attributes=build_search_attributes(telling),
            memo={ATTEMPT_MEMO_KEY: telling.attempt},
            priority=Priority(fairness_key=telling.org_id),
        )
    except WorkflowAlreadyStartedError:
        return  # the sweeper was here first
