"""`ChatAgentGraph`: the whole agent behind LangChain's chat-model interface, in this process or over HTTP.

Drop it wherever a chat model goes: a chain, an agent, a node of another graph. Memory, time and server tools work
behind it; tools bound to it are the caller's, and come back as `tool_calls`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any, Final, Self
from uuid import uuid4
from weakref import finalize

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from agentgraph._sync import call_on, iterate_on, iterate_sync, portal_loop, run_sync
from agentgraph.app import AgentGraph
from agentgraph.errors import ConfigurationError, InvalidInputError
from agentgraph.events import RunEvent, RunFailed, RunFinished, ToolCallDelta
from agentgraph.run import OnBusy, OnDisconnect, RunRequest, RunResult
from agentgraph.scope import Scope
from agentgraph.streaming.answer_text import AnswerText
from agentgraph.streaming.ending import unusual_ending
from agentgraph.streaming.langchain import readable_calls, unreadable_calls, usage_metadata
from agentgraph.tool_formats import openai_tools

__all__ = ["ChatAgentGraph"]


class ChatAgentGraph(BaseChatModel):
    """A LangChain chat model that remembers.

        llm = ChatAgentGraph(tenant="acme")                                # in this process
        llm = ChatAgentGraph(tenant="acme", base_url="http://host:8000/v1")  # a server's

    Without `thread` each call is one-off: the messages are its history, memory applies, and no conversation is kept.
    Over HTTP a call that got lost is sent again by itself, under a key of its own, and joins the run it began.
    `on_busy`, `on_disconnect` and `idempotency_key` may be given with a single call, too.

    Attributes:
        tenant: `tenant` or `tenant:session`.
        user: A person within the tenant.
        thread: The conversation to continue; the caller may then send new messages only.
        model_name: `provider/model`; the deployment's default where not given (alias `model`).
        timezone: IANA zone of the speaker.
        include_memories: Whether memories are recalled and written.
        on_busy: What becomes of a run under way on the thread; `None` for the deployment's choice.
        on_disconnect: What becomes of a run whose caller is cancelled; `None` for the deployment's choice.
        temperature, max_tokens, stop: Sampling, as everywhere in LangChain.
        model_kwargs: Further sampling parameters, as OpenAI spells them.
        streaming: Stream under `invoke` too, so that callbacks see tokens.
        app: The `AgentGraph` to use in this process; by default one is made from the environment and shared.
        base_url: The `/v1` address of a server, instead of an `app`.
        api_key: The server's key.
    """

    tenant: str = "default"
    user: str | None = None
    thread: str | None = None
    model_name: str | None = Field(default=None, alias="model")
    timezone: str | None = None
    include_memories: bool = True
    on_busy: OnBusy | None = None
    on_disconnect: OnDisconnect | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    streaming: bool = False
    timeout: float | None = None
    base_url: str | None = None
    api_key: SecretStr | None = None
    app: AgentGraph | None = Field(default=None, exclude=True)

    _remote: BaseChatModel | None = PrivateAttr(default=None)

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.app is not None and self.base_url is not None:
            raise ConfigurationError("give either app or base_url, not both")
        Scope.parse(self.tenant, user=self.user, thread=self.thread)
        if self.base_url is not None:
            self._remote = _remote_model(self)
        return self

    @property
    def _llm_type(self) -> str:
        return "agentgraph"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"tenant": self.tenant, "model": self.model_name, "base_url": self.base_url, **self._parameters()}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        parameters: LangSmithParams = {
            "ls_provider": "agentgraph",
            "ls_model_name": str(kwargs.get("model") or self.model_name or "default"),
            "ls_model_type": "chat",
        }
        if (temperature := kwargs.get("temperature", self.temperature)) is not None:
            parameters["ls_temperature"] = temperature
        if (max_tokens := kwargs.get("max_tokens", self.max_tokens)) is not None:
            parameters["ls_max_tokens"] = max_tokens
        if ls_stop := stop or self.stop:
            parameters["ls_stop"] = ls_stop
        return parameters

    def bind_tools(
        self,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | Mapping[str, Any] | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools that the caller runs.

        Args:
            tools: LangChain tools, functions, Pydantic models, or declarations in any vendor's format.
            tool_choice: `auto`, `none`, `any` or `required`, a tool's name, OpenAI's object, or `True` for the one.
            strict: Hold the model to the schema, where the vendor can.
            parallel_tool_calls: Whether one answer may hold several calls, where the vendor lets one choose.
            kwargs: Sampling parameters to bind with them.
        """
        schemas = openai_tools(tools, strict=strict)
        choice = _choice(tool_choice, [schema["function"]["name"] for schema in schemas])
        if choice is not None:
            kwargs["tool_choice"] = choice
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(tools=schemas, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        if self._remote is not None:
            return run_sync(self._remote._agenerate(messages, stop or self.stop, **_sent(kwargs)))  # noqa: SLF001
        result = run_sync(self._application().run(self._request(messages, stop, kwargs).streaming(False)))
        return ChatResult(generations=[ChatGeneration(message=_message(result))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        if self._remote is not None:
            answer = self._remote._agenerate(messages, stop or self.stop, **_sent(kwargs))  # noqa: SLF001
            return await call_on(portal_loop(), answer)
        result = await self._application().run(self._request(messages, stop, kwargs).streaming(False))
        return ChatResult(generations=[ChatGeneration(message=_message(result))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for piece in iterate_sync(lambda: self._pieces(messages, stop, kwargs)):
            if run_manager is not None:
                run_manager.on_llm_new_token(str(piece.text), chunk=piece)
            yield piece

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with aclosing(self._pieces(messages, stop, kwargs)) as pieces:
            async for piece in pieces:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(str(piece.text), chunk=piece)
                yield piece

    async def _pieces(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        """Yield the answer from wherever it is made; callbacks are the caller's and stay on the caller's loop."""
        if (remote := self._remote) is not None:

            async def answer() -> AsyncGenerator[ChatGenerationChunk, None]:
                async for piece in remote._astream(messages, stop or self.stop, **_sent(kwargs)):  # noqa: SLF001
                    yield piece

            async with aclosing(iterate_on(portal_loop(), answer)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        encoder = _ChunkEncoder()
        async with aclosing(self._application().stream(self._request(messages, stop, kwargs))) as events:
            async for event in events:
                if (encoded := encoder.encode(event)) is not None:
                    yield encoded

    def _application(self) -> AgentGraph:
        return self.app if self.app is not None else _shared_application()

    def _parameters(self) -> dict[str, Any]:
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {name: value for name, value in own.items() if value is not None} | self.model_kwargs

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> RunRequest:
        """Read LangChain's call: bound tools, sampling parameters, and identity that one call may override."""
        options = dict(kwargs)
        given = {name: options.pop(name, None) for name in ("model", "timezone", "user", "thread", "tenant")}
        tools = options.pop("tools", None) or ()
        tool_choice = options.pop("tool_choice", None)
        functions = options.pop("functions", None) or ()
        function_call = options.pop("function_call", None)
        include_memories = options.pop("include_memories", self.include_memories)
        on_busy = options.pop("on_busy", None) or self.on_busy
        on_disconnect = options.pop("on_disconnect", None) or self.on_disconnect
        idempotency_key = options.pop("idempotency_key", None)
        parameters = self._parameters() | options
        if stops := stop or self.stop:
            parameters["stop"] = stops
        return RunRequest.of(
            messages,
            tenant=given["tenant"] or self.tenant,
            user=given["user"] or self.user,
            thread=given["thread"] or self.thread,
            model=given["model"] or self.model_name,
            timezone=given["timezone"] or self.timezone,
            tools=tools,
            tool_choice=tool_choice,
            functions=functions,
            function_call=function_call,
            include_memories=include_memories,
            on_busy=on_busy,
            on_disconnect=on_disconnect,
            idempotency_key=idempotency_key,
            parameters={name: value for name, value in parameters.items() if name not in _TRACING_ONLY},
        )


_TRACING_ONLY: Final = frozenset({"ls_structured_output_format"})
_SENT_AS: Final = {"idempotency_key": "idempotency-key", "on_busy": "x-on-busy", "on_disconnect": "x-on-disconnect"}
_RETRIES: Final = 2


class _ChunkEncoder:
    """Turn a run's events into LangChain chunks: the answer's text and the caller's tool calls, usage on the last."""

    def __init__(self) -> None:
        self._text = AnswerText()
        self._indexes: dict[int, int] = {}  # the model's index of a call → its index among the caller's calls

    def encode(self, event: RunEvent) -> ChatGenerationChunk | None:
        text = self._text.piece(event)
        match event:
            case ToolCallDelta(is_client_tool=True):
                index = self._indexes.setdefault(event.index, len(self._indexes))
                piece = tool_call_chunk(name=event.name, args=event.arguments, id=event.tool_call_id, index=index)
                return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece]))
            case RunFinished():
                last = AIMessageChunk(
                    content=text,
                    id=event.message_id,
                    usage_metadata=usage_metadata(event.usage),
                    response_metadata=_metadata(event),
                    chunk_position="last",
                )
                return ChatGenerationChunk(message=last)
            case RunFailed():
                raise event.error
            case _:
                return ChatGenerationChunk(message=AIMessageChunk(content=text)) if text else None


@cache
def _shared_application() -> AgentGraph:
    """Return the process's application, made from the environment: models are opened and memory is read once."""
    return AgentGraph()


def _remote_model(face: ChatAgentGraph) -> BaseChatModel:
    """Return a client of a server's OpenAI-compatible endpoint.

    It is only ever used on the portal's loop: a client's connections belong to one loop, and one object may be called
    from several. It is closed when `face` is no longer used.
    """
    from langchain_openai import ChatOpenAI
    from openai import DefaultAioHttpClient

    client = DefaultAioHttpClient(timeout=face.timeout)
    finalize(face, _close_soon, client)

    headers = {
        "x-thread-id": face.thread,
        "x-user-id": face.user,
        "x-timezone": face.timezone,
        "x-on-busy": face.on_busy,
        "x-on-disconnect": face.on_disconnect,
    }
    return ChatOpenAI(
        base_url=f"{str(face.base_url).rstrip('/')}/{face.tenant}",
        api_key=face.api_key or SecretStr("none"),
        model=face.model_name or "default",
        temperature=face.temperature,
        max_completion_tokens=face.max_tokens,
        model_kwargs=face.model_kwargs,
        default_headers={name: value for name, value in headers.items() if value}
        | ({} if face.include_memories else {"x-include-memories": "false"}),
        http_async_client=client,
        timeout=face.timeout,
        max_retries=_RETRIES,
        stream_usage=True,
        streaming=face.streaming,
        # It stands on `asyncio.wait_for`, which before Python 3.12 loses a cancellation that meets a piece of the
        # answer (python/cpython#86296); `timeout` bounds each read as well. Delete when 3.12 is the oldest we run on.
        stream_chunk_timeout=None,
    )


def _sent(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Name a call, so that the client may repeat it, and move to headers what a body has no field for."""
    options = {"idempotency_key": f"call-{uuid4().hex}", **kwargs}
    ours = {header: value for name, header in _SENT_AS.items() if (value := options.pop(name, None)) is not None}
    return options | {"extra_headers": ours | dict(options.get("extra_headers") or {})}


def _close_soon(client: Any) -> None:
    asyncio.run_coroutine_threadsafe(client.aclose(), portal_loop())


def _choice(choice: str | Mapping[str, Any] | bool | None, names: Sequence[str]) -> str | dict[str, Any] | None:
    """Spell a tool choice as OpenAI does."""
    match choice:
        case None | False:
            return None
        case True:
            if len(names) != 1:
                raise InvalidInputError(
                    f"tool_choice=True needs exactly one tool, not {len(names)}", param="tool_choice"
                )
            return {"type": "function", "function": {"name": names[0]}}
        case "any" | "required":
            return "required"
        case "auto" | "none":
            return choice
        case str():
            if choice not in names:
                raise InvalidInputError(
                    f"tool_choice names {choice!r}, which is not among {names}", param="tool_choice"
                )
            return {"type": "function", "function": {"name": choice}}
        case _:
            return dict(choice)


def _message(result: RunResult) -> AIMessage:
    return AIMessage(
        content=result.text,
        id=result.message_id,
        tool_calls=readable_calls(result.tool_calls),
        invalid_tool_calls=unreadable_calls(result.tool_calls),
        usage_metadata=usage_metadata(result.usage),
        response_metadata=_metadata(result),
    )


def _metadata(ending: RunResult | RunFinished) -> dict[str, Any]:
    told = ending.response_metadata
    return {
        "model_name": told.get("model_name", "unknown"),
        "finish_reason": ending.finish_reason,
        "model_provider": "agentgraph",
        "run_id": ending.run_id,
        **unusual_ending(ending),
    }
