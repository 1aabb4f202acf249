"""What is sent obeys the vendors' rules; what is stored is left alone."""

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from agentgraph.threads.repair import repaired

CALL = AIMessage("", tool_calls=[{"id": "a", "name": "x", "args": {}}, {"id": "b", "name": "y", "args": {}}])


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
