"""Calls in the older format, which carries no ids, find theirs on the thread."""

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from agentgraph.threads.function_calls import with_known_ids


def call(call_id: str, seat: str = "aisle", name: str = "book") -> AIMessage:
    return AIMessage("", tool_calls=[{"id": call_id, "name": name, "args": {"seat": seat}}])


def result(call_id: str, name: str = "book") -> ToolMessage:
    return ToolMessage("12C", tool_call_id=call_id, name=name)


ASKED = HumanMessage("Book.")


def ids(messages: list[BaseMessage]) -> list[str]:
    told = []
    for message in messages:
        if isinstance(message, ToolMessage):
            told.append(message.tool_call_id)
        elif isinstance(message, AIMessage):
            told.append(str(message.tool_calls[0]["id"]))
    return told


def test_what_is_resent_takes_the_threads_ids_in_order() -> None:
    stored = [ASKED, call("c1"), result("c1"), call("c2"), result("c2"), call("c3", "window")]
    sent = [ASKED, call("function-1"), result("function-1"), call("function-3"), result("function-3"), ASKED]
    assert ids(with_known_ids(stored, sent)) == ["c1", "c1", "c2", "c2"]


def test_a_result_alone_answers_the_open_call_of_its_name() -> None:
    stored = [ASKED, call("c1"), result("c1"), call("c2"), call("c3", name="fly")]
    assert ids(with_known_ids(stored, [result("function-0")])) == ["c2"]
    assert ids(with_known_ids(stored, [result("function-0", name="fly")])) == ["c3"]


def test_what_the_thread_does_not_know_stays() -> None:
    sent = [call("function-1", "window"), result("function-1")]
    assert ids(with_known_ids([ASKED, call("c1")], sent)) == ["function-1", "function-1"]
    assert ids(with_known_ids([ASKED], sent)) == ["function-1", "function-1"]
    assert ids(with_known_ids([ASKED, call("c1")], [result("function-0", name="fly")])) == ["function-0"]


def test_ids_that_are_real_stay() -> None:
    stored = [ASKED, call("function-7")]
    assert ids(with_known_ids(stored, [result("function-7")])) == ["function-7"]
    assert ids(with_known_ids([ASKED, call("c1")], [call("c9"), result("c9")])) == ["c9", "c9"]
