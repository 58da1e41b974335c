"""Propagation of the API request's id through Temporal, so that one search finds all log lines of a job."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import structlog
from opentelemetry import trace
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.client import OutboundInterceptor, StartWorkflowInput, WorkflowHandle
from temporalio.converter import PayloadConverter
from temporalio.worker import (
    ActivityInboundInterceptor,
    ContinueAsNewInput,
    ExecuteActivityInput,
    StartActivityInput,
    StartChildWorkflowInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.worker import Interceptor as WorkerInterceptor

from stafett.domain.job import REQUEST_ID

Headers = Mapping[str, Payload]


class RequestIdInterceptor(ClientInterceptor, WorkerInterceptor):
    """Clients copy the request id from the log context to headers, workers from headers to the log context."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        return _ClientOutbound(next)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _ActivityInbound(next)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002 - the SDK's name
    ) -> type[WorkflowInboundInterceptor]:
        return _WorkflowInbound


class _ClientOutbound(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002 - the SDK's name
        request_id = structlog.contextvars.get_contextvars().get(REQUEST_ID)
        if request_id is not None:
            input.headers = {**input.headers, REQUEST_ID: PayloadConverter.default.to_payload(request_id)}
        return await super().start_workflow(input)


class _WorkflowInbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_WorkflowOutbound(outbound))


class _WorkflowOutbound(WorkflowOutboundInterceptor):
    """Passes the header of a run to every activity and workflow that it starts, and to the run that continues it."""

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 - the SDK's name
        input.headers = {**input.headers, **_get_request_id_header(workflow.info().headers)}
        return super().start_activity(input)

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> workflow.ChildWorkflowHandle[Any, Any]:  # noqa: A002 - the SDK's name
        input.headers = {**input.headers, **_get_request_id_header(workflow.info().headers)}
        return await super().start_child_workflow(input)

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002 - the SDK's name
        input.headers = {**input.headers, **_get_request_id_header(workflow.info().headers)}
        super().continue_as_new(input)


class _ActivityInbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        info, request_context = activity.info(), {}
        if REQUEST_ID in input.headers:
            request_id = request_context[REQUEST_ID] = PayloadConverter.default.from_payload(input.headers[REQUEST_ID])
            trace.get_current_span().set_attribute(REQUEST_ID, request_id)
        with structlog.contextvars.bound_contextvars(
            workflow_id=info.workflow_id, activity=info.activity_type, activity_attempt=info.attempt, **request_context
        ):
            return await super().execute_activity(input)


@contextmanager
def bound_request_id(request_id: str | None) -> Iterator[None]:
    """Bind the id of the request that started a job, so that the runs and log lines of the block carry it."""
    with structlog.contextvars.bound_contextvars(**{REQUEST_ID: request_id} if request_id else {}):
        yield


def _get_request_id_header(headers: Headers) -> dict[str, Payload]:
    return {REQUEST_ID: headers[REQUEST_ID]} if REQUEST_ID in headers else {}
