"""Answers of people are read strictly, and before anything is resumed."""

import json
from typing import Any

import pytest

from agentgraph.errors import InvalidInputError
from agentgraph.tools.approval import (
    Approval,
    ApprovalRequest,
    AskedCall,
    Outcome,
    OutcomeRequest,
    asked,
    read_decisions,
    read_outcomes,
    resume_value,
)
from agentgraph.tools.calls import ServerCall

CALLS = (
    AskedCall(id="c1", name="pay", arguments={"amount": 5}),
    AskedCall(id="c2", name="pay", arguments={"amount": 9}),
)
REQUEST = ApprovalRequest(calls=CALLS)
YES, NO = Approval(decision="approve"), Approval(decision="reject", message="Too much.")


def test_one_decision_goes_for_all_calls() -> None:
    assert read_decisions(REQUEST, {"decision": "approve"}) == {"c1": YES, "c2": YES}
    assert read_decisions(REQUEST, YES) == {"c1": YES, "c2": YES}


def test_each_call_may_have_its_own() -> None:
    said = {"c1": {"decision": "approve"}, "c2": {"decision": "reject", "message": "Too much."}}
    assert read_decisions(REQUEST, said) == {"c1": YES, "c2": NO}


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        True,
        "approve",
        [],
        {},
        {"decision": "maybe"},
        {"decision": "approve", "arguments": {}},
        {"decision": "edit"},
        {"decision": "approve", "why": "so"},
        {"c1": {"decision": "approve"}},
        {"c1": {"decision": "approve"}, "c3": {"decision": "approve"}},
        {"c1": {"decision": "approve"}, "c2": "approve"},
        {"c1": {"decision": "approve"}, "c2": {"decision": "approve"}, "c3": {"decision": "approve"}},
    ],
)
def test_an_answer_that_does_not_fit_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        resume_value(REQUEST.model_dump(), wrong)
    assert refused.value.param == "resume"


def test_what_a_run_is_resumed_with_is_json_and_reads_the_same() -> None:
    value = resume_value(REQUEST.model_dump(), {"c1": YES, "c2": NO})
    assert read_decisions(REQUEST, json.loads(json.dumps(value))) == {"c1": YES, "c2": NO}


def test_ids_that_look_like_langgraphs_own_stay_ids_of_calls() -> None:
    call_id = "0123456789abcdef" * 2
    request = ApprovalRequest(calls=(AskedCall(id=call_id, name="pay", arguments={}),))
    assert set(resume_value(request.model_dump(), {call_id: YES})) == {"by_call"}


def test_outcomes_are_read_alike() -> None:
    request = OutcomeRequest(calls=CALLS)
    done = Outcome(outcome="done", output="Receipt 7")
    value = resume_value(request.model_dump(), {"c1": {"outcome": "not_done"}, "c2": done})
    assert read_outcomes(request, value) == {"c1": Outcome(outcome="not_done"), "c2": done}
    with pytest.raises(InvalidInputError):
        resume_value(request.model_dump(), {"decision": "approve"})


def test_another_programs_question_is_not_ours() -> None:
    with pytest.raises(InvalidInputError, match="'poll'"):
        resume_value({"kind": "poll"}, {"decision": "approve"})


def test_calls_without_an_id_of_their_own_are_asked_for_by_place() -> None:
    calls = [
        ServerCall(position=i, call_id=call_id, name="pay", arguments={})
        for i, call_id in enumerate(["same", "same", "", "own"])
    ]
    assert [call.id for call in asked(calls)] == ["#0", "#1", "#2", "own"]
