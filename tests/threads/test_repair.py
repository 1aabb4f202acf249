"""What is sent obeys the vendors' rules; what is stored is left alone."""

import copy
import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_google_genai.chat_models import _parse_chat_history
from langchain_openai.chat_models.base import _convert_message_to_dict

from agentgraph.threads import repair
from agentgraph.threads.repair import repaired

CALL = AIMessage("", tool_calls=[{"id": "a", "name": "x", "args": {}}, {"id": "b", "name": "y", "args": {}}])
PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def test_a_dangling_call_is_answered_right_after_it() -> None:
    messages: list[BaseMessage] = [HumanMessage("go"), CALL, ToolMessage("1", tool_call_id="a"), HumanMessage("well?")]
    mended = repaired(messages)
    assert [m.type for m in mended] == ["human", "ai", "tool", "tool", "human"]
    answer = mended[3]
    assert isinstance(answer, ToolMessage)
    assert (answer.tool_call_id, answer.status) == ("b", "error")
    assert len(messages) == 4


def test_an_orphaned_result_is_left_out() -> None:
    assert repaired([HumanMessage("go"), ToolMessage("1", tool_call_id="zzz")]) == [HumanMessage("go")]


def test_results_that_arrive_late_move_to_their_call() -> None:
    late = [
        HumanMessage("go"),
        CALL,
        HumanMessage("?"),
        ToolMessage("2", tool_call_id="b"),
        ToolMessage("1", tool_call_id="a"),
    ]
    assert [m.text for m in repaired(late)] == ["go", "", "1", "2", "?"]


def test_a_sound_history_is_unchanged() -> None:
    sound = [HumanMessage("go"), AIMessage("ok")]
    assert repaired(sound) == sound


def test_a_result_belongs_to_the_nearest_call_of_its_id() -> None:
    """Gemini's and many local models count their calls anew in every turn."""
    history = [
        *(HumanMessage("one"), _calling("call_1"), ToolMessage("first", tool_call_id="call_1"), AIMessage("done")),
        *(HumanMessage("two"), _calling("call_1"), ToolMessage("second", tool_call_id="call_1")),
    ]
    mended = repaired(history)
    assert [m.text for m in mended] == ["one", "", "first", "done", "two", "", "second"]
    assert _ids(mended) == ["call_1", "call_1_2"]


def test_a_renamed_call_keeps_its_gemini_signature() -> None:
    kwargs = {"__gemini_function_call_thought_signatures__": {"call_1": "c2ln"}}
    second = _calling("call_1").model_copy(update={"additional_kwargs": kwargs})
    mended = repaired([HumanMessage("go"), _calling("call_1"), HumanMessage("on"), second])
    assert list(mended[4].additional_kwargs.values()) == [{"call_1_2": "c2ln"}]


def test_calls_without_ids_are_answered_in_order() -> None:
    calls = AIMessage("", tool_calls=[{"id": None, "name": "x", "args": {}}, {"id": "", "name": "y", "args": {}}])
    history = [HumanMessage("go"), calls, ToolMessage("1", tool_call_id=""), ToolMessage("2", tool_call_id="")]
    mended = repaired(history)
    assert _ids(mended) == ["call", "call_2"]
    assert [m.text for m in mended[2:]] == ["1", "2"]


def test_the_first_result_counts_unless_it_only_told_of_an_interruption() -> None:
    start = [HumanMessage("go"), _calling("a")]
    interrupted = repaired(start)[-1]
    first, second = ToolMessage("1", tool_call_id="a"), ToolMessage("2", tool_call_id="a")
    assert [m.text for m in repaired([*start, first, second])] == ["go", "", "1"]
    assert [m.text for m in repaired([*start, interrupted, first, second])] == ["go", "", "1"]
    assert [m.text for m in repaired([*start, first, interrupted])] == ["go", "", "1"]


def test_arguments_that_are_no_json_become_a_call_that_was_not_run() -> None:
    broken = AIMessage("", invalid_tool_calls=[{"id": "a", "name": "x", "args": "{oops", "error": "line 1"}])
    mended = repaired([HumanMessage("go"), broken])
    assert isinstance(mended[1], AIMessage)
    assert mended[1].tool_calls == [{"id": "a", "name": "x", "args": {}, "type": "tool_call"}]
    assert "line 1" in mended[2].text
    told = ToolMessage("told already", tool_call_id="a", status="error")
    assert [m.text for m in repaired([HumanMessage("go"), broken, told])][2:] == ["told already"]


def test_what_one_speaker_said_in_a_row_is_one_message() -> None:
    history = [HumanMessage("look"), HumanMessage(["here", PIXEL]), AIMessage("I"), AIMessage("see"), _calling("a")]
    user, assistant, _ = repaired(history)
    assert user.content == [{"type": "text", "text": "look"}, {"type": "text", "text": "here"}, PIXEL]
    assert assistant.content == "I\n\nsee"
    assert _ids([assistant]) == ["a"]


def test_blank_texts_are_not_sent() -> None:
    history = [HumanMessage([{"type": "text", "text": " "}, PIXEL]), AIMessage("\n"), AIMessage("ok"), HumanMessage("")]
    assert [m.content for m in repaired(history)] == [[PIXEL], "ok", "[empty message]"]


def test_a_cancelled_answer_is_kept() -> None:
    history = [HumanMessage("tell"), AIMessage("Once upon a"), HumanMessage("go on")]
    assert repaired(history) == history


def test_an_answer_of_nothing_but_thoughts_is_left_out() -> None:
    thought = AIMessage([{"type": "thinking", "thinking": "hm", "signature": "s"}])
    assert repaired([HumanMessage("go"), thought]) == [HumanMessage("go")]


def test_a_greeting_is_kept_behind_a_user_who_says_nothing() -> None:
    assert [m.text for m in repaired([AIMessage("Hello!"), HumanMessage("hi")])] == [".", "Hello!", "hi"]


def test_calls_told_twice_are_not_sent_twice() -> None:
    """A message cut from its calls may still tell of them in its content and in OpenAI's raw form."""
    told = [{"type": "text", "text": "wait"}, {"type": "tool_use", "id": "a", "name": "x", "input": {}}]
    raw = [{"id": "a", "type": "function", "function": {"name": "x", "arguments": "{}"}}]
    cut = AIMessage("wait").model_copy(update={"content": told, "additional_kwargs": {"tool_calls": raw}})
    mended = repaired([HumanMessage("go"), cut])
    assert mended[1].content == told[:1]
    assert mended[1].additional_kwargs == {}


async def test_a_model_is_sent_a_repaired_history(open_app: Callable[..., Any]) -> None:
    """Red without repair: this history breaks a rule of every vendor."""
    app, model = await open_app(["ok"], system_prompt=None, temporal_awareness=False)
    damaged = [AIMessage("Hello!"), HumanMessage("go"), CALL, HumanMessage(""), HumanMessage("well?")]
    for refuses in (check_openai, check_anthropic, check_gemini):
        with pytest.raises(AssertionError):
            refuses(damaged)
    await app.run(damaged, include_memories=False)
    check_openai(model.calls[0]["messages"])
    check_anthropic(model.calls[0]["messages"])
    check_gemini(model.calls[0]["messages"])


_words = st.sampled_from(["", " ", "\n\t", "yes", "one two", "Grüße", "…"])
_ids_told = st.sampled_from(["call_1", "a", "b", "", "no good!", "l" * 60, "call", "call_2"])
_names = st.sampled_from(["x", "search.web", "", "n" * 80])
_blocks = st.one_of(
    _words,
    st.builds(lambda text: {"type": "text", "text": text}, _words),
    st.just(PIXEL),
    st.just({"type": "thinking", "thinking": "hm", "signature": "c2ln"}),
)
_contents = st.one_of(_words, st.lists(_blocks.filter(lambda b: not _is_of(b, "thinking")), max_size=3))
_answers = st.one_of(_words, st.lists(_blocks.filter(lambda b: not _is_of(b, "image_url")), max_size=3))
_called = st.builds(
    lambda call_id, name: {"id": call_id, "name": name, "args": {"q": 1}}, st.none() | _ids_told, _names
)
_failed = st.builds(
    lambda call_id, name: {"id": call_id, "name": name, "args": "{", "error": None},
    st.none() | _ids_told,
    st.none() | _names,
)
_results = st.builds(
    lambda text, call_id, name: ToolMessage(text, tool_call_id=call_id, name=name),
    _words | st.lists(_words, max_size=2),
    _ids_told,
    st.none() | _names,
)
_spoken = st.one_of(
    st.builds(lambda content, name: HumanMessage(content, name=name), _contents, st.none() | st.just("Ann Lee")),
    st.builds(
        lambda content, calls, broken: AIMessage(content, tool_calls=calls, invalid_tool_calls=broken),
        _answers,
        st.lists(_called, max_size=3),
        st.lists(_failed, max_size=1),
    ),
    st.builds(AIMessage, _answers),
    st.builds(lambda text, role: ChatMessage(text, role=role), _words, st.sampled_from(["user", "assistant"])),
)
_strays = st.one_of(
    st.builds(SystemMessage, _words), st.builds(lambda text: FunctionMessage(text, name="old"), st.just("result"))
)
_histories = st.lists(st.one_of(_spoken, _results, _spoken, _results, _strays), max_size=12)


@settings(max_examples=400, deadline=None)
@given(_histories)
def test_any_damage_is_mended(history: list[BaseMessage]) -> None:
    before = copy.deepcopy(history)
    mended = repaired(history)
    assert history == before
    check_openai(mended)
    check_anthropic(mended)
    check_gemini(mended)
    assert repaired(mended) == mended
    assert [word for word in _said(mended) if word not in {"[empty", "message]", "."}] == _said(history)


@settings(max_examples=200, deadline=None)
@given(_histories, st.lists(_spoken, max_size=4))
def test_what_was_sent_before_is_sent_alike(history: list[BaseMessage], more: list[BaseMessage]) -> None:
    """But for the last message, to which the next may be joined; a late tool result alone changes more."""
    before, after = repaired(history), repaired([*history, *more])
    assert _wire(after[: max(len(before) - 1, 0)]) == _wire(before[:-1])


def check_openai(messages: Sequence[BaseMessage]) -> None:
    """Hold the wire form to OpenAI's rules.

    Source: https://platform.openai.com/docs/api-reference/chat/create, and what it answers with 400: "An assistant
    message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'", "Invalid
    'messages[10].tool_calls[0].id': string too long. Expected a string with maximum length 40", "Invalid
    'messages[1].name': string does not match pattern", "expected content to be a string or an array of objects".
    """
    waiting: list[str] = []
    for told in (_convert_message_to_dict(message) for message in messages):
        if told["role"] == "tool":
            assert told["tool_call_id"] in waiting
            waiting.remove(told["tool_call_id"])
        else:
            assert not waiting
        content = told["content"]
        assert content or told["role"] == "tool" or told.get("tool_calls")
        if content is not None and not isinstance(content, str):
            assert content
            assert all(isinstance(block, dict) for block in content)
        assert re.fullmatch(r"[^\s<|\\/>]{1,64}", told.get("name", "ok"))
        for call in told.get("tool_calls", []):
            assert 0 < len(call["id"]) <= 40
            assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call["function"]["name"])
            assert isinstance(json.loads(call["function"]["arguments"]), dict)  # llama.cpp answers 500 otherwise
            waiting.append(call["id"])
    assert not waiting


def check_anthropic(messages: Sequence[BaseMessage]) -> None:
    """Hold the turns, as langchain-anthropic would send them, to Anthropic's rules.

    Source: https://docs.anthropic.com/en/api/messages and .../agents-and-tools/tool-use/implement-tool-use, and what it
    answers with 400: "`tool_use` ids were found without `tool_result` blocks immediately after", "unexpected
    `tool_use_id` found in `tool_result` blocks", "`tool_use` ids must be unique", "text content blocks must contain
    non-whitespace text", "first message must use the user role", "roles must alternate".
    """
    spoken = [message for message in messages if not isinstance(message, SystemMessage)]
    assert list(messages[len(messages) - len(spoken) :]) == spoken  # system text stands first
    assert not spoken or isinstance(spoken[0], HumanMessage)
    seen: set[str] = set()
    asked: list[str] = []
    last = None
    for message in messages:
        texts = [b if isinstance(b, str) else b["text"] for b in _parts(message) if isinstance(b, str) or "text" in b]
        assert all(text.strip() for text in texts)
        if isinstance(message, ToolMessage):
            assert message.tool_call_id == asked.pop(0)
        else:
            assert not asked
            assert last is None or type(message) is not last or last is SystemMessage
            last = type(message)
        if isinstance(message, AIMessage):
            asked = [str(call["id"]) for call in message.tool_calls]
            assert not message.invalid_tool_calls
            assert _parts(message) or asked
            assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", call_id) for call_id in asked)
            assert not seen & set(asked)
            assert len(set(asked)) == len(asked)
            seen |= set(asked)
            last = None if asked else last
        if isinstance(message, HumanMessage):
            assert message.content
    assert not asked


def check_gemini(messages: Sequence[BaseMessage]) -> None:
    """Hold the wire form to Gemini's rules.

    Source: https://ai.google.dev/gemini-api/docs/function-calling, and what it answers with 400: "ensure that function
    call turn comes immediately after a user turn or after a function response turn", "ensure that the number of
    function response parts is equal to the number of function call parts of the function call turn", "function response
    turn comes immediately after a function call turn", "contents.parts must not be empty".
    """
    calls: list[str | None] = []
    last = "model"
    for content in _parse_chat_history(messages)[1]:
        parts = content.parts or []
        assert parts
        assert all(part.text is None or part.text.strip() or part.function_call for part in parts)
        responses = [part.function_response.name for part in parts if part.function_response]
        assert responses == calls
        calls = [part.function_call.name for part in parts if part.function_call]
        assert not calls or last != "model"
        assert all(name and re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", name) for name in calls)
        assert content.role != last or responses
        last = str(content.role) if not responses else "response"
    assert not calls


def _calling(call_id: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"id": call_id, "name": "x", "args": {}}])


def _ids(messages: Sequence[BaseMessage]) -> list[str | None]:
    return [call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]


def _parts(message: BaseMessage) -> list[Any]:
    return ([message.content] if message.content else []) if isinstance(message.content, str) else message.content


def _is_of(block: object, kind: str) -> bool:
    return isinstance(block, dict) and block["type"] == kind


def _said(messages: Sequence[BaseMessage]) -> list[str]:
    spoken = (m for m in messages if isinstance(m, HumanMessage | AIMessage | ChatMessage))
    texts = (b if isinstance(b, str) else str(b.get("text", "")) for m in spoken for b in _parts(m))
    return [word for text in texts for word in text.split()]


def _wire(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    return [_convert_message_to_dict(message) for message in messages]


@given(
    st.lists(st.tuples(_contents, _answers, st.none() | _names), min_size=1, max_size=4).map(
        lambda turns: [m for said, told, name in turns for m in (HumanMessage(said, name=name), AIMessage(told))]
    )
    | _histories
)
def test_plain_talk_is_what_nothing_would_be_mended_in(history: list[BaseMessage]) -> None:
    if repair._is_plain_talk(history):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(repair, "_is_plain_talk", lambda _: False)
            assert repaired(history) == history


def test_calls_of_one_id_are_told_apart_in_one_pass() -> None:
    calls = [{"id": "call_1", "name": "x", "args": {}} for _ in range(6_000)]
    began = time.process_time()
    sent = repaired([HumanMessage("Go."), AIMessage("", tool_calls=calls)])
    assert time.process_time() - began < 1.5  # each counted from 1 took many times that
    assert len({message.tool_call_id for message in sent if isinstance(message, ToolMessage)}) == 6_000
