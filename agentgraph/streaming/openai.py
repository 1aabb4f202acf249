"""A run in OpenAI's chat-completions format: whole, or as the chunks of a stream.

Only what concerns the caller is told: calls of server tools never show, nor does anything of memory.

OpenAI's schema has no word for two of our endings; `agentgraph`, an object of ours beside `choices`, has. A run that
was ended before its time is `{"status": "cancelled"}`, with `finish_reason: "length"`, the one word for an answer cut
short. One that waits for an answer is `{"status": "requires_action", "interrupts": [{"id", "value"}]}`, with `"stop"`.

The same object holds the receipts of memories and tools, where they are asked for.

Who asked with the older `functions` is answered in kind: one `function_call`, without an id, where `tool_calls` were.
Of several calls that is the first; the model may make the others again.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from agentgraph.events import (
    AnswerCompleted,
    MemoriesRecalled,
    RunEvent,
    RunFinished,
    TextDelta,
    ToolCallDelta,
    ToolFinished,
    ToolsOffered,
    Usage,
)
from agentgraph.run import RunResult
from agentgraph.streaming.ending import unusual_ending
from agentgraph.streaming.receipts import receipts_of

__all__ = ["DONE", "ChatChunks", "chat_completion", "completion_id"]

DONE: Final = b"data: [DONE]\n\n"
_BETWEEN_ANSWERS: Final = "\n\n"


def completion_id(run_id: str) -> str:
    """Return the completion's id, from which the run's can be read."""
    return f"chatcmpl-{run_id.removeprefix('run-')}"


def chat_completion(
    results: Sequence[RunResult],
    *,
    model: str,
    created: int,
    uses_functions: bool = False,
    wants_receipts: bool = False,
) -> dict[str, Any]:
    """Return the whole completion, a choice for each result.

    Args:
        results: Of the runs that were asked the same.
        model: As the client is to see it.
        created: Seconds since 1970.
        uses_functions: Whether the request has `functions`, and a call is told as `function_call`.
        wants_receipts: Whether the first run's receipts are told, too.
    """
    first = results[0]
    ours = {**unusual_ending(first), **(receipts_of(first) if wants_receipts else {})}
    return {
        "id": completion_id(first.run_id),
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [_whole_choice(i, result, uses_functions=uses_functions) for i, result in enumerate(results)],
        "usage": _usage(sum((result.usage for result in results), Usage())),
        "system_fingerprint": first.response_metadata.get("system_fingerprint"),
        **({"agentgraph": ours} if ours else {}),
    }


def _whole_choice(index: int, result: RunResult, *, uses_functions: bool) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": result.text or None, "refusal": None}
    if result.tool_calls and uses_functions:
        message["function_call"] = _tool_call(result.tool_calls[0])["function"]
    elif result.tool_calls:
        message["tool_calls"] = [_tool_call(call) for call in result.tool_calls]
    elif message["content"] is None:
        message["content"] = ""
    return {
        "index": index,
        "message": message,
        "logprobs": result.response_metadata.get("logprobs"),
        "finish_reason": _finish_reason(result, uses_functions=uses_functions),
    }


class ChatChunks:
    """Turns the events of one run into the frames of a stream, in the order OpenAI sends them.

    Args:
        run_id: From the run's `RunStarted`.
        model: As the client is to see it.
        created: Seconds since 1970.
        include_usage: Whether a last chunk tells the usage (`stream_options.include_usage`).
        uses_functions: Whether the request has `functions`, and a call is told as `function_call`.
        wants_receipts: Whether the last chunk tells the run's receipts.
        index: Which choice of the stream this run is.
        is_alone: Whether the stream ends with this run; else whoever tells several runs sends `closing`.
    """

    def __init__(
        self,
        run_id: str,
        *,
        model: str,
        created: int,
        include_usage: bool = False,
        uses_functions: bool = False,
        wants_receipts: bool = False,
        index: int = 0,
        is_alone: bool = True,
    ) -> None:
        head = {
            "id": completion_id(run_id),
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "system_fingerprint": None,
        }
        self._head = b"data: " + orjson.dumps(head)[:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
        self._include_usage = include_usage
        self._index = b'{"index":%d,"delta":' % index
        self._is_alone = is_alone
        self._receipts: list[RunEvent] | None = [] if wants_receipts else None
        self._uses_functions = uses_functions
        self._started = False
        self._text_sent = False
        self._answer_ended = False
        self._positions: dict[int, int] = {}
        self._calls_sent: set[str | None] = set()
        self._call_count = 0

    def encode(self, event: RunEvent) -> bytes:
        """Return the frames that `event` adds; `b""` where it is nothing to the client."""
        match event:
            case TextDelta():
                return self._text(event.text)
            case ToolCallDelta(is_client_tool=True):
                return self._call_piece(event)
            case AnswerCompleted():
                # Indices begin anew with each model call; the client's count on.
                self._positions.clear()
                self._answer_ended = True
                return b""
            case RunFinished():
                return self._end(event)
            case MemoriesRecalled() | ToolsOffered() | ToolFinished() if self._receipts is not None:
                self._receipts.append(event)
                return b""
            case _:
                return b""

    def closing(self, usage: Usage) -> bytes:
        """Return what ends the stream: the usage, where it is wanted, and OpenAI's last word."""
        if not self._include_usage:
            return DONE
        return self._head + b'],"usage":' + orjson.dumps(_usage(usage)) + b"}\n\n" + DONE

    def _text(self, text: str) -> bytes:
        if self._answer_ended and self._text_sent:
            text = _BETWEEN_ANSWERS + text
        self._answer_ended = False
        self._text_sent = True
        return self._delta({"content": text})

    def _call_piece(self, event: ToolCallDelta) -> bytes:
        position = self._positions.get(event.index)
        if position is None:
            position = self._positions[event.index] = self._call_count
            self._call_count += 1
            self._calls_sent.add(event.tool_call_id)
            return self._first_piece(position, event.tool_call_id, event.name, event.arguments)
        function = {"arguments": event.arguments}
        if self._uses_functions:
            return self._function_piece(position, function)
        return self._delta({"tool_calls": [{"index": position, "function": function}]})

    def _function_piece(self, position: int, function: Mapping[str, Any]) -> bytes:
        return self._delta({"function_call": function}) if position == 0 else b""

    def _first_piece(self, position: int, call_id: str | None, name: str | None, arguments: str) -> bytes:
        function = {"name": name, "arguments": arguments}
        if self._uses_functions:
            return self._function_piece(position, function)
        return self._delta(
            {"tool_calls": [{"index": position, "id": call_id, "type": "function", "function": function}]}
        )

    def _end(self, event: RunFinished) -> bytes:
        frames = b""
        # A model that does not stream tells its answer only now.
        if event.text and not self._text_sent:
            frames += self._delta({"content": event.text})
        for call in event.tool_calls:
            if call["id"] not in self._calls_sent:
                function = _tool_call(call)["function"]
                frames += self._first_piece(self._call_count, call["id"], function["name"], function["arguments"])
                self._call_count += 1
        last = self._choice(
            b"{}", orjson.dumps(_finish_reason(event, uses_functions=self._uses_functions)), first=not self._started
        )
        ours = unusual_ending(event)
        if self._receipts is not None:
            ours |= receipts_of(RunResult.from_events([*self._receipts, event]))
        if ours:
            told = orjson.dumps({"agentgraph": ours}, default=str)
            last = last.removesuffix(b"}\n\n") + b"," + told[1:] + b"\n\n"
        frames += last
        return frames + self.closing(event.usage) if self._is_alone else frames

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        first, self._started = not self._started, True
        return self._choice(orjson.dumps(delta), b"null", first=first)

    def _choice(self, delta: bytes, finish_reason: bytes, *, first: bool) -> bytes:
        frame = (
            self._head + self._index + delta + b',"logprobs":null,"finish_reason":' + finish_reason + b"}" + self._tail
        )
        if not first:
            return frame
        return self._choice(b'{"role":"assistant","content":"","refusal":null}', b"null", first=False) + frame


def _finish_reason(ending: RunResult | RunFinished, *, uses_functions: bool) -> str:
    if ending.is_cancelled:
        return "length"
    return "function_call" if uses_functions and ending.finish_reason == "tool_calls" else ending.finish_reason


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call["args"]
    if not isinstance(arguments, str):
        # Not orjson: arguments may hold integers beyond 64 bits.
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": arguments}}


def _usage(usage: Usage) -> Mapping[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
