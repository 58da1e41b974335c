"""Runs of the scheduled maintenance tasks."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from stafett.database.tables.base import DEFAULT_NOW, DEFAULT_ZERO


class MaintenanceRun(SQLModel, table=True):
    """When a scheduled task last finished, and how many of its parts failed."""

    __tablename__ = "maintenance_runs"

    task: str = Field(primary_key=True)
    finished_at: datetime = Field(sa_column_kwargs=DEFAULT_NOW)
    errors: int = Field(default=0, sa_column_kwargs=DEFAULT_ZERO)
