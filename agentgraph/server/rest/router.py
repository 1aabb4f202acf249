"""`/api/v1`: everything of a tenant as resources, each in a file of its own."""

from __future__ import annotations

from fastapi import APIRouter

from agentgraph.app import AgentGraph
from agentgraph.server.event_log import EventLogs
from agentgraph.server.guard import Guard
from agentgraph.server.rest.chats import add_chat_routes
from agentgraph.server.rest.functions import add_function_routes
from agentgraph.server.rest.llm import add_llm_routes
from agentgraph.server.rest.mcp import add_mcp_routes
from agentgraph.server.rest.memories import add_memory_routes
from agentgraph.server.rest.messages import add_message_routes
from agentgraph.server.rest.notes import add_note_routes
from agentgraph.server.rest.register import Register
from agentgraph.server.rest.runs import add_run_routes
from agentgraph.server.rest.sessions import add_session_routes
from agentgraph.server.rest.tenant import add_tenant_routes
from agentgraph.server.rest.threads import add_thread_routes
from agentgraph.server.rest.usage import add_usage_routes
from agentgraph.server.rest.users import add_user_routes

__all__ = ["rest_router"]


def rest_router(app: AgentGraph, guard: Guard) -> APIRouter:
    """Return the routes, which stand behind the gate of the application."""
    router, register, logs = APIRouter(prefix="/api/v1"), Register(app), EventLogs(guard)
    add_user_routes(router, register)
    add_chat_routes(router, register)
    add_message_routes(router, app, register, logs)
    add_note_routes(router, app, register)
    add_memory_routes(router, app)
    add_llm_routes(router, app, logs)
    add_function_routes(router, app)
    add_mcp_routes(router, app)
    add_thread_routes(router, app, register)
    add_session_routes(router, app)
    add_run_routes(router, app)
    add_usage_routes(router, guard)
    add_tenant_routes(router, app)
    return router
