"""The agent as the thin `Runnable` that LangServe serves: who it is for comes with each call's `configurable`.

LangServe is never given the graph itself: it drops what the graph's schema does not name, the thread among it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Final, TypeAlias, cast

from langchain_core.callbacks import AsyncCallbackManagerForChainRun
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.runnables import ConfigurableFieldSpec, Runnable, RunnableConfig
from langserve import CustomUserType
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator, model_validator
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import HTTPConnection

from agentgraph._sync import run_sync
from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError
from agentgraph.events import RunEvent, RunFailed, RunFinished, RunStarted, ToolCallDelta
from agentgraph.run import RunRequest, RunResult
from agentgraph.server import turns
from agentgraph.streaming.answer_text import AnswerText
from agentgraph.streaming.ending import unusual_ending
from agentgraph.streaming.langchain import readable_calls, usage_metadata

__all__ = [
    "CARRIED_BY",
    "CONFIGURABLE",
    "AgentRunnable",
    "ChatAnswerRunnable",
    "ConversationInput",
    "Dressing",
    "request_of",
]

Dressing: TypeAlias = Callable[[HTTPConnection, RunRequest], Awaitable[RunRequest]]
"""Gives a request what the agent brings that its path names."""

CARRIED_BY: Final = "__request"
"""Where a call's `configurable` has the HTTP request it came with; LangChain keeps such names out of traces."""

CONFIGURABLE: Final[Mapping[str, str]] = {
    "tenant": "Whose memories and threads: `tenant` or `tenant:session`.",
    "thread": "The conversation to continue; without it the run is one-off.",
    "user": "A person within the tenant.",
    "timezone": "IANA zone of the speaker, 'Europe/Paris' say.",
    "model": "`provider/model`; without it the deployment's own.",
    "on_busy": "What becomes of a run under way on the thread: `enqueue`, `reject`, `interrupt` or `rollback`.",
    "on_disconnect": "What becomes of the run if the client goes away: `continue` or `cancel`.",
    "resume": "The answer to what the thread waits for, as JSON or plain text; the input's `resume` may be any JSON.",
    "idempotency_key": "Your name for this call: sent again, it joins the run it began.",
    "thread_id": "LangGraph's word for `thread`.",
    "user_id": "Another word for `user`.",
}


_Message: TypeAlias = HumanMessage | AIMessage | SystemMessage | ToolMessage


def _read_messages(value: Any, _validated: Any) -> list[_Message]:
    if not isinstance(value, list):
        raise ValueError("messages must be a list")  # noqa: TRY004  pydantic makes a complaint of no other
    try:
        read = convert_to_messages([tuple(each) if isinstance(each, list) else each for each in value])
    except Exception as error:
        message = "a message is neither LangChain's, nor has a known role and content"
        raise ValueError(message) from error
    messages = [each for each in read if isinstance(each, _Message)]
    if len(messages) < len(read):
        message = "messages are of the user, the assistant, the system or a tool"
        raise ValueError(message)
    return messages


class ConversationInput(CustomUserType):
    """What is said to the agent. LangServe hands a `CustomUserType` on as it is; others it would take apart."""

    model_config = ConfigDict(extra="forbid", title="Conversation")

    # Read instead of validated: a tool's message that is one already cannot be validated once more.
    messages: Annotated[list[_Message], WrapValidator(_read_messages)] = Field(
        default=[],
        description="The conversation, or on a thread what is new of it.",
        # An empty box to type in. The playground's chat widget would copy answers back, cut short where they come fast.
        json_schema_extra={"default": [{"type": "human", "content": ""}]},
    )
    # Kept out of the schema: playgrounds have no box for what may be anything.
    resume: SkipJsonSchema[Any] = Field(default=None, description="The answer to what the thread waits for.")

    @model_validator(mode="before")
    @classmethod
    def _accept_less(cls, value: Any) -> Any:
        """Accept a plain string, a message or a list of them."""
        if isinstance(value, str | BaseMessage):
            return {"messages": [HumanMessage(value) if isinstance(value, str) else value]}
        return {"messages": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _says_something(self) -> ConversationInput:
        if not self.messages and self.resume is None:
            raise ValueError("send a message, or the answer to an interrupt as 'resume'")
        return self


def request_of(conversation: Any, configurable: Mapping[str, Any]) -> RunRequest:
    """Return what is asked of the agent.

    Raises:
        InvalidInputError: The conversation cannot be read, or an id is not one.
    """
    try:
        read = ConversationInput.model_validate(conversation)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInputError(f"input: {first['msg']}", param="input") from None
    given = {name: value for name in CONFIGURABLE if (value := configurable.get(name)) not in {None, ""}}
    for name, value in given.items():
        if not isinstance(value, str):
            raise InvalidInputError(f"configurable.{name} must be a string", param=name)
    resume = read.resume if read.resume is not None else _plain(given.get("resume"))
    return RunRequest.of(
        # A playground sends its empty box along.
        [] if resume is not None and all(not message.text for message in read.messages) else list(read.messages),
        tenant=given.get("tenant", "default"),
        resume=resume,
        thread=given.get("thread") or given.get("thread_id"),
        user=given.get("user") or given.get("user_id"),
        timezone=given.get("timezone"),
        model=given.get("model"),
        **{name: given[name] for name in ("on_busy", "on_disconnect", "idempotency_key") if name in given},
    )


class AgentRunnable(Runnable[Any, AIMessage]):
    """The agent: messages in, an `AIMessage` out, in pieces where streamed."""

    def __init__(self, app: AgentGraph, *, dressing: Dressing | None = None) -> None:
        self._app = app
        self._dressing = dressing
        self.name = "agentgraph"

    @property
    def InputType(self) -> Any:  # noqa: N802
        """What LangServe validates."""
        return ConversationInput

    @property
    def OutputType(self) -> Any:  # noqa: N802
        """What comes back."""
        return AIMessage

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:  # noqa: ARG002
        """Return the model itself: derived ones would lose what it accepts besides."""
        return ConversationInput

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """Name what `configurable` may hold; LangServe drops the rest."""
        return [
            ConfigurableFieldSpec(id=name, annotation=str, name=name, description=text, default="")
            for name, text in CONFIGURABLE.items()
        ]

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:  # noqa: A002
        """Do what `ainvoke` does, from synchronous code."""
        return run_sync(self.ainvoke(input, config, **kwargs))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:  # noqa: A002, ARG002
        """Run the agent once."""
        return await self._acall_with_config(self._answer, input, config)

    async def astream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> AsyncIterator[AIMessage]:
        """Run the agent and yield its answer in pieces."""
        streamed = self._atransform_stream_with_config(_once(input), self._pieces, config)
        async with aclosing(cast("AsyncGenerator[AIMessage, None]", streamed)) as pieces:
            async for piece in pieces:
                yield piece

    async def _answer(
        self,
        conversation: Any,
        run_manager: AsyncCallbackManagerForChainRun,  # noqa: ARG002
        config: RunnableConfig,
    ) -> AIMessage:
        request, carried_by = await self._asked(conversation, config)
        request = request.streaming(wanted=False)
        return _message(await (self._app.run(request) if carried_by is None else turns.run(carried_by, request)))

    async def _pieces(
        self,
        inputs: AsyncIterator[Any],
        run_manager: AsyncCallbackManagerForChainRun,  # noqa: ARG002
        config: RunnableConfig,
    ) -> AsyncGenerator[AIMessage, None]:
        async for conversation in inputs:
            request, carried_by = await self._asked(conversation, config)
            pieces = _Pieces()
            events = self._app.stream(request) if carried_by is None else turns.stream(carried_by, request)
            async with aclosing(events):
                async for event in events:
                    if (piece := pieces.of(event)) is not None:
                        yield piece

    async def _asked(self, conversation: Any, config: RunnableConfig) -> tuple[RunRequest, HTTPConnection | None]:
        request, carried_by = request_of(conversation, config.get("configurable", {})), _carried_by(config)
        if self._dressing is not None and carried_by is not None:
            request = await self._dressing(carried_by, request)
        return request, carried_by


class ChatAnswerRunnable(AgentRunnable):
    """The same with text as its answer, which is what LangServe's chat playground can show."""

    @property
    def OutputType(self) -> Any:  # noqa: N802
        """Text."""
        return str

    async def _answer(
        self, conversation: Any, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig
    ) -> Any:
        return _aloud(await super()._answer(conversation, run_manager, config))

    async def _pieces(
        self, inputs: AsyncIterator[Any], run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig
    ) -> AsyncGenerator[Any, None]:
        async with aclosing(super()._pieces(inputs, run_manager, config)) as pieces:
            async for piece in pieces:
                if text := _aloud(piece):
                    yield text


def _carried_by(config: RunnableConfig) -> HTTPConnection | None:
    found = config.get("configurable", {}).get(CARRIED_BY)
    return found if isinstance(found, HTTPConnection) else None


async def _once(value: Any) -> AsyncIterator[Any]:
    yield value


def _message(result: RunResult) -> AIMessage:
    return AIMessage(
        result.text,
        id=f"lc-{result.run_id}",
        tool_calls=readable_calls(result.tool_calls),
        usage_metadata=usage_metadata(result.usage),
        response_metadata=_metadata(result),
    )


class _Pieces:
    """Turns the events of one run into pieces of an answer."""

    def __init__(self) -> None:
        self._text = AnswerText()
        self._message_id: str | None = None
        self._calls_sent: set[str | None] = set()

    def of(self, event: RunEvent) -> AIMessageChunk | None:
        """Return what an event adds; `None` for events that LangChain has no word for."""
        text = self._text.piece(event)
        match event:
            case RunStarted():
                self._message_id = f"lc-{event.run_id}"
                return None
            case ToolCallDelta(is_client_tool=True):
                self._calls_sent.add(event.tool_call_id)
                call = tool_call_chunk(name=event.name, args=event.arguments, id=event.tool_call_id, index=event.index)
                return AIMessageChunk(content="", id=self._message_id, tool_call_chunks=[call])
            case RunFinished():
                return self._last(event, text)
            case RunFailed():
                raise event.error
            case _:
                return AIMessageChunk(content=text, id=self._message_id) if text else None

    def _last(self, event: RunFinished, text: str) -> AIMessageChunk:
        # A model that does not stream tells its calls only now.
        calls = [
            tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
            for index, call in enumerate(readable_calls(event.tool_calls))
            if call["id"] not in self._calls_sent
        ]
        return AIMessageChunk(
            content=text,
            id=self._message_id,
            tool_call_chunks=calls,
            usage_metadata=usage_metadata(event.usage),
            response_metadata=_metadata(event),
            chunk_position="last",
        )


def _aloud(message: AIMessage) -> str:
    """Return a message as text alone; a question to a person is said, too, or nobody would know of it."""
    interrupts = message.response_metadata.get("interrupts")
    if not interrupts:
        return str(message.text)
    asked = "\n".join(json.dumps(interrupt["value"], ensure_ascii=False, default=str) for interrupt in interrupts)
    return f"{message.text}\n\n{asked}".strip()


def _plain(answer: str | None) -> Any:
    """Read an answer that was typed: JSON where it is any, else the text."""
    if answer is None:
        return None
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return answer


def _metadata(ending: RunResult | RunFinished) -> dict[str, Any]:
    return {"run_id": ending.run_id, "finish_reason": ending.finish_reason, **unusual_ending(ending)}
