"""The routes of `ai-proxy-core`, for its clients: `/api/chat/completions` and `/api/models`.

Its request is OpenAI's with words of its own, which are put into OpenAI's here; from there on the two are one.

Source: https://github.com/ebowwa/ai-proxy-core
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError
from agentgraph.models.catalogue import PROVIDERS, known_models
from agentgraph.server.auth import authorize, caller_of
from agentgraph.server.chat import PROBLEMS
from agentgraph.server.client import ClientFields, client_of
from agentgraph.server.openai.api import OpenAIApi
from agentgraph.server.openai.chat import completed
from agentgraph.server.openai.models import usable_models
from agentgraph.server.openai.request import read_chat_completion_request
from agentgraph.streaming.agent_events import dumps

__all__ = ["AiProxyRequest", "ai_proxy_router"]

_AUDIO: Final = re.compile(r"data:audio/(?:x-)?(wav|mp3|mpeg)(?:;[^,]*)?;base64,(.*)", re.DOTALL)
_OPENAI: Final = ("model", "messages", "temperature", "max_tokens", "stream")


class AiProxyRequest(ClientFields):
    """The request, as its clients send it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"messages": [{"role": "user", "content": "Hello"}], "app": "notes", "client_id": "phone-1"}]
        },
    )

    messages: list[dict[str, Any]] = Field(min_length=1, description="`role` and `content`: text, or a list of parts.")
    model: str | None = Field(default=None, description="`provider/model`; without it the deployment's own.")
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    stream: bool | None = Field(default=None, description="Whether the answer is wanted as it comes.")
    response_format: str | dict[str, Any] | None = Field(
        default=None, description="`text`, `json_object`, or OpenAI's."
    )
    system_instruction: str | None = Field(default=None, description="What the model is told first.")
    safety_settings: list[dict[str, str]] | None = Field(
        default=None, description="Refused unless empty: how strictly a vendor filters is the deployment's choice."
    )

    def as_openai(self) -> bytes:
        """Return the same as OpenAI's clients would send it.

        Raises:
            InvalidInputError: What OpenAI has no word for.
        """
        if self.safety_settings:
            raise InvalidInputError(
                "safety_settings cannot be set per request; leave them out", param="safety_settings"
            )
        told: dict[str, Any] = {name: value for name in _OPENAI if (value := getattr(self, name)) is not None}
        told["messages"] = [_message(message, f"messages[{i}]") for i, message in enumerate(self.messages)]
        if self.system_instruction:
            told["messages"].insert(0, {"role": "system", "content": self.system_instruction})
        if isinstance(self.response_format, str):
            told["response_format"] = {"type": self.response_format}
        elif self.response_format is not None:
            told["response_format"] = self.response_format
        return dumps(told)


def ai_proxy_router(app: AgentGraph) -> APIRouter:
    """Return the routes, to be included without a prefix."""
    router = APIRouter(prefix="/api", tags=["ai-proxy-core"])
    api = OpenAIApi(app)

    @router.post("/chat/completions", responses={**PROBLEMS, 200: _COMPLETION}, response_class=Response)
    async def create_completion(request: Request, asked: AiProxyRequest) -> Response:
        """Answer a conversation, for the tenant that the key is of."""
        client = client_of(request, asked)
        openai = read_chat_completion_request(asked.as_openai())
        tenant = caller_of(request).tenant or "default"
        return await completed(api, request, openai, tenant=tenant, user=client.user_id)

    @router.get("/models", responses={**PROBLEMS, 200: _MODELS}, response_class=Response)
    async def list_models(
        request: Request, provider: Annotated[str | None, Query(max_length=100, description="Only this one's.")] = None
    ) -> Response:
        """List the models this deployment can use, with what each can do."""
        await authorize(request, caller_of(request).tenant or "default")
        models = await asyncio.to_thread(_models, app)
        chosen = [model for model in models if provider in {None, model["provider"]}]
        return Response(orjson.dumps({"models": chosen}), media_type="application/json")

    return router


def _models(app: AgentGraph) -> list[dict[str, Any]]:
    profiles = {f"{provider.name}/{name}": profile for provider in PROVIDERS for name, profile in _known(provider)}
    return [_described(name, profiles.get(name, {})) for name in usable_models(app)]


def _known(provider: Any) -> list[tuple[str, Any]]:
    return list(known_models(provider).items())


def _described(spec: str, profile: Any) -> dict[str, Any]:
    provider, slash, name = spec.partition("/")
    return {
        "id": spec,
        "name": name if slash else spec,
        "provider": provider if slash else "agentgraph",
        "context_limit": profile.get("max_input_tokens"),
        "capabilities": [word for word, keys in _CAPABILITIES.items() if any(profile.get(key) for key in keys)],
        "status": "available",
    }


_CAPABILITIES: Final = {
    "text": ("text_outputs",),
    "vision": ("image_inputs",),
    "audio": ("audio_inputs",),
    "function_calling": ("tool_calling",),
    "structured_output": ("structured_output",),
    "reasoning": ("reasoning_output",),
}


def _message(message: dict[str, Any], at: str) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_part(part, f"{at}.content[{i}]") for i, part in enumerate(content)]}


def _part(part: Any, at: str) -> Any:
    """Put a part into OpenAI's words. A `document` named by its path would be read from this server's disk."""
    if not isinstance(part, dict) or part.get("type") != "audio_url":
        return part
    audio = part.get("audio_url")
    url = audio.get("url") if isinstance(audio, dict) else None
    if not isinstance(url, str) or (found := _AUDIO.fullmatch(url)) is None:
        raise InvalidInputError(f"{at}.audio_url.url must be a data: URL of wav or mp3, in base64", param=at)
    kind = "mp3" if found[1] == "mpeg" else found[1]
    return {"type": "input_audio", "input_audio": {"data": found[2], "format": kind}}


_COMPLETION: Final[dict[str, Any]] = {
    "description": "The completion, as OpenAI's; with `stream`, its chunks as server-sent events.",
    "content": {
        "application/json": {
            "example": {
                "id": "chatcmpl-4f6c…",
                "object": "chat.completion",
                "created": 1795262400,
                "model": "openai/gpt-4o-mini",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}
                ],
                "usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10},
            }
        },
        "text/event-stream": {},
    },
}
_MODELS: Final[dict[str, Any]] = {
    "description": "The models.",
    "content": {
        "application/json": {
            "example": {
                "models": [
                    {
                        "id": "openai/gpt-4o-mini",
                        "name": "gpt-4o-mini",
                        "provider": "openai",
                        "context_limit": 128000,
                        "capabilities": ["text", "vision", "function_calling"],
                        "status": "available",
                    }
                ]
            }
        }
    },
}
