"""The record of scheduled tasks that have finished, on whichever worker they ran."""

from sqlalchemy import func, update
from sqlmodel import col

from stafett.database.session import Database
from stafett.database.tables import MaintenanceRun
from stafett.domain.maintenance import MaintenanceTask


class MaintenanceRuns:
    """Writes as the maintenance role; the metrics read what it writes."""

    def __init__(self, maintenance: Database) -> None:
        self._database = maintenance

    def record(self, task: MaintenanceTask, errors: int) -> None:
        """Record that the task has finished, and how many of its parts failed."""
        is_task = col(MaintenanceRun.task) == task
        with self._database.transaction() as session:
            session.execute(
                update(MaintenanceRun).where(is_task).values(finished_at=func.clock_timestamp(), errors=errors)
            )
