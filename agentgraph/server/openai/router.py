"""All of OpenAI's routes, each below a tenant and once more for the tenant that the key is of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from agentgraph.app import AgentGraph
from agentgraph.server.departure import ClientLeftError
from agentgraph.server.errors import fault_of, openai_error
from agentgraph.server.gate import request_id_of
from agentgraph.server.guard import Guard
from agentgraph.server.openai.api import HAS_ACTED, OpenAIApi
from agentgraph.server.openai.chat import add_chat_routes
from agentgraph.server.openai.embeddings import add_embedding_routes
from agentgraph.server.openai.models import add_model_routes
from agentgraph.server.openai.responses import add_response_routes
from agentgraph.server.openai.tools import add_tool_routes

__all__ = ["openai_router"]

_CLIENT_LEFT: Final = 499  # as nginx logs it; nobody is there to read it


def openai_router(app: AgentGraph) -> APIRouter:
    """Return the routes, ready for `include_router(..., prefix="/v1")` in any FastAPI application.

    They bring their own limits, keys and errors along, so that they behave alike wherever they are included.
    """
    api, guard = OpenAIApi(app), Guard(app)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await guard.aclose()  # usage is noted in groups: the last of it, now

    router = APIRouter(route_class=_route(guard), tags=["OpenAI"], lifespan=lifespan)
    for add_routes in (add_chat_routes, add_response_routes, add_embedding_routes, add_tool_routes, add_model_routes):
        add_routes(router, api)
    return router


def _route(guard: Guard) -> type[APIRoute]:
    class Route(APIRoute):
        """Tells errors as OpenAI does."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                request_id = request_id_of(request.scope)
                try:
                    await guard.admit(request)
                    response = await handle(request)
                except ClientLeftError:
                    return Response(status_code=_CLIENT_LEFT)
                except Exception as error:  # noqa: BLE001  the outermost place of a request
                    fault = fault_of(error, request_id=request_id)
                    if request.scope.get(HAS_ACTED):
                        # A one-off run leaves nothing to carry on from: repeated, it would act a second time.
                        fault = replace(fault, retry=False)
                    return openai_error(fault, request_id=request_id)
                response.headers["x-request-id"] = request_id
                return response

            return guarded

    return Route
