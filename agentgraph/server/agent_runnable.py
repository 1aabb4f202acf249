"""The agent as the thin `Runnable` that LangServe serves: who it is for comes with each call's `configurable`.

LangServe is never given the graph itself: it drops what the graph's schema does not name, the thread among it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Final, cast

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
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import HTTPConnection

from agentgraph._sync import run_sync
from agentgraph.app import AgentGraph
from agentgraph.errors import InvalidInputError
from agentgraph.events import RunEvent, RunFailed, RunFinished, RunStarted, TextDelta, ToolCallDelta
from agentgraph.run import RunRequest, RunResult
from agentgraph.server import turns
from agentgraph.streaming.ending import unusual_ending
from agentgraph.streaming.langchain import readable_calls, usage_metadata

__all__ = ["CARRIED_BY", "CONFIGURABLE", "AgentRunnable", "ChatAnswerRunnable", "ConversationInput", "request_of"]

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
    "idempotency_key": "Your name for this call: sent again, it joins the run it began.",
    "thread_id": "LangGraph's word for `thread`.",
    "user_id": "Another word for `user`.",
}


def _read_messages(value: Any) -> Any:
    if not isinstance(value, list):
        return value  # pydantic's own complaint says it best
    try:
        return convert_to_messages([tuple(each) if isinstance(each, list) else each for each in value])
    except Exception as error:
        message = "a message is neither LangChain's, nor has a known role and content"
        raise ValueError(message) from error


class ConversationInput(CustomUserType):
    """What is said to the agent. LangServe hands a `CustomUserType` on as it is; others it would take apart."""

    model_config = ConfigDict(extra="forbid", title="Conversation")

    messages: Annotated[
        list[HumanMessage | AIMessage | SystemMessage | ToolMessage], BeforeValidator(_read_messages)
    ] = Field(
        min_length=1,
        description="The conversation, or on a thread what is new of it.",
        # An empty box to type in. The playground's chat widget would copy answers back, cut short where they come fast.
        json_schema_extra={"default": [{"type": "human", "content": ""}]},
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_less(cls, value: Any) -> Any:
        """Accept a plain string, a message or a list of them."""
        if isinstance(value, str | BaseMessage):
            return {"messages": [HumanMessage(value) if isinstance(value, str) else value]}
        return {"messages": value} if isinstance(value, list) else value


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
    return RunRequest.of(
        list(read.messages),
        tenant=given.get("tenant", "default"),
        thread=given.get("thread") or given.get("thread_id"),
        user=given.get("user") or given.get("user_id"),
        timezone=given.get("timezone"),
        model=given.get("model"),
        **{name: given[name] for name in ("on_busy", "on_disconnect", "idempotency_key") if name in given},
    )


class AgentRunnable(Runnable[Any, AIMessage]):
    """The agent: messages in, an `AIMessage` out, in pieces where streamed."""

    def __init__(self, app: AgentGraph) -> None:
        self._app = app
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
        request = request_of(conversation, config.get("configurable", {})).streaming(wanted=False)
        carried_by = _carried_by(config)
        return _message(await (self._app.run(request) if carried_by is None else turns.run(carried_by, request)))

    async def _pieces(
        self,
        inputs: AsyncIterator[Any],
        run_manager: AsyncCallbackManagerForChainRun,  # noqa: ARG002
        config: RunnableConfig,
    ) -> AsyncGenerator[AIMessage, None]:
        async for conversation in inputs:
            request = request_of(conversation, config.get("configurable", {}))
            message_id: str | None = None
            carried_by = _carried_by(config)
            events = self._app.stream(request) if carried_by is None else turns.stream(carried_by, request)
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, RunStarted):
                        message_id = f"lc-{event.run_id}"
                    elif (piece := _piece(event, message_id)) is not None:
                        yield piece


class ChatAnswerRunnable(AgentRunnable):
    """The same with text as its answer, which is what LangServe's chat playground can show."""

    @property
    def OutputType(self) -> Any:  # noqa: N802
        """Text."""
        return str

    async def _answer(
        self, conversation: Any, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig
    ) -> Any:
        return str((await super()._answer(conversation, run_manager, config)).text)

    async def _pieces(
        self, inputs: AsyncIterator[Any], run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig
    ) -> AsyncGenerator[Any, None]:
        async with aclosing(super()._pieces(inputs, run_manager, config)) as pieces:
            async for piece in pieces:
                if piece.text:
                    yield str(piece.text)


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


def _piece(event: RunEvent, message_id: str | None) -> AIMessageChunk | None:
    """Return what an event adds to the answer; `None` for events that LangChain has no word for."""
    match event:
        case TextDelta():
            return AIMessageChunk(content=event.text, id=message_id)
        case ToolCallDelta(is_client_tool=True):
            call = tool_call_chunk(name=event.name, args=event.arguments, id=event.tool_call_id, index=event.index)
            return AIMessageChunk(content="", id=message_id, tool_call_chunks=[call])
        case RunFinished():
            return AIMessageChunk(
                content="",
                id=message_id,
                usage_metadata=usage_metadata(event.usage),
                response_metadata=_metadata(event),
                chunk_position="last",
            )
        case RunFailed():
            raise event.error
        case _:
            return None


def _metadata(ending: RunResult | RunFinished) -> dict[str, Any]:
    return {"run_id": ending.run_id, "finish_reason": ending.finish_reason, **unusual_ending(ending)}
