"""The one stream: everything a run tells the outside, as a small closed union of frozen values.

OpenAI chunks, server-sent events, terminal output and LangChain chunks are each one function of `RunEvent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = [
    "AnswerCompleted",
    "MemoriesRecalled",
    "NodeFinished",
    "RunEvent",
    "RunFailed",
    "RunFinished",
    "RunStarted",
    "TextDelta",
    "ToolCallDelta",
    "ToolFinished",
    "ToolReceipt",
    "ToolStarted",
    "ToolsOffered",
    "Usage",
]

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
ToolReceipt: TypeAlias = Mapping[str, Any]
"""Why a tool is shown to the model or not.

`{"name", "offered": bool, "reason", "score"}`. Reasons to show it: `few` (nothing is filtered), `pinned`, `history`
(called on the thread), `tool_choice`, `asked_for` (found by `find_tools`, or called unseen), `ranked`, `kept` (shown on
the thread before). Not to: `below_floor`, `beyond_top_k`. `score` is the ranking's, 0 to 1, or `None` where it was not
asked. A `ranked` one has `by`: `ranking` or `model`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the vendor counted them, summed over the model calls of a run."""

    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens, output_tokens=self.output_tokens + other.output_tokens
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The run was accepted. `thread` is `None` for a one-off run."""

    run_id: str
    tenant: str
    thread: str | None
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoriesRecalled:
    """What `filter_by_time` kept, with receipts.

    Attributes:
        windows: The times the question speaks of, `{"start", "end", "granularity", "mention", "text"}`; ISO, half-open.
        memories: Receipts of what enters the prompt (`memory.record.Recalled`), the best first.
        left_out: Receipts of what was found and not used, each with its `why`.
    """

    windows: tuple[Mapping[str, Any], ...]
    memories: tuple[Mapping[str, Any], ...]
    left_out: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsOffered:
    """Which server tools the model is shown; once a run, and again where the model brought in more.

    Attributes:
        offered: Names of all it is shown by now.
        left_out: Names of those it is not shown, the best ranked first, at most 50.
        left_out_count: How many there are of those.
        receipts: Why, of each: of the offered first, then of `left_out`. An event that adds tools has only theirs.
        reranked: `model` where `tool_filtering_model` chose, or what kept it from choosing: `timed_out`, `failed`,
            `unreadable`. `None` where none was asked.
    """

    offered: tuple[str, ...]
    left_out: tuple[str, ...]
    left_out_count: int = 0
    receipts: tuple[ToolReceipt, ...] = ()
    reranked: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A piece of a tool call the model is writing.

    `index` tells concurrent calls apart; `tool_call_id` and `name` come with the first piece only.
    `is_client_tool` says that the caller declared the tool and is to run it.
    """

    index: int
    tool_call_id: str | None
    name: str | None
    arguments: str
    is_client_tool: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCompleted:
    """One model call ended. A run with tools has several; the last one is the answer.

    Attributes:
        text: The whole text of this message.
        tool_calls: `{"id", "name", "args"}` of every call in it.
        finish_reason: As OpenAI spells it.
        usage: Of this call; zeros where the vendor told none.
        history_tokens: About how long the thread's live window is; past a limit it is summarised.
        history_messages: How many messages it holds; past a limit a session's is summarised.
        response_metadata: The vendor's own, unchanged.
    """

    message_id: str
    text: str
    tool_calls: tuple[Mapping[str, Any], ...]
    finish_reason: FinishReason
    usage: Usage
    history_tokens: int = 0
    history_messages: int = 0
    response_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted:
    """A server tool begins."""

    tool_call_id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished:
    """A server tool ended, well or not."""

    tool_call_id: str
    name: str
    status: Literal["success", "error"]
    output: str
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinished:
    """A node of the graph ended."""

    node: str
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The last event of a good run.

    `tool_calls` are the client tools the caller is to run; where there are any, the thread waits for their results.
    `interrupts` are questions to a person, `{"id", "value"}`, that it waits for answers to.
    `is_cancelled` says that somebody ended it before its time: `text` is what it had said by then.
    """

    run_id: str
    message_id: str
    text: str
    tool_calls: tuple[Mapping[str, Any], ...]
    finish_reason: FinishReason
    usage: Usage
    duration_ms: float
    response_metadata: Mapping[str, Any] = field(default_factory=dict)
    interrupts: tuple[Mapping[str, Any], ...] = ()
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed:
    """The last event of a failed run; `error` is what the caller of `AgentGraph.run` sees raised."""

    run_id: str
    error: Exception


RunEvent: TypeAlias = (
    RunStarted
    | MemoriesRecalled
    | ToolsOffered
    | TextDelta
    | ToolCallDelta
    | AnswerCompleted
    | ToolStarted
    | ToolFinished
    | NodeFinished
    | RunFinished
    | RunFailed
)
"""Every event there is; match on it and close with `assert_never`."""
