"""A run in OpenAI's Responses format: whole, or as the events of a stream.

Each answer of the model that has text is a message, each call for the caller a `function_call`; calls of server tools
never show. As in chat completions, `agentgraph`, an object of ours, tells what OpenAI has no word for: a run that waits
for an answer (`requires_action`), and receipts. A run ended before its time has the status `cancelled`.

Source: https://platform.openai.com/docs/api-reference/responses, /responses-streaming
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from agentgraph.events import (
    AnswerCompleted,
    MemoriesRecalled,
    RunEvent,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCallDelta,
    ToolFinished,
    ToolsOffered,
    Usage,
)
from agentgraph.run import RunResult
from agentgraph.streaming.ending import unusual_ending
from agentgraph.streaming.receipts import receipts_of

__all__ = ["ResponseTeller", "function_call_item", "message_item", "response_id", "response_usage", "run_id_of"]

_PREFIX: Final = "resp_"
_REASONS: Final[Mapping[str, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response_id(run_id: str) -> str:
    """Return the response's id, from which the run's can be read."""
    return _PREFIX + run_id.removeprefix("run-")


def run_id_of(response_id: str) -> str | None:
    """Return the id of the run that a response is; `None` where it is no response's id."""
    rest = response_id.removeprefix(_PREFIX)
    return f"run-{rest}" if rest != response_id and rest.isalnum() and rest.isascii() else None


def message_item(run_id: str, place: int, text: str, *, status: str = "completed") -> dict[str, Any]:
    """Return a message of the output; `place` is where it stands there."""
    part = _text_part(text)
    return {**_message_head(run_id, place, status), "content": [part]}


def function_call_item(run_id: str, place: int, call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call of the output, for the caller to run."""
    return {**_call_head(run_id, place, call["id"], call["name"]), "arguments": _arguments(call), "status": "completed"}


def response_usage(usage: Usage) -> dict[str, Any]:
    """Return the tokens of a run. How many of them were cached or thought is not told to us."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }


class ResponseTeller:
    """Follows one run: the response as it stands, and the frames each event adds to a stream of it.

    Args:
        asked: The fields of a response that repeat the request, `model` among them.
        created_at: Seconds since 1970.
        wants_receipts: Whether the run's receipts are told at its end.

    Attributes:
        run_id: The run's, once it has begun.
    """

    def __init__(self, asked: Mapping[str, Any], *, created_at: int, wants_receipts: bool = False) -> None:
        self.run_id = ""
        self._fields: dict[str, Any] = {
            "object": "response",
            "created_at": created_at,
            "completed_at": None,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "usage": None,
            **asked,
        }
        self._output: list[dict[str, Any]] = []
        self._text: str | None = None  # of the message that is being written, at the end of the output
        self._text_place = 0
        self._has_told_text = False
        self._has_told_answer = False  # something of the answer the model is giving now
        self._open_calls: dict[int, int] = {}  # the model's index of a call, and its place in the output
        self._calls_told: set[str | None] = set()
        self._receipts: list[RunEvent] | None = [] if wants_receipts else None
        self._sequence = 0
        self._has_begun = False

    @property
    def response(self) -> dict[str, Any]:
        """The response as it stands."""
        return {"id": response_id(self.run_id), **self._fields, "output": [*self._output]}

    def encode(self, event: RunEvent) -> bytes:
        """Return the frames that `event` adds; `b""` where it is nothing to the client."""
        match event:
            case RunStarted():
                self.run_id = event.run_id
                return b""
            case TextDelta():
                return self._said(event.text)
            case ToolCallDelta(is_client_tool=True):
                return self._called(event)
            case AnswerCompleted():
                return self._answered(event)
            case RunFinished():
                return self._ended(event)
            case MemoriesRecalled() | ToolsOffered() | ToolFinished() if self._receipts is not None:
                self._receipts.append(event)
                return b""
            case _:
                return b""

    def failed(self, code: str, message: str) -> bytes:
        """Return the last frame of a run that failed within its answer."""
        self._fields |= {"status": "failed", "error": {"code": code, "message": message}}
        return self._opening() + self._frame("response.failed", response=self.response)

    def _opening(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        response = {**self.response, "status": "in_progress", "output": [], "error": None}
        return self._frame("response.created", response=response) + self._frame(
            "response.in_progress", response=response
        )

    # Text

    def _said(self, text: str) -> bytes:
        frames = self._opening()
        if self._text is None:
            self._text, self._text_place = "", len(self._output)
            item = {**_message_head(self.run_id, self._text_place, "in_progress"), "content": []}
            self._output.append(item)
            frames += self._frame("response.output_item.added", output_index=self._text_place, item=item)
            frames += self._frame("response.content_part.added", **self._in_text(), part=_text_part(""))
        self._text += text
        self._has_told_text = self._has_told_answer = True
        return frames + self._frame("response.output_text.delta", **self._in_text(), delta=text, logprobs=[])

    def _text_ended(self, status: str = "completed") -> bytes:
        if self._text is None:
            return b""
        text, self._text = self._text, None
        item = self._output[self._text_place] = message_item(self.run_id, self._text_place, text, status=status)
        return (
            self._frame("response.output_text.done", **self._in_text(), text=text, logprobs=[])
            + self._frame("response.content_part.done", **self._in_text(), part=item["content"][0])
            + self._frame("response.output_item.done", output_index=self._text_place, item=item)
        )

    def _in_text(self) -> dict[str, Any]:
        place = self._text_place
        return {"item_id": self._output[place]["id"], "output_index": place, "content_index": 0}

    # Calls

    def _called(self, event: ToolCallDelta) -> bytes:
        frames = self._opening()
        place = self._open_calls.get(event.index)
        if place is None:
            frames += self._text_ended()
            place = self._open_calls[event.index] = len(self._output)
            self._calls_told.add(event.tool_call_id)
            head = _call_head(self.run_id, place, event.tool_call_id, event.name)
            self._output.append({**head, "arguments": "", "status": "in_progress"})
            frames += self._frame("response.output_item.added", output_index=place, item=self._output[place])
        item = self._output[place] = {
            **self._output[place],
            "arguments": self._output[place]["arguments"] + event.arguments,
        }
        if not event.arguments:
            return frames
        return frames + self._frame(
            "response.function_call_arguments.delta", item_id=item["id"], output_index=place, delta=event.arguments
        )

    def _calls_ended(self) -> bytes:
        frames = b""
        for place in self._open_calls.values():
            item = self._output[place] = {**self._output[place], "status": "completed"}
            frames += self._frame(
                "response.function_call_arguments.done",
                item_id=item["id"],
                output_index=place,
                name=item["name"],
                arguments=item["arguments"],
            ) + self._frame("response.output_item.done", output_index=place, item=item)
        self._open_calls.clear()
        return frames

    def _calls_untold(self, calls: Sequence[Mapping[str, Any]]) -> bytes:
        """Tell what a model that does not stream, or a run told from its note, called."""
        frames = b""
        for i, call in enumerate(calls):
            if call["id"] not in self._calls_told:
                frames += self._called(
                    ToolCallDelta(
                        index=-1 - i,
                        tool_call_id=call["id"],
                        name=call["name"],
                        arguments=_arguments(call),
                        is_client_tool=True,
                    )
                )
        return frames

    # Ends

    def _answered(self, event: AnswerCompleted) -> bytes:
        frames = b"" if self._has_told_answer or not event.text else self._said(event.text)
        self._has_told_answer = False
        return (
            frames
            + self._text_ended("incomplete" if event.finish_reason in _REASONS else "completed")
            + self._calls_ended()
        )

    def _ended(self, event: RunFinished) -> bytes:
        frames = self._opening()
        if event.text and not self._has_told_text:
            frames += self._said(event.text)
        reason = _REASONS.get(event.finish_reason)
        frames += self._text_ended("incomplete" if event.is_cancelled or reason else "completed")
        frames += self._calls_untold(event.tool_calls) + self._calls_ended()
        status = "cancelled" if event.is_cancelled else "incomplete" if reason else "completed"
        self._fields |= {
            "status": status,
            "completed_at": int(time.time()) if status == "completed" else None,
            "incomplete_details": {"reason": reason} if status == "incomplete" else None,
            "usage": response_usage(event.usage),
        }
        ours = unusual_ending(event)
        if self._receipts is not None:
            ours |= receipts_of(RunResult.from_events([*self._receipts, event]))
        if ours:
            self._fields["agentgraph"] = ours
        # OpenAI's streams have no event for a response that was cancelled; its status says so.
        kind = "response.completed" if status == "completed" else "response.incomplete"
        return frames + self._frame(kind, response=self.response)

    def _frame(self, kind: str, **fields: Any) -> bytes:
        told = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(told, default=str) + b"\n\n"


def _message_head(run_id: str, place: int, status: str) -> dict[str, Any]:
    return {
        "id": f"msg_{run_id.removeprefix('run-')}{place:04d}",
        "type": "message",
        "role": "assistant",
        "status": status,
    }


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call_head(run_id: str, place: int, call_id: str | None, name: str | None) -> dict[str, Any]:
    return {
        "id": f"fc_{run_id.removeprefix('run-')}{place:04d}",
        "type": "function_call",
        "call_id": call_id,
        "name": name,
    }


def _arguments(call: Mapping[str, Any]) -> str:
    arguments = call["args"]
    # Not orjson: arguments may hold integers beyond 64 bits.
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
