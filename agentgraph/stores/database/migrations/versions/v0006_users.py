"""Users and chats, and what was made under an idempotency key."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "agentgraph_users",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("revision", sa.String(32), nullable=False),
        sa.Column("is_leaving", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_agentgraph_users"),
        sa.UniqueConstraint("tenant", "user_id", name="uq_agentgraph_users_tenant_user_id"),
    )
    op.create_table(
        "agentgraph_chats",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("chat_id", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("revision", sa.String(32), nullable=False),
        sa.Column("is_leaving", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_agentgraph_chats"),
        sa.UniqueConstraint("tenant", "chat_id", name="uq_agentgraph_chats_tenant_chat_id"),
        sa.ForeignKeyConstraint(
            ["tenant", "user_id"],
            ["agentgraph_users.tenant", "agentgraph_users.user_id"],
            name="fk_agentgraph_chats_tenant_user_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_agentgraph_chats_tenant_user_id", "agentgraph_chats", ["tenant", "user_id"])
    op.create_table(
        "agentgraph_creations",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("made", sa.String(1024), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name="pk_agentgraph_creations"),
    )
    op.create_index("ix_agentgraph_creations_at", "agentgraph_creations", ["at"])


def downgrade() -> None:
    """Drop the tables; what users said and what was remembered of them stays in the tenants' files."""
    for name in ("creations", "chats", "users"):
        op.drop_table(f"agentgraph_{name}")
