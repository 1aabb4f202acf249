"""Tools the caller runs, over HTTP with OpenAI's client: on a thread and without, streamed and not."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool

Serve = Callable[..., Any]
BOOK: Any = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Book.",
        "parameters": {"type": "object", "properties": {"seat": {"type": "string"}, "row": {"type": "integer"}}},
    },
}
ADDED: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_added() -> None:
    ADDED.clear()


@tool
def add(a: int, b: int) -> int:
    """Add."""
    ADDED.append(a + b)
    return a + b


def calls(*made: tuple[str, str, dict[str, Any]]) -> AIMessage:
    return AIMessage("", tool_calls=[{"id": call_id, "name": name, "args": args} for call_id, name, args in made])


MIXED = calls(
    ("c1", "book", {"seat": "a", "row": 1}), ("s1", "add", {"a": 1, "b": 2}), ("c2", "book", {"seat": "b", "row": 2})
)


class Client:
    """A caller by OpenAI's client, which keeps the conversation itself where there is no thread."""

    def __init__(self, served: Any, thread: str | None, *, streams: bool) -> None:
        self.create = served.openai(max_retries=0).chat.completions.create
        self.thread, self.streams = thread, streams
        self.told: list[Any] = []

    def send(self, *messages: Any) -> dict[str, Any]:
        sent = list(messages) if self.thread else [*self.told, *messages]
        headers = {"x-thread-id": self.thread} if self.thread else {}
        options: Any = {"model": "default", "messages": sent, "tools": [BOOK], "extra_headers": headers}
        if self.streams:
            answer = _joined(self.create(**options, stream=True))
        else:
            answer = self.create(**options).choices[0].message.model_dump(exclude_none=True)
        self.told = [*self.told, *messages, answer]
        return answer


def _joined(stream: Any) -> dict[str, Any]:
    """Put an answer together from its pieces, as clients do: calls by their index."""
    made: dict[int, dict[str, Any]] = {}
    text = ""
    for chunk in stream:
        if not chunk.choices:
            continue
        delta = chunk.choices[0].delta
        text += delta.content or ""
        for piece in delta.tool_calls or ():
            call = made.setdefault(piece.index, {"type": "function", "function": {"name": "", "arguments": ""}})
            if piece.id:
                call["id"] = piece.id
            call["function"]["name"] += piece.function.name or ""
            call["function"]["arguments"] += piece.function.arguments or ""
    answer: dict[str, Any] = {"role": "assistant", "content": text or None}
    return {**answer, "tool_calls": [made[index] for index in sorted(made)]} if made else answer


def result(call_id: str, content: str) -> dict[str, str]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def results(served: Any) -> list[tuple[str, str]]:
    return [(m.tool_call_id, m.text) for m in served.model.calls[-1]["messages"] if isinstance(m, ToolMessage)]


both = pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
anywhere = pytest.mark.parametrize("thread", ["t", None], ids=["thread", "one-off"])


@both
@anywhere
def test_results_find_their_way_back_in_any_order(serve: Serve, thread: str | None, streams: bool) -> None:
    served = serve([MIXED, "Done."], tools=[add])
    client = Client(served, thread, streams=streams)
    made = client.send({"role": "user", "content": "Book."})["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in made] == [
        ("c1", '{"seat": "a", "row": 1}'),
        ("c2", '{"seat": "b", "row": 2}'),
    ]
    assert client.send(result("c2", "B"), result("c1", "A"))["content"] == "Done."
    assert results(served) == [("c1", "A"), ("s1", "3"), ("c2", "B")]
    assert ADDED == [3]


@both
@anywhere
def test_a_part_of_them_is_no_error(serve: Serve, thread: str | None, streams: bool) -> None:
    served = serve([MIXED, "One.", "Both."], tools=[add])
    client = Client(served, thread, streams=streams)
    client.send({"role": "user", "content": "Book."})
    assert client.send(result("c2", "B"))["content"] == "One."
    assert client.send(result("c1", "A"))["content"] == "Both."
    assert results(served) == [("c1", "A"), ("s1", "3"), ("c2", "B")]


@both
@anywhere
def test_one_nobody_called_for_is_refused(serve: Serve, thread: str | None, streams: bool) -> None:
    served = serve([], tools=[add])
    with pytest.raises(openai.BadRequestError, match="'c9'") as refused:
        Client(served, thread, streams=streams).send(result("c9", "?"))
    assert refused.value.code == "unknown_tool_call"
