"""Untrusted text is known by what brought it in, and counts for as long as it, or a summary of it, is read."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from agentgraph.memory.record import Recalled, recalled_from
from agentgraph.scope import Scope, history_namespace
from agentgraph.tools.taint import MARK, SUMMARISED, brings_untrusted, is_own, untrusted_in

ANN = Scope(tenant="acme", user="ann")
QUESTION = HumanMessage("What is new?", id="q")
MARKED = ToolMessage("x", tool_call_id="c", id="r", additional_kwargs={MARK: True})


def memory(*namespace: str, speaker: str = "user") -> Recalled:
    return recalled_from({"text": "x", "speaker": speaker}, namespace=namespace, key="k")


@pytest.mark.parametrize(
    ("namespace", "scope", "own"),
    [
        (("acme", "memory", "user", "ann"), ANN, True),
        (("acme", "notes", "user", "ann"), ANN, True),
        (history_namespace(("acme", "memory", "user", "ann")), ANN, True),
        (("acme", "memory", "session", "s"), Scope(tenant="acme", session="s", user="ann"), True),
        (("acme", "memory", "shared"), Scope(tenant="acme"), True),
        (("acme", "memory", "shared"), ANN, False),
        (("acme", "notes", "shared"), ANN, False),
        (("acme", "memory", "shared"), Scope(tenant="acme", session="s"), False),
        (("acme", "memory", "user", "bob"), ANN, False),
        (("acme", "memory", "session", "other"), Scope(tenant="acme", session="s"), False),
        (("_global", "memory", "shared"), ANN, False),
        (("_global", "memory", "shared"), Scope(tenant="acme"), False),
        (("_global", "memory", "user", "ann"), ANN, False),
    ],
)
def test_a_memory_is_the_users_own_where_the_run_would_keep_it(
    namespace: tuple[str, ...], scope: Scope, own: bool
) -> None:
    assert is_own(memory(*namespace), scope) is own


def test_what_others_said_is_not_the_users_own_though_it_was_imported_for_them() -> None:
    assert not is_own(memory("acme", "memory", "user", "ann", speaker="Bob"), ANN)
    assert is_own(memory("acme", "memory", "user", "ann", speaker="assistant"), ANN)


@pytest.mark.parametrize(
    ("message", "brings"),
    [
        (MARKED, True),
        (ToolMessage("x", tool_call_id="c"), False),
        (ToolMessage("x", tool_call_id="c", additional_kwargs={MARK: "yes"}), False),
        (HumanMessage("x"), False),
        (HumanMessage([{"type": "text", "text": "x"}]), False),
        (HumanMessage([{"type": "text", "text": "x"}, {"type": "file", "file": {"file_id": "f"}}]), True),
        (AIMessage("x", additional_kwargs={MARK: True}), False),
    ],
)
def test_strangers_speak_through_marked_results_and_files(message: BaseMessage, brings: bool) -> None:
    assert brings_untrusted(message) is brings


def test_anothers_memory_comes_with_the_question_it_is_quoted_in() -> None:
    history = [HumanMessage("Hello.", id="p"), AIMessage("Hi.", id="a"), QUESTION, AIMessage("", id="b")]
    shared: dict[str, Any] = {"recalled": [memory("acme", "memory", "shared")], "scope": ANN}
    assert untrusted_in(history, **shared) == ["q"]
    assert untrusted_in(history, **shared | {"recalled": [memory("acme", "memory", "user", "ann")]}) == []


def test_it_is_known_until_it_leaves_the_window() -> None:
    assert untrusted_in([QUESTION, MARKED], known=["q"]) == ["q", "r"]
    assert untrusted_in([QUESTION, MARKED], known=["q", "r"]) == ["q", "r"]
    assert untrusted_in([QUESTION], known=["q", "r"]) == ["q"]
    assert untrusted_in([], known=["q", "r"]) == []


def test_a_summary_of_it_is_no_better() -> None:
    assert untrusted_in([QUESTION], known=["q", "r", "s"], is_summarised=True) == [SUMMARISED, "q"]
    assert untrusted_in([QUESTION], known=[SUMMARISED], is_summarised=True) == [SUMMARISED]
    assert untrusted_in([QUESTION], known=[], is_summarised=True) == []
    assert untrusted_in([QUESTION], known=[SUMMARISED, "q"]) == ["q"]
