"""An empty workflow, as the baseline of the sandbox benchmark."""

from temporalio import workflow


@workflow.defn
class EmptyWorkflow:
    @workflow.run
    async def run(self) -> None:
        return
