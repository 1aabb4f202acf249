"""OpenAI's chat-completions request, read strictly: every field is honoured or refused by name.

Accepted without effect, because they ask for nothing an answer could lack: `store`, `n: 1`, `modalities: ["text"]`,
`stream_options.include_obfuscation`, keys of `metadata` that are not ours, and on messages `annotations`, `audio: null`
and `reasoning_content`, which clients send back as they got them.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers

from agentgraph.errors import InvalidInputError
from agentgraph.plain import checked
from agentgraph.run import OnBusy, OnDisconnect, RunRequest
from agentgraph.threads.function_calls import WITHOUT_ID
from agentgraph.tool_formats import openai_tools

__all__ = ["ChatCompletionRequest", "read_chat_completion_request"]

_HINTS: Final = {
    "audio": "answers are text only",
    "prediction": "predicted outputs are not supported",
    "web_search_options": "web search is not built in; give the agent a tool",
    "thread_id": "send it as the header 'x-thread-id' or within 'metadata'",
    "user_id": "send it as the header 'x-user-id' or within 'metadata'",
    "timezone": "send it as the header 'x-timezone' or within 'metadata'",
    "on_busy": "send it as the header 'x-on-busy' or within 'metadata'",
    "on_disconnect": "send it as the header 'x-on-disconnect' or within 'metadata'",
    "idempotency_key": "send it as the header 'Idempotency-Key'",
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
_OUR_METADATA: Final = {
    "thread_id": "x-thread-id",
    "user_id": "x-user-id",
    "timezone": "x-timezone",
    "include_memories": "x-include-memories",
    "on_busy": "x-on-busy",
    "on_disconnect": "x-on-disconnect",
}
_FETCHABLE: Final = ("http://", "https://", "data:")


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TextPart(_Wire):
    """Text."""

    type: Literal["text"]
    text: str


class RefusalPart(_Wire):
    """What an assistant refused, sent back."""

    type: Literal["refusal"]
    refusal: str


class ImageUrl(_Wire):
    """Where an image is: `https:`, `http:` or `data:`."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(_Wire):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class InputAudio(_Wire):
    """Base64 of a recording."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(_Wire):
    """A recording."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class File(_Wire):
    """A file's data URL, or the id it has at the vendor."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(_Wire):
    """A file."""

    type: Literal["file"]
    file: File


Part = Annotated[TextPart | RefusalPart | ImagePart | AudioPart | FilePart, Field(discriminator="type")]


class CalledFunction(_Wire):
    """A function's name and its arguments, which are JSON within a string."""

    name: str
    arguments: str


class ToolCall(_Wire):
    """A call an assistant made."""

    id: str = Field(min_length=1)
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class ChatMessage(_Wire):
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


class ChosenFunction(_Wire):
    """A function's name."""

    name: str


class ToolChoice(_Wire):
    """The one tool to call."""

    type: Literal["function"]
    function: ChosenFunction


class TextFormat(_Wire):
    """Text, or JSON without a schema."""

    type: Literal["text", "json_object"]


class JsonSchema(_Wire):
    """What the JSON is to look like."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(_Wire):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(_Wire):
    """What else a stream tells. `include_obfuscation` has no effect: chunks are not padded."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatCompletionRequest(_Wire):
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
    n: int | None = None
    user: str | None = None
    metadata: dict[str, str] | None = Field(
        default=None,
        description="`thread_id`, `user_id`, `timezone`, `include_memories`, `on_busy` and `on_disconnect` are read; "
        "headers win.",
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
    store: bool | None = None
    modalities: list[Literal["text"]] | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        return bool(self.stream_options and self.stream_options.include_usage)

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
        self._refuse_what_cannot_be_honoured()
        tools = [*openai_tools(self.tools or ()), *openai_tools(self.functions or (), param="functions")]
        ours = {name: headers.get(header) or (self.metadata or {}).get(name) for name, header in _OUR_METADATA.items()}
        if ":" in tenant and ours["thread_id"] is not None:
            raise InvalidInputError(
                "the URL names a session and the request a thread; a run is on one of them", param="thread_id"
            )
        return RunRequest.of(
            _messages(self.messages),
            tenant=tenant,
            user=ours["user_id"],
            thread=ours["thread_id"],
            timezone=ours["timezone"],
            on_busy=cast("OnBusy | None", ours["on_busy"] or None),  # checked there
            on_disconnect=cast("OnDisconnect | None", ours["on_disconnect"] or None),
            idempotency_key=headers.get("idempotency-key"),
            is_retry=_is_retry(headers),
            resume=None if self.resume is None else checked(self.resume, param="resume"),
            include_memories=_truth("include_memories", ours["include_memories"], default=True),
            model=None if not self.model or self.model in default_models else self.model,
            tools=tools,
            tool_choice=self._checked_choice([tool["function"]["name"] for tool in tools]),
            parameters=self._parameters(),
            stream=bool(self.stream),
        )

    def _refuse_what_cannot_be_honoured(self) -> None:
        if not self.messages and self.resume is None:
            raise InvalidInputError("messages holds nothing to answer: add a user message", param="messages")
        if self.messages and self.resume is not None:
            raise InvalidInputError("resume goes without messages: leave 'messages' empty", param="resume")
        if self.n not in {None, 1}:
            raise InvalidInputError(f"n is {self.n}; a run gives one answer, so only 1 is possible", param="n")
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
                given[name] = value.model_dump(exclude_none=True, by_alias=True) if isinstance(value, _Wire) else value
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
    try:
        return ChatCompletionRequest.model_validate_json(body)
    except ValidationError as error:
        raise _readable(error) from None


def _readable(error: ValidationError) -> InvalidInputError:
    # Where a value may be of several kinds, the fault that lies deepest is of the kind that was meant.
    fault = max(error.errors(include_url=False, include_input=False), key=lambda each: len(each["loc"]))
    if fault["type"] == "json_invalid":
        reason = fault["msg"].removeprefix("Invalid JSON: ")
        return InvalidInputError(f"the body is not valid JSON: {reason}", code="invalid_json")
    if not fault["loc"]:
        return InvalidInputError("the body must be a JSON object")
    param = _path(fault["loc"], keep_last=fault["type"] in {"extra_forbidden", "missing"})
    if fault["type"] == "extra_forbidden":
        hint = _HINTS.get(str(fault["loc"][-1]), "leave it out")
        return InvalidInputError(f"unknown or unsupported field {param!r}: {hint}", param=param, code="unknown_field")
    return InvalidInputError(f"{param}: {fault['msg']}", param=param, code="invalid_value")


def _path(location: Sequence[int | str], *, keep_last: bool) -> str:
    """Spell a location as a person would, without the names of the alternatives pydantic tried."""
    path = ""
    for i, step in enumerate(location):
        if isinstance(step, int):
            path += f"[{step}]"
        elif not path:
            path = step
        elif (keep_last and i == len(location) - 1) or not _is_alternative(location, i):
            path += f".{step}"
    return path


def _is_alternative(location: Sequence[int | str], i: int) -> bool:
    step = str(location[i])
    if step not in _FIELDS:
        return True
    before = location[i - 1]
    # A part's `type` follows its index or the union it was found in.
    return (isinstance(before, int) and len(location) > 2 and "content" in location[:i]) or before == "response_format"


_FIELDS: Final = frozenset(
    name
    for wire in (
        TextPart,
        RefusalPart,
        ImagePart,
        ImageUrl,
        AudioPart,
        InputAudio,
        FilePart,
        File,
        ToolCall,
        CalledFunction,
        ChatMessage,
        ToolChoice,
        TextFormat,
        JsonSchemaFormat,
        JsonSchema,
        StreamOptions,
    )
    for name in wire.model_fields
) | {"schema"}


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
                messages.append(_assistant(content or message.refusal or "", calls))
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
    if not isinstance(message.content, list):
        return message.content
    parts: list[str | dict[str, Any]] = []
    for i, part in enumerate(message.content):
        # A model's integration may fetch what it is given: never from this machine's own files.
        if isinstance(part, ImagePart) and not part.image_url.url.lower().startswith(_FETCHABLE):
            at = f"{where}.content[{i}].image_url.url"
            raise InvalidInputError(f"{at} must be an http:, https: or data: URL", param=at)
        if isinstance(part, RefusalPart):
            parts.append({"type": "text", "text": part.refusal})
        else:
            parts.append(part.model_dump(exclude_none=True))
    return parts


def _required(content: str | list[str | dict[str, Any]] | None, where: str) -> str | list[str | dict[str, Any]]:
    if content is None:
        raise InvalidInputError(f"{where}.content is missing", param=f"{where}.content")
    return content


def _assistant(content: str | list[str | dict[str, Any]], calls: Sequence[ToolCall]) -> AIMessage:
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


def _is_retry(headers: Headers) -> bool:
    """Say whether the client sends this again: the official ones count, and name the request in no other way."""
    count = headers.get("x-stainless-retry-count", "")
    return count.isdecimal() and int(count[:9]) > 0


def _truth(name: str, value: str | None, *, default: bool) -> bool:
    if value is None:
        return default
    known: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}
    if (truth := known.get(value.lower())) is None:
        raise InvalidInputError(f"{name} is {value!r}; it must be true or false", param=name)
    return truth
