"""A workflow whose sandbox imports the SQLModel tables again for every instance."""

from temporalio import workflow

from stafett.database.tables import Export


@workflow.defn
class TableImportingWorkflow:
    @workflow.run
    async def run(self) -> str:
        return str(Export.__tablename__)
