"""Keys of the HTTP API, what was used with them, and what is left of budgets."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables."""
    generations = sa.table("agentgraph_generations", sa.column("subject"), sa.column("number"))
    op.bulk_insert(generations, [{"subject": "api_keys", "number": 0}])
    op.create_table(
        "agentgraph_api_keys",
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=True),
        sa.Column("user", sa.String(128), nullable=True),
        sa.Column("limits", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name="pk_agentgraph_api_keys"),
    )
    op.create_table(
        "agentgraph_usage",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("user", sa.String(128), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_microusd", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "day", "key_id", "user", "model", name="pk_agentgraph_usage"),
    )
    op.create_table(
        "agentgraph_spending",
        sa.Column("account", sa.String(160), nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("microusd", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "period", name="pk_agentgraph_spending"),
    )
    op.create_table(
        "agentgraph_reservations",
        sa.Column("reservation_id", sa.String(32), nullable=False),
        sa.Column("account", sa.String(160), nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("microusd", sa.BigInteger, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("reservation_id", "account", name="pk_agentgraph_reservations"),
    )
    op.create_index("ix_agentgraph_reservations_account_period", "agentgraph_reservations", ["account", "period"])


def downgrade() -> None:
    """Drop the tables, with all keys and all that is known of usage."""
    for name in ("reservations", "spending", "usage", "api_keys"):
        op.drop_table(f"agentgraph_{name}")
    op.execute("DELETE FROM agentgraph_generations WHERE subject = 'api_keys'")
