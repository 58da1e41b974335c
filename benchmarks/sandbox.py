"""What one instance of a workflow costs: our module passes its contracts through the sandbox."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from benchmarks.empty_workflow import EmptyWorkflow
from benchmarks.measurement import ComparisonTable, measure_contenders
from benchmarks.workflow_importing_tables import TableImportingWorkflow
from workflows.bufdir_export import BufdirExport

INSTANCE_COUNT = 10


def run() -> list[ComparisonTable]:
    contenders = {
        "BufdirExport": _instance_factory(BufdirExport),
        "a workflow that imports nothing (the floor)": _instance_factory(EmptyWorkflow),
        "a workflow that imports SQLModel tables in the sandbox": _instance_factory(TableImportingWorkflow),
    }
    return [ComparisonTable(f"{INSTANCE_COUNT} sandboxed workflow instances", measure_contenders(contenders, rounds=5))]


def _instance_factory(workflow_class: type) -> Callable[[], None]:
    definition = workflow._Definition.must_from_class(workflow_class)  # noqa: SLF001 - the SDK makes instances so, and offers no public way
    runner = SandboxedWorkflowRunner()

    def create_instances() -> None:
        for _ in range(INSTANCE_COUNT):
            runner.prepare_workflow(definition)

    return create_instances
