from temporalio import workflow


@workflow.defn
class EmptyWorkflow:
    """The floor: nothing but the SDK."""

    @workflow.run
    async def run(self) -> None:
        return
