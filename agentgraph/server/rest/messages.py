"""`/chats/{id}/messages`: what was said in a chat, and a way to say more."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentgraph.app import AgentGraph
from agentgraph.plain import checked
from agentgraph.run import OnBusy, RunRequest
from agentgraph.scope import Scope
from agentgraph.server import turns
from agentgraph.server.event_log import EventLogs
from agentgraph.server.rest.acting import Acting, ChatId
from agentgraph.server.rest.described import RUNS, STREAM
from agentgraph.server.rest.fields import Words
from agentgraph.server.rest.message_views import AnswerView, MessageView, answer_view, message_view
from agentgraph.server.rest.once import IdempotencyKey
from agentgraph.server.rest.pages import After, Limit, Page, page_within, position_after
from agentgraph.server.rest.register import Register
from agentgraph.server.sse import LogStream

__all__ = ["add_message_routes"]

_LIST = "messages"


class ToolResult(BaseModel):
    """What a tool that the client ran returned."""

    model_config = ConfigDict(extra="forbid")

    tool_call_id: Words = Field(examples=["call_1"])
    content: str = Field(examples=["Two flights: 9:10 and 14:40."])


class NewMessage(BaseModel):
    """Something said in a chat, or an answer to what its last run waits for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "anyOf": [{"required": ["content"]}, {"required": ["tool_results"]}, {"required": ["resume"]}]
        },
    )

    content: Words | None = Field(
        default=None, description="What the user says.", examples=["When do cherries blossom?"]
    )
    tool_results: Annotated[list[ToolResult], Field(min_length=1)] | None = Field(
        default=None, description="Results of tools that the client ran, instead of `content`."
    )
    resume: Any = Field(
        default=None,
        description="The answer to an interrupt, or one for each by its id, instead of `content`.",
        examples=[None],
    )
    include_memories: bool = Field(default=True, description="Whether memories are recalled and written.")
    tools: list[dict[str, Any]] = Field(
        default=[], description="Tools the client runs, in any vendor's format.", examples=[[]]
    )
    functions: list[dict[str, Any]] = Field(
        default=[], description="The same in OpenAI's older format: `name`, `description`, `parameters`.", examples=[[]]
    )
    model: Words | None = Field(
        default=None, description="`provider/model`; by default the deployment's.", examples=[None]
    )
    timezone: Words | None = Field(default=None, description="The speaker's IANA zone.", examples=["Europe/Paris"])
    on_busy: OnBusy | None = Field(default=None, description="What becomes of a run under way in the chat.")

    @model_validator(mode="after")
    def _says_one_thing(self) -> NewMessage:
        if sum(part is not None for part in (self.content, self.tool_results, self.resume)) != 1:
            raise ValueError("give one of content, tool_results and resume")
        return self


def add_message_routes(router: APIRouter, app: AgentGraph, register: Register, logs: EventLogs) -> None:
    """Add the routes of a chat's messages."""

    async def asked_of(scope: Scope, chat_id: str, body: NewMessage, key: str | None) -> RunRequest:
        chat = await register.chat(scope.tenant, chat_id, only=scope.user)
        said: list[Any] = [] if body.content is None else [("user", body.content)]
        said += [{"role": "tool", **result.model_dump()} for result in body.tool_results or ()]
        return RunRequest.of(
            said,
            tenant=scope.tenant,
            user=chat.user_id,
            thread=chat.chat_id,
            tools=body.tools,
            functions=body.functions,
            include_memories=body.include_memories,
            model=body.model,
            timezone=body.timezone,
            on_busy=body.on_busy,
            idempotency_key=key,
            resume=None if body.resume is None else checked(body.resume, param="resume"),
        )

    @router.get("/chats/{chat_id}/messages", tags=["Messages"])
    async def list_messages(
        scope: Acting, chat_id: ChatId, limit: Limit = 50, after: After = None
    ) -> Page[MessageView]:
        """List what was said in a chat, oldest first."""
        await register.chat(scope.tenant, chat_id, only=scope.user)
        begins = position_after(after, of=_LIST)
        history = await app.threads.history(tenant=scope.tenant, thread=chat_id)
        return page_within(history, message_view, of=_LIST, limit=limit, begins_at=begins)

    @router.post("/chats/{chat_id}/messages", tags=["Messages"], responses=RUNS)
    async def send_message(
        request: Request,
        scope: Acting,
        chat_id: ChatId,
        body: NewMessage,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> AnswerView:
        """Say something in a chat and wait for the answer."""
        result = await turns.run(request, await asked_of(scope, chat_id, body, idempotency_key))
        response.headers["x-run-id"] = result.run_id
        return answer_view(result)

    @router.post("/chats/{chat_id}/messages/stream", tags=["Messages"], responses=STREAM, response_class=Response)
    async def stream_message(
        request: Request, scope: Acting, chat_id: ChatId, body: NewMessage, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Say something in a chat and see the answer come."""
        log = await logs.start(request, await asked_of(scope, chat_id, body, idempotency_key))
        await log.first()  # what fails before there is something to tell is an error with a status
        return LogStream(request, log)
