"""Tools that tenants declared once for all of their requests."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table."""
    generations = sa.table("agentgraph_generations", sa.column("subject"), sa.column("number"))
    op.bulk_insert(generations, [{"subject": "tool_schemas", "number": 0}])
    op.create_table(
        "agentgraph_tool_schemas",
        sa.Column("schema_id", sa.Integer, nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("schema", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("schema_id", name="pk_agentgraph_tool_schemas"),
        sa.UniqueConstraint("tenant", "name", name="uq_agentgraph_tool_schemas_tenant_name"),
    )


def downgrade() -> None:
    """Drop the table, with all that was declared."""
    op.drop_table("agentgraph_tool_schemas")
    op.execute("DELETE FROM agentgraph_generations WHERE subject = 'tool_schemas'")
