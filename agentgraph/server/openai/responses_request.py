"""OpenAI's Responses request, read strictly: every field is honoured or refused by name.

Accepted without effect, because they ask for nothing an answer could lack: `stream_options.include_obfuscation`,
`reasoning.summary: "auto"` and `include: ["reasoning.encrypted_content"]` (models' reasoning is not told to us), and
what clients send back as they got it: `reasoning` items, and the ids, states and annotations of items, and what the
official ones add to it (`parsed`, `parsed_arguments`).

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import Discriminator, Field, Tag
from starlette.datastructures import Headers

from agentgraph.errors import InvalidInputError
from agentgraph.plain import checked
from agentgraph.run import RunRequest
from agentgraph.server.openai.extras import EXTRA_HINTS, Extras
from agentgraph.server.openai.files import file_block
from agentgraph.server.openai.parts import checked_address
from agentgraph.server.openai.request import CalledFunction, JsonSchema, TextFormat, ToolCall, assistant_message
from agentgraph.server.openai.wire import Wire, field_names, read
from agentgraph.tool_formats import openai_tools

__all__ = ["KEPT", "ResponsesRequest", "read_responses_request"]

KEPT: Final = "openai_response"
"""In the `additional_kwargs` of a request's last message: what a kept response repeats of its request."""

_HINTS: Final = {
    "access_programs": "there are no programs here",
    "context_management": "threads are kept short by the deployment (truncation_strategy)",
    "file_id": "files are not kept here; send file_data",
    "file_url": "files are not fetched here; send file_data",
    "image": "answers are text only",
    "max_tool_calls": "the server bounds its turns by max_turns",
    "moderation": "nothing is moderated here; give the agent a tool, or its model's server the task",
    "prompt": "prompts are not kept here; send instructions",
    "prompt_cache_options": "caching is the model's server's; send 'prompt_cache_key'",
    "prompt_cache_retention": "caching is the model's server's; send 'prompt_cache_key'",
    "top_logprobs": "logprobs are told with chat completions only",
    **EXTRA_HINTS,
}
_PARAMETERS: Final = (
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "service_tier",
    "user",
    "prompt_cache_key",
    "safety_identifier",
)


class InputText(Wire):
    """Text; `output_text` is what an assistant said, sent back."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None
    parsed: Any = None


class InputRefusal(Wire):
    """What an assistant refused, sent back."""

    type: Literal["refusal"]
    refusal: str


class InputImage(Wire):
    """An image: `https:`, `http:` or `data:`."""

    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputFile(Wire):
    """A file, read for the turn: text, CSV or PDF; base64, or a data URL of it."""

    type: Literal["input_file"]
    file_data: str
    filename: str | None = None
    detail: Literal["auto", "low", "high"] | None = None


InputPart = Annotated[InputText | InputRefusal | InputImage | InputFile, Field(discriminator="type")]


class MessageItem(Wire):
    """A message of any role."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputPart]
    id: str | None = None
    status: str | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCallItem(Wire):
    """A call an assistant made."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1)
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None
    parsed_arguments: Any = None


class FunctionCallOutputItem(Wire):
    """What a call returned."""

    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1)
    output: str | list[InputPart]
    id: str | None = None
    status: str | None = None


class ReasoningItem(Wire):
    """What a model thought, sent back; without effect."""

    type: Literal["reasoning"]
    id: str | None = None
    summary: list[Any] | None = None
    content: list[Any] | None = None
    encrypted_content: str | None = None
    status: str | None = None


def _type_of(item: Any) -> str:
    kind = item.get("type", "message") if isinstance(item, Mapping) else getattr(item, "type", "message")
    return str(kind)


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionCallOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(_type_of),
]


class Reasoning(Wire):
    """How much a model is to think."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto"] | None = None


class SchemaFormat(JsonSchema):
    """JSON that fits a schema."""

    type: Literal["json_schema"]


class Text(Wire):
    """What the text is to be like."""

    format: Annotated[TextFormat | SchemaFormat, Field(discriminator="type")] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ChosenTool(Wire):
    """The one tool to call."""

    type: Literal["function"]
    name: str


class ConversationId(Wire):
    """A thread's id."""

    id: str


class ResponseStreamOptions(Wire):
    """`include_obfuscation` has no effect: events are not padded."""

    include_obfuscation: bool | None = None


class ResponsesRequest(Wire):
    """The request's body."""

    input: str | list[Item] | None = Field(default=None, description="What is said; none where `resume` is given.")
    model: str | None = Field(
        default=None, description="`provider/model`; absent, `agentgraph` or `default` for the deployment's own."
    )
    instructions: str | None = Field(default=None, description="For this response alone.")
    previous_response_id: str | None = Field(
        default=None, description="Go on behind that response: where it is not its thread's last, on a branch."
    )
    conversation: str | ConversationId | None = Field(default=None, description="The thread to continue, by its id.")
    store: bool | None = Field(
        default=None, description="`false`: a one-off run that leaves no thread and cannot be retrieved or continued."
    )
    background: bool | None = Field(default=None, description="Answer at once; retrieve the response later.")
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    tools: list[dict[str, Any]] | None = Field(default=None, description="Functions the caller runs itself.")
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    truncation: Literal["auto", "disabled"] | None = Field(
        default=None, description="`auto` for what is kept, `disabled` for what is not; the other is refused."
    )
    include: list[Literal["reasoning.encrypted_content"]] | None = None
    metadata: dict[str, str] | None = Field(
        default=None,
        description="Told again with the response. `user_id`, `timezone`, `include_memories`, `on_busy`, "
        "`on_disconnect` and `receipts` are read; headers win.",
    )
    user: str | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    resume: Any = Field(
        default=None,
        description="Not OpenAI's: the answer to what the previous response waits for, a value or one for each "
        "interrupt by id.",
    )

    @property
    def is_kept(self) -> bool:
        """Whether the response can be retrieved and continued."""
        return self.store is not False

    @property
    def conversation_id(self) -> str | None:
        """The thread that is named."""
        return self.conversation.id if isinstance(self.conversation, ConversationId) else self.conversation

    def extras(self, headers: Headers) -> Extras:
        """Return what is asked for beside OpenAI's fields."""
        return Extras.of(headers, self.metadata)

    def run_request(
        self, *, options: Mapping[str, Any], default_models: frozenset[str], checkpoint: str | None
    ) -> RunRequest:
        """Return what the request asks of the agent.

        Args:
            options: For whom, and on which thread, as `RunRequest.of` takes them.
            default_models: Names that mean the deployment's own model.
            checkpoint: Where on the thread to go on from; `None` for where it stands.

        Raises:
            InvalidInputError: A value that cannot be honoured, or two that do not fit.
        """
        self.refuse_what_cannot_be_honoured()
        tools = openai_tools(self.tools or ())
        return RunRequest.of(
            self._messages(),
            **options,
            system_prompt=self.instructions,
            checkpoint=checkpoint,
            resume=None if self.resume is None else checked(self.resume, param="resume"),
            model=None if not self.model or self.model in default_models else self.model,
            tools=tools,
            tool_choice=self._checked_choice([tool["function"]["name"] for tool in tools]),
            parameters=self._parameters(),
            stream=bool(self.stream),
        )

    def echo(self, model: str) -> dict[str, Any]:
        """Return the fields of the response that repeat the request.

        Args:
            model: As the client is to see it.
        """
        text = {} if self.text is None else self.text.model_dump(exclude_none=True, by_alias=True)
        return {
            "model": model,
            "background": bool(self.background),
            "conversation": None if self.conversation_id is None else {"id": self.conversation_id},
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": None,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "previous_response_id": self.previous_response_id,
            "prompt_cache_key": self.prompt_cache_key,
            "reasoning": {"effort": self.reasoning.effort if self.reasoning else None, "summary": None},
            "safety_identifier": self.safety_identifier,
            "service_tier": self.service_tier or "default",
            "store": self.is_kept,
            "temperature": self.temperature,
            "text": {"format": {"type": "text"}, **text},
            "tool_choice": self.tool_choice.model_dump() if isinstance(self.tool_choice, ChosenTool) else self._choice,
            "tools": self.tools or [],
            "top_logprobs": 0,
            "top_p": self.top_p,
            "truncation": "auto" if self.is_kept else "disabled",
            "user": self.user,
        }

    @property
    def _choice(self) -> str:
        return self.tool_choice if isinstance(self.tool_choice, str) else "auto"

    def refuse_what_cannot_be_honoured(self) -> None:
        """Refuse what does not fit together.

        Raises:
            InvalidInputError: Says what.
        """
        if not self.input and self.resume is None:
            raise InvalidInputError("input holds nothing to answer", param="input")
        if self.input and self.resume is not None:
            raise InvalidInputError("resume goes without input: leave 'input' out", param="resume")
        if self.conversation is not None and self.previous_response_id is not None:
            raise InvalidInputError("send conversation or previous_response_id, not both", param="conversation")
        if not self.is_kept and (self.conversation is not None or self.previous_response_id is not None):
            raise InvalidInputError(
                "store: what goes on with a conversation is kept in it; leave 'store' out, or send all of it as input",
                param="store",
            )
        if not self.is_kept and self.background:
            raise InvalidInputError("background: the response must be kept to be retrieved", param="background")
        if self.stream_options is not None and not self.stream:
            raise InvalidInputError("stream_options is for streams: set 'stream' too", param="stream_options")
        if self.truncation is not None and (self.truncation == "auto") != self.is_kept:
            fits = "kept conversations are shortened" if self.is_kept else "without a thread all input is sent"
            raise InvalidInputError(f"truncation: {fits}; leave it out", param="truncation")

    def _checked_choice(self, names: Sequence[str]) -> str | dict[str, Any] | None:
        choice = self.tool_choice
        if choice is None or choice in {"none", "auto"}:
            return choice if isinstance(choice, str) else None
        if not names:
            raise InvalidInputError("tool_choice forces a tool, and none is declared", param="tool_choice")
        if not isinstance(choice, ChosenTool):
            return choice
        if choice.name not in names:
            raise InvalidInputError(
                f"tool_choice names {choice.name!r}, which is not among the tools", param="tool_choice"
            )
        return {"type": "function", "function": {"name": choice.name}}

    def _parameters(self) -> dict[str, Any]:
        given = {name: value for name in _PARAMETERS if (value := getattr(self, name)) is not None}
        if self.max_output_tokens is not None:
            given["max_completion_tokens"] = self.max_output_tokens
        if self.reasoning is not None and self.reasoning.effort is not None:
            given["reasoning_effort"] = self.reasoning.effort
        if self.text is not None and self.text.verbosity is not None:
            given["verbosity"] = self.text.verbosity
        if self.text is not None and self.text.format is not None:
            wanted = self.text.format.model_dump(exclude_none=True, by_alias=True)
            if isinstance(self.text.format, SchemaFormat):
                del wanted["type"]
                wanted = {"type": "json_schema", "json_schema": wanted}
            given["response_format"] = wanted
        return given

    def _messages(self) -> list[BaseMessage]:
        if isinstance(self.input, str):
            return [HumanMessage(self.input)]
        return _conversation(self.input or ())


def read_responses_request(body: bytes) -> ResponsesRequest:
    """Read the body.

    Raises:
        InvalidInputError: It is not JSON or not such a request; names the field at fault and never quotes the input.
    """
    return read(body, ResponsesRequest, fields=_FIELDS, hints=_HINTS)


_FIELDS: Final = field_names(
    InputText,
    InputRefusal,
    InputImage,
    InputFile,
    MessageItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    ReasoningItem,
    Reasoning,
    SchemaFormat,
    TextFormat,
    Text,
    ChosenTool,
    ConversationId,
    ResponseStreamOptions,
) | {"schema"}


def _conversation(items: Sequence[Any]) -> list[BaseMessage]:
    """Return LangChain's messages: an assistant's text and the calls after it are one."""
    messages: list[BaseMessage] = []
    calls: list[ToolCall] = []
    for i, item in enumerate(items):
        where = f"input[{i}]"
        if isinstance(item, FunctionCallItem):
            calls.append(ToolCall(id=item.call_id, function=CalledFunction(name=item.name, arguments=item.arguments)))
            continue
        if isinstance(item, ReasoningItem):
            continue
        _put_calls(messages, calls)
        match item:
            case MessageItem(role="user"):
                messages.append(HumanMessage(_content(item.content, f"{where}.content")))
            case MessageItem(role="assistant"):
                messages.append(AIMessage(_text(item.content)))
            case MessageItem():
                messages.append(SystemMessage(_text(item.content)))
            case FunctionCallOutputItem():
                content = _content(item.output, f"{where}.output")
                messages.append(ToolMessage(content, tool_call_id=item.call_id))
    _put_calls(messages, calls)
    return messages


def _put_calls(messages: list[BaseMessage], calls: list[ToolCall]) -> None:
    if not calls:
        return
    said = ""
    if messages and isinstance(messages[-1], AIMessage) and not messages[-1].tool_calls:
        said = str(messages.pop().text)
    messages.append(assistant_message(said, calls))
    calls.clear()


def _text(content: str | Sequence[Any]) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(part.text if isinstance(part, InputText) else getattr(part, "refusal", "") for part in content)


def _content(content: str | Sequence[Any], where: str) -> str | list[str | dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [_block(part, f"{where}[{i}]") for i, part in enumerate(content)]


def _block(part: Any, at: str) -> dict[str, Any]:
    match part:
        case InputImage():
            image = {"url": checked_address(part.image_url, f"{at}.image_url")}
            if part.detail in {"low", "high", "auto"}:
                image["detail"] = str(part.detail)
            return {"type": "image_url", "image_url": image}
        case InputFile():
            return file_block(part.file_data, at=f"{at}.file_data", name=part.filename)
        case InputRefusal():
            return {"type": "text", "text": part.refusal}
    return {"type": "text", "text": part.text}
