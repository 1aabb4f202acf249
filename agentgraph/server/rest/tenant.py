"""`/tenant`: everything of a tenant, deleted at once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from agentgraph.app import AgentGraph
from agentgraph.server.rest.acting import ActingForAll
from agentgraph.server.rest.memories import ReceiptView

__all__ = ["add_tenant_routes"]


def add_tenant_routes(router: APIRouter, app: AgentGraph) -> None:
    """Add the routes of the tenant itself."""

    @router.delete("/tenant", tags=["Tenant"])
    async def delete_tenant(
        scope: ActingForAll,
        dry_run: Annotated[bool, Query(description="Change nothing and say what would go.")] = False,
    ) -> ReceiptView:
        """Delete everything of a tenant for good: users, chats, threads, sessions, memories, tools, keys, usage."""
        receipt = await app.forget(tenant=scope.tenant, include_threads=True, dry_run=dry_run)
        return ReceiptView.of(receipt)
