"""OpenAI's chat-completions request, read strictly: every field is honoured or refused by name.

Accepted without effect, because they ask for nothing an answer could lack: `store` on a thread,
`modalities: ["text"]`, `stream_options.include_obfuscation`, keys of `metadata` that are not ours, and on messages
`annotations`, `audio: null` and `reasoning_content`, which clients send back as they got them, and what the official
ones add to them (`parsed`, `parsed_arguments`).

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import ConfigDict, Field
from starlette.datastructures import Headers

from agentgraph.errors import InvalidInputError
from agentgraph.plain import checked
from agentgraph.run import RunRequest
from agentgraph.server.openai.extras import EXTRA_HINTS, Extras
from agentgraph.server.openai.parts import PART_FIELDS, Part, blocks
from agentgraph.server.openai.wire import Wire, field_names, read
from agentgraph.threads.function_calls import WITHOUT_ID
from agentgraph.tool_formats import openai_tools

__all__ = [
    "CalledFunction",
    "ChatCompletionRequest",
    "JsonSchema",
    "TextFormat",
    "ToolCall",
    "assistant_message",
    "read_chat_completion_request",
]

_HINTS: Final = {
    "audio": "answers are text only",
    "prediction": "predicted outputs are not supported",
    "moderation": "nothing is moderated here; give the agent a tool, or its model's server the task",
    "prompt_cache_options": "caching is the model's server's; send 'prompt_cache_key'",
    "prompt_cache_retention": "caching is the model's server's; send 'prompt_cache_key'",
    "web_search_options": "web search is not built in; give the agent a tool",
    **EXTRA_HINTS,
}
# Handed to the model as they are, where set.
_PARAMETERS: Final = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "parallel_tool_calls",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "user",
    "prompt_cache_key",
    "safety_identifier",
)
_MOST_CHOICES: Final = 8


class CalledFunction(Wire):
    """A function's name and its arguments, which are JSON within a string."""

    name: str
    arguments: str
    parsed_arguments: Any = None


class ToolCall(Wire):
    """A call an assistant made."""

    id: str = Field(min_length=1)
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class ChatMessage(Wire):
    """One message, of any role."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None
    audio: None = None
    reasoning_content: str | None = None
    parsed: Any = None


class ChosenFunction(Wire):
    """A function's name."""

    name: str


class ToolChoice(Wire):
    """The one tool to call."""

    type: Literal["function"]
    function: ChosenFunction


class TextFormat(Wire):
    """Text, or JSON without a schema."""

    type: Literal["text", "json_object"]


class JsonSchema(Wire):
    """What the JSON is to look like."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Wire):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(Wire):
    """What else a stream tells. `include_obfuscation` has no effect: chunks are not padded."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatCompletionRequest(Wire):
    """The request's body."""

    messages: list[ChatMessage] = Field(description="At least one; none where `resume` is given.")
    model: str | None = Field(
        default=None, description="`provider/model`; absent, `agentgraph` or `default` for the deployment's own."
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[dict[str, Any]] | None = Field(
        default=None,
        description="Functions the caller runs itself: OpenAI's format, or Anthropic's, Gemini's, Bedrock's or MCP's.",
    )
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    functions: list[dict[str, Any]] | None = Field(
        default=None, description="What was 'tools' once; alone, the answer has 'function_call', one at a time."
    )
    function_call: Literal["none", "auto"] | ChosenFunction | None = Field(
        default=None, description="What was 'tool_choice' once."
    )
    parallel_tool_calls: bool | None = None
    response_format: Annotated[TextFormat | JsonSchemaFormat, Field(discriminator="type")] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    n: int | None = Field(
        default=None, ge=1, le=_MOST_CHOICES, description="More than 1 without a thread only: so many runs at once."
    )
    user: str | None = None
    metadata: dict[str, str] | None = Field(
        default=None,
        description="`thread_id`, `user_id`, `timezone`, `include_memories`, `on_busy`, `on_disconnect` and `receipts` "
        "are read; headers win. Other keys are the client's own tags and change nothing.",
    )
    resume: Any = Field(
        default=None,
        description="Not OpenAI's: the answer to what the thread waits for, a value or one for each interrupt by id.",
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    store: bool | None = Field(default=None, description="`true` on a thread only, which keeps the answer.")
    modalities: list[Literal["text"]] | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def choices(self) -> int:
        """How many answers are wanted."""
        return self.n or 1

    @property
    def uses_functions(self) -> bool:
        """Whether the request is in the older format, so that the answer is to be."""
        return bool(self.functions) and not self.tools

    def run_request(self, *, tenant: str, headers: Headers, default_models: frozenset[str]) -> RunRequest:
        """Return what the request asks of the agent.

        Args:
            tenant: `tenant` or `tenant:session`, as the URL has it.
            headers: Say for whom it is; they win over `metadata`.
            default_models: Names that mean the deployment's own model.

        Raises:
            InvalidInputError: A value that cannot be honoured, or two that do not fit.
        """
        extras = self.extras(headers)
        options = extras.options(tenant)
        self._refuse_what_cannot_be_honoured(is_kept=":" in tenant or extras.thread is not None)
        tools = [*openai_tools(self.tools or ()), *openai_tools(self.functions or (), param="functions")]
        return RunRequest.of(
            _messages(self.messages),
            **options,
            resume=None if self.resume is None else checked(self.resume, param="resume"),
            model=None if not self.model or self.model in default_models else self.model,
            tools=tools,
            tool_choice=self._checked_choice([tool["function"]["name"] for tool in tools]),
            parameters=self._parameters(),
            stream=bool(self.stream),
        )

    def extras(self, headers: Headers) -> Extras:
        """Return what is asked for beside OpenAI's fields."""
        return Extras.of(headers, self.metadata)

    def _refuse_what_cannot_be_honoured(self, *, is_kept: bool) -> None:
        if not self.messages and self.resume is None:
            raise InvalidInputError("messages holds nothing to answer: add a user message", param="messages")
        if self.messages and self.resume is not None:
            raise InvalidInputError("resume goes without messages: leave 'messages' empty", param="resume")
        if self.choices > 1 and is_kept:
            raise InvalidInputError(f"n is {self.n}; a thread goes on with one answer, so n must be 1", param="n")
        if self.store and not is_kept:
            raise InvalidInputError(
                "store: one-off completions are not kept; name a thread (x-thread-id), which keeps them", param="store"
            )
        if self.stream_options is not None and not self.stream:
            raise InvalidInputError("stream_options is for streams: set 'stream' too", param="stream_options")
        if self.logprobs and self.stream:
            raise InvalidInputError("logprobs are told with whole answers only: leave 'stream' out", param="logprobs")
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidInputError("top_logprobs needs 'logprobs': true", param="top_logprobs")
        if self.function_call is not None and self.tool_choice is not None:
            raise InvalidInputError("send tool_choice, or the older function_call, not both", param="function_call")

    def _checked_choice(self, names: Sequence[str]) -> str | dict[str, Any] | None:
        """Return which of the tools called `names` is to be called, as a `tool_choice`."""
        choice, param = self.tool_choice, "tool_choice"
        if isinstance(self.function_call, ChosenFunction):
            choice, param = ToolChoice(type="function", function=self.function_call), "function_call"
        elif self.function_call is not None:
            choice, param = self.function_call, "function_call"
        if choice is None or choice in {"none", "auto"}:
            return choice
        if not names:
            raise InvalidInputError(f"{param} forces a tool, and none is declared", param=param)
        if not isinstance(choice, ToolChoice):
            return choice
        if choice.function.name not in names:
            raise InvalidInputError(
                f"{param} names {choice.function.name!r}, which is not among the tools", param=param
            )
        return choice.model_dump()

    def _parameters(self) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name in _PARAMETERS:
            value = getattr(self, name)
            if value is not None:
                given[name] = value.model_dump(exclude_none=True, by_alias=True) if isinstance(value, Wire) else value
        if self.stop is not None:
            given["stop"] = [self.stop] if isinstance(self.stop, str) else self.stop
        if self.uses_functions:
            given["parallel_tool_calls"] = False  # the answer has room for one
        return given


def read_chat_completion_request(body: bytes) -> ChatCompletionRequest:
    """Read the body.

    Raises:
        InvalidInputError: It is not JSON or not such a request; names the field at fault and never quotes the input.
    """
    return read(body, ChatCompletionRequest, fields=_FIELDS, hints=_HINTS)


_FIELDS: Final = PART_FIELDS | field_names(
    ToolCall, CalledFunction, ChatMessage, ToolChoice, TextFormat, JsonSchemaFormat, JsonSchema, StreamOptions
)


def _messages(sent: Sequence[ChatMessage]) -> list[BaseMessage]:
    """Return LangChain's messages; the old `function` role becomes a tool's, with ids made up in order."""
    messages: list[BaseMessage] = []
    function_call_id: str | None = None
    for i, message in enumerate(sent):
        where = f"messages[{i}]"
        content = _content(message, where)
        match message.role:
            case "system" | "developer":
                messages.append(SystemMessage(_required(content, where)))
            case "user":
                messages.append(HumanMessage(_required(content, where), name=message.name))
            case "assistant":
                calls = list(message.tool_calls or ())
                if message.function_call is not None:
                    function_call_id = f"{WITHOUT_ID}{i}"
                    calls.append(ToolCall(id=function_call_id, function=message.function_call))
                if content is None and not calls and message.refusal is None:
                    raise InvalidInputError(f"{where} has neither content nor tool_calls", param=f"{where}.content")
                messages.append(assistant_message(content or message.refusal or "", calls))
            case "tool" | "function":
                call_id = message.tool_call_id if message.role == "tool" else function_call_id
                if message.role == "function" and call_id is None and message.name:
                    call_id = f"{WITHOUT_ID}{i}"  # the thread has the call
                if not call_id:
                    raise InvalidInputError(
                        f"{where} answers no call: tool_call_id is missing", param=f"{where}.tool_call_id"
                    )
                messages.append(ToolMessage(_required(content, where), tool_call_id=call_id, name=message.name))
    return messages


def _content(message: ChatMessage, where: str) -> str | list[str | dict[str, Any]] | None:
    return blocks(message.content, where) if isinstance(message.content, list) else message.content


def _required(content: str | list[str | dict[str, Any]] | None, where: str) -> str | list[str | dict[str, Any]]:
    if content is None:
        raise InvalidInputError(f"{where}.content is missing", param=f"{where}.content")
    return content


def assistant_message(content: str | list[str | dict[str, Any]], calls: Sequence[ToolCall]) -> AIMessage:
    """Return what an assistant said and called; calls whose arguments are no JSON object stay as they are written."""
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for call in calls:
        given = {"id": call.id, "name": call.function.name, "args": call.function.arguments}
        try:
            # Not orjson: arguments may hold integers beyond 64 bits.
            arguments = json.loads(call.function.arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if isinstance(arguments, dict):
            good.append({**given, "args": arguments})
        else:
            bad.append({**given, "error": "the arguments are not a JSON object"})
    return AIMessage(content, tool_calls=good, invalid_tool_calls=bad)
