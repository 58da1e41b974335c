"""Creation of sandboxed workflow instances: `BufdirExport`, an empty workflow and one that imports tables."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from benchmarks.empty_workflow import EmptyWorkflow
from benchmarks.measurement import ComparisonTable, measure_implementations
from benchmarks.workflow_importing_tables import TableImportingWorkflow
from workflows.bufdir_export import BufdirExport


def run(instances: int, rounds: int) -> list[ComparisonTable]:
    implementations = {
        "`BufdirExport`": _instance_factory(BufdirExport, instances),
        "empty workflow (baseline)": _instance_factory(EmptyWorkflow, instances),
        "workflow that imports the database's tables": _instance_factory(TableImportingWorkflow, instances),
    }
    title = f"Creating {instances} workflow instances in the sandbox"
    return [ComparisonTable(title, "sandbox", measure_implementations(implementations, rounds=rounds))]


def _instance_factory(workflow_class: type, count: int) -> Callable[[], None]:
    definition = workflow._Definition.must_from_class(workflow_class)  # noqa: SLF001 - the SDK has no public function for this
    runner = SandboxedWorkflowRunner()

    def create_instances() -> None:
        for _ in range(count):
            runner.prepare_workflow(definition)

    return create_instances
