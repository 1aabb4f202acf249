"""`/llm`: the model alone, with no memory, no thread and no tools."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentgraph.app import AgentGraph
from agentgraph.run import RunRequest
from agentgraph.scope import Scope
from agentgraph.server import turns
from agentgraph.server.event_log import EventLogs
from agentgraph.server.rest.acting import Acting
from agentgraph.server.rest.described import RUNS, STREAM
from agentgraph.server.rest.fields import Words
from agentgraph.server.rest.message_views import UsageView
from agentgraph.server.sse import LogStream

__all__ = ["add_llm_routes"]


class Said(BaseModel):
    """A message to the model."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant", "system"] = Field(examples=["user"])
    content: Words = Field(examples=["Name three prime numbers."])


class Prompt(BaseModel):
    """What the model is asked."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"anyOf": [{"required": ["prompt"]}, {"required": ["messages"]}]}
    )

    prompt: Words | None = Field(
        default=None, description="One message of a user's.", examples=["Name three prime numbers."]
    )
    messages: Annotated[list[Said], Field(min_length=1)] | None = Field(
        default=None, description="A conversation, instead of `prompt`."
    )
    system: Words | None = Field(default=None, description="Instructions.", examples=["Answer briefly."])
    model: Words | None = Field(
        default=None, description="`provider/model`; by default the deployment's.", examples=[None]
    )
    temperature: float | None = Field(default=None, ge=0, le=2, examples=[0.2])
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, examples=[200])
    stop: Annotated[list[Words], Field(min_length=1, max_length=16)] | None = Field(default=None, examples=[["\n\n"]])

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Prompt:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give prompt or messages")
        return self


class Completion(BaseModel):
    """What the model said."""

    text: str = Field(examples=["2, 3 and 5."])
    model: str = Field(examples=["openai/gpt-4o-mini"])
    finish_reason: str = Field(examples=["stop"])
    usage: UsageView
    run_id: str = Field(examples=["run-4f6c"])


def add_llm_routes(router: APIRouter, app: AgentGraph, logs: EventLogs) -> None:
    """Add the routes of the model alone."""

    @router.post("/llm/complete", tags=["LLM"], responses=RUNS)
    async def complete(request: Request, scope: Acting, body: Prompt) -> Completion:
        """Ask the model alone, and wait for the answer."""
        result = await turns.run(request, _asked(scope, body))
        return Completion(
            text=result.text,
            model=body.model or app.default_model,
            finish_reason=result.finish_reason,
            usage=UsageView.of(result.usage),
            run_id=result.run_id,
        )

    @router.post("/llm/stream", tags=["LLM"], responses=STREAM, response_class=Response)
    async def stream(request: Request, scope: Acting, body: Prompt) -> Response:
        """Ask the model alone, and see the answer come."""
        log = await logs.start(request, _asked(scope, body))
        await log.first()
        return LogStream(request, log)


def _asked(scope: Scope, body: Prompt) -> RunRequest:
    said: list[Any] = [("user", body.prompt)] if body.prompt is not None else []
    said += [(each.role, each.content) for each in body.messages or ()]
    parameters = {"temperature": body.temperature, "max_tokens": body.max_tokens, "stop": body.stop}
    return RunRequest.of(
        said,
        tenant=scope.tenant,
        user=scope.user,
        system_prompt=body.system,
        model=body.model,
        include_memories=False,
        server_tools=(),
        parameters={name: value for name, value in parameters.items() if value is not None},
    )
