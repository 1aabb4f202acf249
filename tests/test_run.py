"""A request holds nothing that a store would choke on later."""

import math
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentgraph.errors import InvalidInputError
from agentgraph.run import RunRequest


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"in": value}
    return value


UNKEEPABLE: dict[str, Any] = {
    "a great integer": 2**70,
    "not a number": math.nan,
    "deep": nested(100),
    "far too deep": nested(5_000),
    "an object": object(),
    "a set": {1},
}


@pytest.mark.parametrize("value", UNKEEPABLE.values(), ids=UNKEEPABLE)
def test_a_callers_call_that_cannot_be_kept_becomes_an_invalid_one(value: object) -> None:
    """Refused, a client that sends back what a model wrote could never go on."""
    call = {"name": "x\0", "args": {"value": value}, "id": "a\ud800", "type": "tool_call"}
    sent = AIMessage("").model_copy(update={"tool_calls": [call]})
    (_, kept) = RunRequest.of([HumanMessage("go"), sent]).messages
    assert isinstance(kept, AIMessage)
    assert kept.tool_calls == []
    assert (kept.invalid_tool_calls[0]["name"], kept.invalid_tool_calls[0]["id"]) == ("x\ufffd", "a\ufffd")
    serde = JsonPlusSerializer(allowed_msgpack_modules=None)
    assert serde.loads_typed(serde.dumps_typed(kept)) == kept


@pytest.mark.parametrize("value", UNKEEPABLE.values(), ids=UNKEEPABLE)
@pytest.mark.parametrize("place", ["content", "additional_kwargs", "response_metadata", "artifact"])
def test_anything_else_that_cannot_be_kept_is_refused(place: str, value: object) -> None:
    parts = (
        {"content": [{"type": "text", "text": "1", "extra": value}]} if place == "content" else {place: {"v": value}}
    )
    result = ToolMessage("1", tool_call_id="a").model_copy(update=parts)
    with pytest.raises(InvalidInputError, match="messages cannot be kept") as refused:
        RunRequest.of([HumanMessage("go"), result])
    assert refused.value.param == "messages"


@pytest.mark.parametrize("value", UNKEEPABLE.values(), ids=UNKEEPABLE)
@pytest.mark.parametrize("place", ["parameters", "tool_choice", "tools"])
def test_parameters_and_schemas_that_cannot_be_kept_are_refused(place: str, value: object) -> None:
    schema = {"type": "function", "function": {"name": "x", "parameters": {"type": "object", "default": value}}}
    options: dict[str, Any] = {place: [schema] if place == "tools" else {"value": value}}
    with pytest.raises(InvalidInputError) as refused:
        RunRequest.of("hi", **options)
    assert str(refused.value.param).partition("[")[0] == place


def test_text_is_made_readable_wherever_it_stands() -> None:
    request = RunRequest.of(
        [
            SystemMessage("be\0 brief"),
            HumanMessage("\ud83d\ude00\ud83d", name="A\0"),
            ToolMessage(["\0"], tool_call_id="\0", artifact={"\0": "\ud800"}),
        ],
        system_prompt="\ud800",
        parameters={"stop": ["\0"]},
    )
    user, result = request.messages
    assert request.system_prompt == "\ufffd\n\nbe\ufffd brief"
    assert (user.content, user.name) == ("😀\ufffd", "A\ufffd")
    assert isinstance(result, ToolMessage)
    assert (result.content, result.tool_call_id, result.artifact) == (["\ufffd"], "\ufffd", {"\ufffd": "\ufffd"})
    assert request.parameters == {"stop": ["\ufffd"]}


@pytest.mark.parametrize("arguments", ['{"a":' * 5_000 + "1" + "}" * 5_000, "[" * 100_000, "1" * 10_000, "NaN", "\0"])
def test_arguments_nobody_can_read_end_in_no_crash(arguments: str) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "x", "arguments": arguments}}
    sent: list[Any] = [("user", "go"), {"role": "assistant", "content": "", "tool_calls": [call]}]
    try:
        messages = RunRequest.of(sent).messages
    except InvalidInputError as error:
        assert error.param == "messages"  # noqa: PT017  both ends are right
    else:
        JsonPlusSerializer(allowed_msgpack_modules=None).dumps_typed(list(messages))


def test_a_sound_message_is_not_copied() -> None:
    message = HumanMessage(["look", {"type": "media", "mime_type": "image/png", "data": b"\x89"}], id="m")
    assert RunRequest.of([message]).messages[0] is message
