"""What is asked of a run and what comes of it: the values every edge builds and reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from langchain_core.messages import (
    BaseMessage,
    HumanMessage,
    MessageLikeRepresentation,
    SystemMessage,
    convert_to_messages,
)
from pydantic import BaseModel

from agentgraph.errors import InvalidInputError
from agentgraph.events import (
    AnswerCompleted,
    FinishReason,
    MemoriesRecalled,
    NodeFinished,
    RunEvent,
    RunFinished,
    ToolFinished,
    ToolReceipt,
    ToolsOffered,
    Usage,
)
from agentgraph.plain import checked, checked_message, readable
from agentgraph.scope import Scope
from agentgraph.tool_formats import choice_of_function, openai_tools

__all__ = ["OnBusy", "OnDisconnect", "RunRequest", "RunResult"]

# What LangChain raises of input it cannot read; nested too deep, its JSON ends in a RecursionError.
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, RecursionError)
_KEPT_AS_JSON = ("parameters", "tool_choice")

OnBusy: TypeAlias = Literal["enqueue", "reject", "interrupt", "rollback"]
OnDisconnect: TypeAlias = Literal["continue", "cancel"]
_LONGEST_KEY: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One run: who it is for, what was said, and what the caller wants otherwise than by default.

    Attributes:
        messages: The caller's messages, oldest first. On a thread those it already holds are recognised and skipped.
        scope: Tenant, user, session and thread. Without a thread the run is one-off: the messages are its whole
            history, and nothing of it is kept but memory.
        model: `provider/model`; `None` for the deployment's default.
        now: The moment the request speaks from, aware; `None` for the clock's.
        timezone: IANA name of the speaker's zone; `None` for the deployment's.
        system_prompt: Instructions for this run, after the deployment's own.
        tools: OpenAI schemas of tools the caller runs itself.
        tool_choice: As OpenAI spells it.
        server_tools: Names of the server's tools that this run may call; `None` for all of the tenant's.
        max_parallel_tools: How many of them run at once; `None` for the deployment's choice.
        tool_timeout_s: How long one of them may take; `None` for the deployment's choice.
        include_memories: Whether this run recalls and writes memories.
        parameters: Sampling parameters as OpenAI spells them; only what the caller set.
        stream: Whether the answer is wanted piece by piece.
        on_busy: What becomes of a run under way on the thread; `None` for the deployment's choice.
        on_disconnect: What becomes of this run if its caller goes away; `None` for the deployment's choice.
        idempotency_key: The caller's name for this request: whoever sends it again joins the run it began.
        is_retry: The caller says that it may have sent this before, without a key: the same words on the same thread
            join the run they began, if that is not long ago.
        resume: The answer to what a run waits for: a value, or one for each interrupt by its id.
        checkpoint: Where on the thread to go on from, instead of where it stands: a branch.
        is_bound: The caller speaks for the scope's user alone: a thread that another began is none of theirs.
    """

    messages: tuple[BaseMessage, ...]
    scope: Scope
    model: str | None = None
    now: datetime | None = None
    timezone: str | None = None
    system_prompt: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    server_tools: tuple[str, ...] | None = None
    max_parallel_tools: int | None = None
    tool_timeout_s: float | None = None
    include_memories: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = True
    on_busy: OnBusy | None = None
    on_disconnect: OnDisconnect | None = None
    idempotency_key: str | None = None
    is_retry: bool = False
    resume: Any = None
    checkpoint: str | None = None
    is_bound: bool = False

    @classmethod
    def of(
        cls,
        messages: str | Sequence[MessageLikeRepresentation] | RunRequest,
        *,
        tenant: str = "default",
        user: str | None = None,
        thread: str | None = None,
        tools: Sequence[Any] = (),
        functions: Sequence[Any] = (),
        function_call: str | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> RunRequest:
        """Build a request from what people type.

        Args:
            messages: Text, or messages in any form LangChain reads. System messages become `system_prompt`.
            tenant: `tenant` or `tenant:session`.
            user: A person within the tenant.
            thread: The conversation to continue.
            tools: Tools the caller runs itself, in any format `openai_tools` reads: OpenAI's schemas or another
                vendor's, LangChain tools, functions, Pydantic models.
            functions: The same in OpenAI's older format, `{"name", "description", "parameters"}`.
            function_call: What was `tool_choice` with `functions`: `none`, `auto` or `{"name": …}`.
            options: Any other attribute of `RunRequest`.

        Raises:
            InvalidInputError: No message, a message nobody can read, an id or a zone that is not one, a naive `now`,
                a tool that cannot be declared, something no store can hold.
        """
        if isinstance(messages, RunRequest):
            return messages
        if isinstance(messages, str):
            messages = [HumanMessage(messages)]
        try:
            converted = convert_to_messages(messages)
        except _UNREADABLE as error:
            raise InvalidInputError(f"messages cannot be read: {_first_line(error)}", param="messages") from error
        system = [readable(str(message.text)) for message in converted if isinstance(message, SystemMessage)]
        if (extra := options.pop("system_prompt", None)) is not None:
            system.insert(0, readable(extra))
        said = tuple(
            checked_message(message, param="messages")
            for message in converted
            if not isinstance(message, SystemMessage)
        )
        if not said and options.get("resume") is None and options.get("checkpoint") is None:
            raise InvalidInputError("messages holds nothing to answer: add a user message", param="messages")
        if function_call is not None:
            if options.get("tool_choice") is not None:
                raise InvalidInputError("give tool_choice or function_call, not both", param="function_call")
            options["tool_choice"] = choice_of_function(function_call)
        options |= {name: checked(options[name], param=name) for name in _KEPT_AS_JSON if name in options}
        if options.get("resume") is not None:
            options["resume"] = _plain_answer(options["resume"])
        request = cls(
            messages=said,
            scope=Scope.parse(tenant, user=user, thread=thread, agent=options.pop("agent", "default")),
            system_prompt="\n\n".join(system) or None,
            tools=_declared(tools, functions),
            **options,
        )
        _check_time(request)
        _check_thread(request)
        return request

    def streaming(self, wanted: bool) -> RunRequest:
        """Return this request with `stream` set."""
        return self if self.stream is wanted else replace(self, stream=wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What came of a run.

    Attributes:
        text: The answer.
        tool_calls: Client tools the caller is to run, `{"id", "name", "args"}`; send their results to go on.
        usage: Tokens, summed over the run's model calls.
        windows: The times the question spoke of.
        memories: Receipts of the memories in the prompt.
        left_out: Receipts of memories found and not used.
        tools_offered: Server tools the model was shown.
        tool_receipts: Why each was shown or not (`events.ToolReceipt`); of those that were not, the best 50.
        tool_runs: Server tools that ran.
        interrupts: What the run waits for, `{"id", "value"}` each; answer with `AgentGraph.resume`.
        is_cancelled: Whether the run was ended before its time; `text` is what it had said.
        node_ms: Milliseconds per node, summed where a node ran more than once.
    """

    run_id: str
    message_id: str
    text: str
    tool_calls: tuple[Mapping[str, Any], ...]
    finish_reason: FinishReason
    usage: Usage
    duration_ms: float
    windows: tuple[Mapping[str, Any], ...] = ()
    memories: tuple[Mapping[str, Any], ...] = ()
    left_out: tuple[Mapping[str, Any], ...] = ()
    tools_offered: tuple[str, ...] = ()
    tool_receipts: tuple[ToolReceipt, ...] = ()
    tool_runs: tuple[ToolFinished, ...] = ()
    interrupts: tuple[Mapping[str, Any], ...] = ()
    is_cancelled: bool = False
    node_ms: Mapping[str, float] = field(default_factory=dict)
    response_metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """The answer, as OpenAI's and LangChain's messages call it."""
        return self.text

    @property
    def status(self) -> Literal["completed", "requires_action", "cancelled"]:
        """`requires_action` where the caller has tools to run, or a question to answer."""
        if self.is_cancelled:
            return "cancelled"
        return "requires_action" if self.tool_calls or self.interrupts else "completed"

    @classmethod
    def from_events(cls, events: Sequence[RunEvent]) -> RunResult:
        """Fold a run's events, up to its `RunFinished`, into one value."""
        seen: dict[str, Any] = {}
        node_ms: dict[str, float] = {}
        tool_runs: list[ToolFinished] = []
        receipts: dict[str, ToolReceipt] = {}
        for event in events:
            match event:
                case MemoriesRecalled():
                    seen |= {"windows": event.windows, "memories": event.memories, "left_out": event.left_out}
                case ToolsOffered():
                    seen["tools_offered"] = event.offered
                    receipts |= {receipt["name"]: receipt for receipt in event.receipts}
                case NodeFinished():
                    node_ms[event.node] = node_ms.get(event.node, 0.0) + event.duration_ms
                case ToolFinished():
                    tool_runs.append(event)
                case RunFinished():
                    return cls(
                        run_id=event.run_id,
                        message_id=event.message_id,
                        text=event.text,
                        tool_calls=event.tool_calls,
                        finish_reason=event.finish_reason,
                        usage=event.usage,
                        duration_ms=event.duration_ms,
                        response_metadata=event.response_metadata,
                        interrupts=event.interrupts,
                        is_cancelled=event.is_cancelled,
                        tool_runs=tuple(tool_runs),
                        tool_receipts=tuple(receipts.values()),
                        node_ms=node_ms,
                        **seen,
                    )
                case _:
                    pass
        raise InvalidInputError("the events hold no finished run")


def finished(
    run_id: str, answers: Sequence[AnswerCompleted], client_tools: frozenset[str], duration_ms: float
) -> RunFinished:
    """Close a run with its last answer and the sum of what its model calls used."""
    last = answers[-1]
    calls = tuple(call for call in last.tool_calls if call["name"] in client_tools)
    reason: FinishReason = (
        "tool_calls" if calls else "stop" if last.finish_reason == "tool_calls" else last.finish_reason
    )
    return RunFinished(
        run_id=run_id,
        message_id=last.message_id,
        text=last.text,
        tool_calls=calls,
        finish_reason=reason,
        usage=sum((answer.usage for answer in answers), Usage()),
        duration_ms=duration_ms,
        response_metadata=last.response_metadata,
    )


def _declared(tools: Sequence[Any], functions: Sequence[Any]) -> tuple[Mapping[str, Any], ...]:
    declared = [*openai_tools(tools), *openai_tools(functions, param="functions")]
    seen: set[str] = set()
    for tool in declared:
        if (name := tool["function"]["name"]) in seen:
            raise InvalidInputError(f"two tools are called {name!r}; rename one", param="tools")
        seen.add(name)
    return tuple(declared)


def _plain_answer(answer: Any) -> Any:
    """Return an answer to an interrupt as JSON would hold it: it is kept until the run has ended."""
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json", exclude_none=True)
    if isinstance(answer, Mapping):
        answer = {str(name): _plain_answer(part) for name, part in answer.items()}
    return checked(answer, param="resume")


def _check_thread(request: RunRequest) -> None:
    for name, choices in (("on_busy", get_args(OnBusy)), ("on_disconnect", get_args(OnDisconnect))):
        if (chosen := getattr(request, name)) is not None and chosen not in choices:
            raise InvalidInputError(f"{name} is {chosen!r}; choose one of {', '.join(choices)}", param=name)
    if request.scope.thread_key is None:
        for name in ("resume", "checkpoint"):
            if getattr(request, name) is not None:
                raise InvalidInputError(f"{name} needs a thread or a session", param=name)
    key = request.idempotency_key
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise InvalidInputError(
            f"idempotency_key must be 1 to {_LONGEST_KEY} printable characters", param="idempotency_key"
        )


def _check_time(request: RunRequest) -> None:
    if request.now is not None and request.now.tzinfo is None:
        raise InvalidInputError(f"now {request.now.isoformat()} has no time zone", param="now")
    if request.timezone is not None:
        try:
            ZoneInfo(request.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InvalidInputError(
                f"unknown time zone {request.timezone!r}; use an IANA name such as 'Europe/Paris'", param="timezone"
            ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
