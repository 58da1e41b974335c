"""Notifications about finished jobs: a separate workflow, so that an unavailable receiver delays no job."""

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
    from stafett.temporal.client import ATTEMPT_MEMO_KEY, build_search_attributes
    from stafett.temporal.queues import notification_queue
    from workflows.policies import DELIVERY_RETRY, HEARTBEAT_TIMEOUT, run_outcome_activity


@workflow.defn(name=JobKind.SEND_NOTIFICATIONS.value)
class SendNotifications:
    """Deliver to all receivers in parallel, each until it accepts its message or the delivery is given up."""

    @workflow.run
    async def run(self, notification_job: NotificationJob) -> None:
        deliveries = await run_outcome_activity(
            NotificationActivities.find_deliveries, notification_job, "find deliveries"
        )
        await asyncio.gather(*(self._deliver(delivery) for delivery in deliveries))

    async def _deliver(self, delivery: DeliveryRef) -> None:
        try:
            await workflow.execute_activity_method(
                DeliveryActivities.deliver,
                delivery,
                task_queue=notification_queue(workflow.info().task_queue),
                start_to_close_timeout=timedelta(minutes=10),
                schedule_to_close_timeout=timedelta(days=14),
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=DELIVERY_RETRY,
                summary=delivery.channel,
            )
        except ActivityError:
            await run_outcome_activity(NotificationActivities.give_up_delivery, delivery, "give up delivery")


async def start_notifications(job: Job) -> None:
    """Start the notifications about a finished job, and do not wait for them."""
    notification_job = NotificationJob.from_job(job)
    try:
        _child = await workflow.start_child_workflow(
            SendNotifications.run,
            notification_job,
            id=notification_job.workflow_id,
            parent_close_policy=ParentClosePolicy.ABANDON,
            static_summary=notification_job.summary,
            search_attributes=build_search_attributes(notification_job),
            memo={ATTEMPT_MEMO_KEY: notification_job.attempt},
            priority=Priority(fairness_key=notification_job.org_id),
        )
    except WorkflowAlreadyStartedError:
        return  # the reconciliation sweep started it first
