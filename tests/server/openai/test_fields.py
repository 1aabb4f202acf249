"""Every field OpenAI documents for a chat completion is honoured or refused by name; none is passed over."""

import asyncio
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from tests.server.conftest import Serve

pytestmark = pytest.mark.integration

FUNCTION = {"name": "book", "description": "Book.", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": FUNCTION}

# What the model is asked with, beside the messages.
HANDED_ON: dict[str, Any] = {
    "frequency_penalty": 0.5,
    "logit_bias": {"50": -100},
    "logprobs": True,
    "max_completion_tokens": 50,
    "max_tokens": 50,
    "presence_penalty": 0.5,
    "prompt_cache_key": "k",
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "safety_identifier": "s",
    "seed": 3,
    "service_tier": "flex",
    "temperature": 0.5,
    "top_p": 0.5,
    "user": "u",
    "verbosity": "low",
}
# What changes the answer, or the run; each has a test of its own beside this one.
HONOURED: dict[str, dict[str, Any]] = {
    "function_call": {"functions": [FUNCTION], "function_call": "none"},
    "functions": {"functions": [FUNCTION]},
    "messages": {},
    "metadata": {"metadata": {"timezone": "Europe/Paris", "colour": "blue"}},
    "modalities": {"modalities": ["text"]},
    "model": {"model": "default"},
    "n": {"n": 2},
    "parallel_tool_calls": {"tools": [TOOL], "parallel_tool_calls": False},
    "stop": {"stop": "END"},
    "store": {"store": False},
    "stream_options": {"stream": True, "stream_options": {"include_usage": True}},
    "tool_choice": {"tools": [TOOL], "tool_choice": "none"},
    "tools": {"tools": [TOOL]},
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
}
REFUSED: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "mp3"},
    "moderation": {"model": "omni-moderation-latest"},
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_options": {"ttl": "30m"},
    "prompt_cache_retention": "24h",
    "web_search_options": {},
}


def test_the_table_has_every_documented_field() -> None:
    assert set(HANDED_ON) | set(HONOURED) | set(REFUSED) == set(CompletionCreateParamsBase.__annotations__)


def test_what_the_model_decides_it_is_asked(serve: Serve) -> None:
    served = serve()
    for field, value in HANDED_ON.items():
        response = served.chat(**{field: value})
        assert response.status_code == 200, field
        assert served.model.calls[-1]["parameters"][field] == value


def test_what_we_decide_is_accepted(serve: Serve) -> None:
    served = serve()
    for field, body in HONOURED.items():
        assert served.chat(**body).status_code == 200, field


def test_what_nobody_here_can_do_is_refused_by_name(serve: Serve) -> None:
    served = serve()
    for field, value in REFUSED.items():
        response = served.chat(**{field: value})
        assert response.status_code == 400, field
        error = response.json()["error"]
        assert (error["param"], error["code"]) == (field, "unknown_field")
        assert error["message"].endswith(": leave it out") is False, f"{field} deserves a word on what to do instead"
    assert served.model.calls == []


def test_several_choices_are_several_runs(serve: Serve) -> None:
    said: list[dict[str, Any]] = []

    def count(messages: Any, tools: Any) -> str:
        said.append({})
        return f"Answer {len(said)}."

    served = serve(count)
    answer = served.openai().chat.completions.create(
        model="default", messages=[{"role": "user", "content": "Think of something."}], n=3, seed=5
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"Answer 1.", "Answer 2.", "Answer 3."}
    assert sorted(call["parameters"]["seed"] for call in served.model.calls) == [5, 6, 7]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6


def test_several_choices_are_streamed_side_by_side(serve: Serve) -> None:
    served = serve(["One two three.", "One two three."])
    stream = served.openai().chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": "Count."}],
        n=2,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == 1
    texts = ["", ""]
    ends: list[int] = []
    for chunk in chunks[:-1]:
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
        ends += [choice.index] if choice.finish_reason == "stop" else []
    assert texts == ["One two three."] * 2
    assert sorted(ends) == [0, 1]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6


def test_what_several_runs_hear_is_remembered_once(serve: Serve) -> None:
    served = serve()
    served.chat(n=4, messages=[{"role": "user", "content": "My dog is called Rex."}])
    asyncio.run(served.app.settled())
    kept = [memory.text for memory in asyncio.run(served.app.memories.list(tenant="acme"))]
    assert kept.count("My dog is called Rex.") == 1


def test_a_run_that_fails_ends_the_others(serve: Serve) -> None:
    served = serve(["Fine.", ValueError("broken"), "Fine."])
    response = served.chat(n=3)
    assert response.status_code == 502
