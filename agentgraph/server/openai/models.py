"""`GET /models`: which models this deployment can use now."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from agentgraph.app import AgentGraph
from agentgraph.errors import NotFoundError
from agentgraph.models.catalogue import PROVIDERS, Provider, known_models, parse_model
from agentgraph.server.auth import authorize
from agentgraph.server.openai.api import OpenAIApi, json_response
from agentgraph.settings import Settings

__all__ = ["add_model_routes", "usable_models"]


def add_model_routes(router: APIRouter, api: OpenAIApi) -> None:
    """Add the routes."""

    @router.get("/{tenant:path}/models")
    async def list_models(request: Request, tenant: str) -> Response:
        """List the models this deployment can use, its default first."""
        return await listed(request, tenant)

    @router.get("/models")
    async def list_models_of_key(request: Request) -> Response:
        """List the models this deployment can use, for the tenant that the key is of."""
        return await listed(request, None)

    @router.get("/{tenant:path}/models/{model:path}")
    async def retrieve_model(request: Request, tenant: str, model: str) -> Response:
        """Describe one model."""
        return await described(request, tenant, model)

    @router.get("/models/{model:path}")
    async def retrieve_model_of_key(request: Request, model: str) -> Response:
        """Describe one model, for the tenant that the key is of."""
        return await described(request, None, model)

    async def listed(request: Request, tenant: str | None) -> Response:
        await authorize(request, tenant)
        models = await asyncio.to_thread(usable_models, api.app)
        return json_response({"object": "list", "data": [_model(name, api.started) for name in models]})

    async def described(request: Request, tenant: str | None, model: str) -> Response:
        await authorize(request, tenant)
        if model in api.default_names:
            return json_response(_model(api.app.default_model, api.started))
        name = str(await asyncio.to_thread(parse_model, model, api.app.settings))
        if name not in await asyncio.to_thread(usable_models, api.app) and not api.app.settings.openai_base_url:
            raise NotFoundError(f"the model {name!r} cannot be used on this server", code="model_not_found")
        return json_response(_model(name, api.started))


def usable_models(app: AgentGraph) -> list[str]:
    """Return the names of the usable models, the default first. Imports vendors' tables: not on an event loop.

    Raises:
        ConfigurationError: There is no model at all.
    """
    names = [app.default_model]
    for provider in PROVIDERS:
        if _is_usable(provider, app.settings):
            names += sorted(f"{provider.name}/{name}" for name in known_models(provider))
    return list(dict.fromkeys(names))


def _is_usable(provider: Provider, settings: Settings) -> bool:
    if provider.open_endpoint_setting and getattr(settings, provider.open_endpoint_setting):
        return False  # somebody else's server: only it knows its models
    if provider.key_setting is not None:
        return bool(getattr(settings, provider.key_setting))
    return provider.name == "local" and find_spec("xllamacpp") is not None


def _model(name: str, created: int) -> dict[str, Any]:
    owner, slash, _ = name.partition("/")
    return {"id": name, "object": "model", "created": created, "owned_by": owner if slash else "agentgraph"}
