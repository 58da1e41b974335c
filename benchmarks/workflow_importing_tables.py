"""A workflow whose sandbox imports the SQLModel tables again for every instance."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import structlog  # noqa: F401 - the tables import it, and the sandbox rejects its import of rich

from stafett.database.tables import Export


@workflow.defn
class TableImportingWorkflow:
    @workflow.run
    async def run(self) -> str:
        return str(Export.__tablename__)
