"""Run by Alembic: migrate over the connection, and in the transaction, that `migrate.py` hands in."""

from alembic import context
from sqlalchemy import Connection

from agentgraph.stores.database import tables  # noqa: F401  makes the metadata whole
from agentgraph.stores.database.metadata import VERSION_TABLE, metadata

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
context.run_migrations()
