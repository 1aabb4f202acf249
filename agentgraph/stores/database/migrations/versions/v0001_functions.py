"""Functions and their versions, and how often each subject has changed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    generations = op.create_table(
        "agentgraph_generations",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_agentgraph_generations"),
    )
    op.bulk_insert(generations, [{"subject": "functions", "number": 0}])
    op.create_table(
        "agentgraph_functions",
        sa.Column("function_id", sa.Integer, nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("latest", sa.Integer, nullable=False),
        sa.Column("is_enabled", sa.Boolean, nullable=False),
        sa.Column("is_deleted", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("function_id", name="pk_agentgraph_functions"),
        sa.UniqueConstraint("tenant", "name", name="uq_agentgraph_functions_tenant_name"),
    )
    op.create_table(
        "agentgraph_function_versions",
        sa.Column("function_id", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("function_id", "version", name="pk_agentgraph_function_versions"),
        sa.ForeignKeyConstraint(
            ["function_id"],
            ["agentgraph_functions.function_id"],
            name="fk_agentgraph_function_versions_function_id",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Drop the tables, with all functions."""
    op.drop_table("agentgraph_function_versions")
    op.drop_table("agentgraph_functions")
    op.drop_table("agentgraph_generations")
