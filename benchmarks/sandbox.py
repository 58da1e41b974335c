"""What one instance of a workflow costs: our module passes its contracts through the sandbox."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from benchmarks.empty_workflow import Bare
from benchmarks.measurement import Table, side_by_side
from benchmarks.workflow_importing_tables import ImportsTheTables
from workflows.bufdir_export import BufdirExport

INSTANCES = 10


def run() -> list[Table]:
    contenders = {
        "BufdirExport": _instances_of(BufdirExport),
        "a workflow that imports nothing (the floor)": _instances_of(Bare),
        "a workflow that imports SQLModel tables in the sandbox": _instances_of(ImportsTheTables),
    }
    return [Table(f"{INSTANCES} sandboxed workflow instances", side_by_side(contenders, rounds=5))]


def _instances_of(workflow_class: type) -> Callable[[], None]:
    definition = workflow._Definition.must_from_class(workflow_class)  # noqa: SLF001 - the SDK makes instances so, and offers no public way
    runner = SandboxedWorkflowRunner()

    def make() -> None:
        for _ in range(INSTANCES):
            runner.prepare_workflow(definition)

    return make
