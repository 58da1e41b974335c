"""One request id from the HTTP request to the log lines of its activities."""

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

_TIMEOUT = timedelta(seconds=10)
Context = dict[str, Any]


@activity.defn
def read_context_in_thread() -> Context:
    return structlog.contextvars.get_contextvars()


@activity.defn
async def read_context_in_loop() -> Context:
    return structlog.contextvars.get_contextvars()


@workflow.defn
class Child:
    @workflow.run
    async def run(self) -> Context:
        return await workflow.execute_activity(read_context_in_loop, start_to_close_timeout=_TIMEOUT)


@workflow.defn
class Parent:
    @workflow.run
    async def run(self) -> list[Context]:
        own = await workflow.execute_activity(read_context_in_thread, start_to_close_timeout=_TIMEOUT)
        return [own, await workflow.execute_child_workflow(Child.run, id=f"{workflow.info().workflow_id}/child")]


@workflow.defn
class Continued:
    @workflow.run
    async def run(self, remaining_runs: int) -> Context:
        if remaining_runs:
            workflow.continue_as_new(remaining_runs - 1)
        return await workflow.execute_activity(read_context_in_loop, start_to_close_timeout=_TIMEOUT)


async def collect_contexts(temporal: Client, workflow_id: str) -> list[Context]:
    with ThreadPoolExecutor(2) as threads:
        worker = Worker(
            temporal,
            task_queue=workflow_id,
            workflows=[Parent, Child],
            activities=[read_context_in_thread, read_context_in_loop],
            activity_executor=threads,
        )
        async with run_workers(worker):
            return await temporal.execute_workflow(Parent.run, id=workflow_id, task_queue=workflow_id)


async def test_request_id_reaches_activities_of_child_workflows(temporal: Client) -> None:
    workflow_id = f"test-{uuid4().hex[:12]}"
    with structlog.contextvars.bound_contextvars(request_id="mine-7"):
        contexts = await collect_contexts(temporal, workflow_id)
    assert [context["request_id"] for context in contexts] == ["mine-7", "mine-7"]
    assert [context["workflow_id"] for context in contexts] == [workflow_id, f"{workflow_id}/child"]
    assert [context["activity"] for context in contexts] == ["read_context_in_thread", "read_context_in_loop"]
    assert structlog.contextvars.get_contextvars().get("workflow_id") is None


async def test_workflow_started_without_a_request_has_no_request_id(temporal: Client) -> None:
    structlog.contextvars.clear_contextvars()
    contexts = await collect_contexts(temporal, f"test-{uuid4().hex[:12]}")
    assert [context.get("request_id") for context in contexts] == [None, None]


async def test_request_id_reaches_the_runs_that_continue_a_run(temporal: Client) -> None:
    workflow_id = f"test-{uuid4().hex[:12]}"
    worker = Worker(temporal, task_queue=workflow_id, workflows=[Continued], activities=[read_context_in_loop])
    with structlog.contextvars.bound_contextvars(request_id="mine-8"):
        async with run_workers(worker):
            context = await temporal.execute_workflow(Continued.run, 2, id=workflow_id, task_queue=workflow_id)
    assert context["request_id"] == "mine-8"
