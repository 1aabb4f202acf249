"""MCP servers, and which of whose tools were accepted."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    generations = sa.table("agentgraph_generations", sa.column("subject"), sa.column("number"))
    op.bulk_insert(generations, [{"subject": "mcp", "number": 0}])
    op.create_table(
        "agentgraph_mcp_servers",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("protocol", sa.String(16), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("api_key", sa.Text, nullable=True),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name="pk_agentgraph_mcp_servers"),
    )
    op.create_table(
        "agentgraph_mcp_accepted",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("tools", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name="pk_agentgraph_mcp_accepted"),
    )


def downgrade() -> None:
    """Drop the tables, with all servers and what was accepted of them."""
    op.drop_table("agentgraph_mcp_accepted")
    op.drop_table("agentgraph_mcp_servers")
    op.execute("DELETE FROM agentgraph_generations WHERE subject = 'mcp'")
