"""Alembic runs inside the connection that ``stafett.database.migrate`` holds the lock on."""

from alembic import context
from sqlmodel import SQLModel

from stafett.database import tables  # noqa: F401 - importing the tables fills the metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata)
context.run_migrations()
