"""Whatever a client resends, a thread gains only what is new."""

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from agentgraph.threads.reconcile import new_messages


def turns(*texts: str) -> list[BaseMessage]:
    return [HumanMessage(text) if i % 2 == 0 else AIMessage(text) for i, text in enumerate(texts)]


def texts(messages: list[BaseMessage]) -> list[str]:
    return [str(message.text) for message in messages]


def test_a_client_that_resends_everything_adds_its_last_message() -> None:
    stored = turns("q1", "a1", "q2", "a2")
    assert texts(new_messages(stored, [*stored, HumanMessage("q3")])) == ["q3"]


def test_a_sliding_window_is_recognised() -> None:
    stored = turns("q1", "a1", "q2", "a2", "q3", "a3")
    assert texts(new_messages(stored, [*stored[2:], HumanMessage("q4")])) == ["q4"]


def test_a_new_message_alone_is_new() -> None:
    assert texts(new_messages(turns("q1", "a1"), turns("q2"))) == ["q2"]


def test_the_same_question_asked_again_is_a_new_message() -> None:
    stored = turns("more", "a1")
    assert texts(new_messages(stored, [*stored, HumanMessage("more")])) == ["more"]
    assert texts(new_messages(stored, [HumanMessage("more")])) == ["more"]


def test_everything_is_new_on_an_empty_thread_after_the_clients_last_answer() -> None:
    assert texts(new_messages([], turns("q1"))) == ["q1"]


def test_tool_results_are_new_and_their_call_is_known() -> None:
    call = AIMessage("", tool_calls=[{"id": "c1", "name": "book", "args": {}}])
    stored = [HumanMessage("book it"), call]
    sent = [HumanMessage("book it"), call, ToolMessage("done", tool_call_id="c1")]
    assert texts(new_messages(stored, sent)) == ["done"]
    assert texts(new_messages(stored, sent[-1:])) == ["done"]


def test_an_edited_history_keeps_the_threads_own() -> None:
    assert texts(new_messages(turns("q1", "a1"), turns("edited", "other", "q2"))) == ["q2"]


def test_nothing_is_new_when_all_is_known() -> None:
    stored = turns("q1", "a1")
    assert new_messages(stored, stored) == []
