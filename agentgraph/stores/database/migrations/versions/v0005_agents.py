"""Agents that tenants create while the server runs."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "agentgraph_agents",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("instructions", sa.Text, nullable=False),
        sa.Column("model", sa.String(256), nullable=True),
        sa.Column("tools", sa.JSON, nullable=True),
        sa.Column("max_parallel_tools", sa.Integer, nullable=False),
        sa.Column("tool_call_timeout", sa.Float, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name="pk_agentgraph_agents"),
    )


def downgrade() -> None:
    """Drop the table, with every agent that was created."""
    op.drop_table("agentgraph_agents")
