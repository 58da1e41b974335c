"""Creation of sandboxed workflow instances: `BufdirExport`, an empty workflow and one that imports tables."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from benchmarks.empty_workflow import EmptyWorkflow
from benchmarks.measurement import ComparisonTable, measure_implementations
from benchmarks.workflow_importing_tables import TableImportingWorkflow
from workflows.bufdir_export import BufdirExport

INSTANCE_COUNT = 10


def run() -> list[ComparisonTable]:
    implementations = {
        "`BufdirExport`": _instance_factory(BufdirExport),
        "empty workflow (baseline)": _instance_factory(EmptyWorkflow),
        "workflow_importing_tables": _instance_factory(TableImportingWorkflow),
    }
    title = f"Creating {INSTANCE_COUNT} sandboxed workflow instances"
    return [ComparisonTable(title, "sandbox", measure_implementations(implementations, rounds=5))]


def _instance_factory(workflow_class: type) -> Callable[[], None]:
    definition = workflow._Definition.must_from_class(workflow_class)  # noqa: SLF001 - the SDK has no public function for this
    runner = SandboxedWorkflowRunner()

    def create_instances() -> None:
        for _ in range(INSTANCE_COUNT):
            runner.prepare_workflow(definition)

    return create_instances
