"""One id from the request to the last line that its activities log."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

from temporalio import activity, workflow
from temporalio.client import Client

with workflow.unsafe.imports_passed_through():
    import structlog
    from temporalio.worker import Worker

from stafett.temporal.workers import run_workers

_WITHIN = timedelta(seconds=10)
Known = dict[str, Any]


@activity.defn
def in_a_thread() -> Known:
    return structlog.contextvars.get_contextvars()


@activity.defn
async def in_the_loop() -> Known:
    return structlog.contextvars.get_contextvars()


@workflow.defn
class Child:
    @workflow.run
    async def run(self) -> Known:
        return await workflow.execute_activity(in_the_loop, start_to_close_timeout=_WITHIN)


@workflow.defn
class Parent:
    @workflow.run
    async def run(self) -> list[Known]:
        threaded = await workflow.execute_activity(in_a_thread, start_to_close_timeout=_WITHIN)
        return [threaded, await workflow.execute_child_workflow(Child.run, id=f"{workflow.info().workflow_id}/child")]


async def what_activities_knew(temporal: Client, workflow_id: str) -> list[Known]:
    with ThreadPoolExecutor(2) as threads:
        worker = Worker(
            temporal,
            task_queue=workflow_id,
            workflows=[Parent, Child],
            activities=[in_a_thread, in_the_loop],
            activity_executor=threads,
        )
        async with run_workers(worker):
            return await temporal.execute_workflow(Parent.run, id=workflow_id, task_queue=workflow_id)


async def test_the_requests_id_reaches_activities_of_children_too(temporal: Client) -> None:
    workflow_id = f"test-{uuid4().hex[:12]}"
    with structlog.contextvars.bound_contextvars(request_id="mine-7"):
        knew = await what_activities_knew(temporal, workflow_id)
    assert [known["request_id"] for known in knew] == ["mine-7", "mine-7"]
    assert [known["workflow_id"] for known in knew] == [workflow_id, f"{workflow_id}/child"]
    assert [known["activity"] for known in knew] == ["in_a_thread", "in_the_loop"]
    assert structlog.contextvars.get_contextvars().get("workflow_id") is None


async def test_a_run_that_nobody_asked_for_has_no_requests_id(temporal: Client) -> None:
    structlog.contextvars.clear_contextvars()
    knew = await what_activities_knew(temporal, f"test-{uuid4().hex[:12]}")
    assert [known.get("request_id") for known in knew] == [None, None]
