"""What a person is asked about calls of tools, and how the answers are read.

A question is an interrupt's value and an answer what the run is resumed with, both JSON. An answer is one for all calls
or one for each, by the ids the question gives them. Check it with `resume_value` before a run is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from agentgraph.errors import InvalidInputError
from agentgraph.tools.calls import ServerCall, spelt_apart

__all__ = [
    "Approval",
    "ApprovalRequest",
    "AskedCall",
    "Outcome",
    "OutcomeRequest",
    "Reason",
    "asked",
    "read_decisions",
    "read_outcomes",
    "resume_value",
]


Reason: TypeAlias = Literal["needs_approval", "untrusted_text"]
"""Why a person is asked for leave."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AskedCall(_Value):
    """A call a person is asked about.

    Attributes:
        id: What to answer by.
        name: The tool's.
        arguments: As the model wrote them.
        reason: Why leave is asked for: the tool always needs it, or strangers' text may have brought the call about.
            `None` where it is not leave that is asked for.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    reason: Reason | None = None


class ApprovalRequest(_Value):
    """May these calls be made? Nothing of their message has run yet."""

    kind: Literal["tool_approval"] = "tool_approval"
    calls: tuple[AskedCall, ...]


class Approval(_Value):
    """A person's leave.

    Attributes:
        decision: Run it, do not, or run it with other arguments.
        arguments: All of the arguments to run it with, for `edit` alone.
        message: What the model is to know of a rejection.
    """

    decision: Literal["approve", "reject", "edit"]
    arguments: dict[str, Any] | None = None
    message: str | None = None

    @model_validator(mode="after")
    def _edits_with_arguments(self) -> Approval:
        if (self.decision == "edit") != (self.arguments is not None):
            message = "'edit' needs arguments, and nothing else takes them"
            raise ValueError(message)
        return self


class OutcomeRequest(_Value):
    """Did these calls happen? The process stopped while they ran, and nobody here knows."""

    kind: Literal["tool_outcome"] = "tool_outcome"
    calls: tuple[AskedCall, ...]


class Outcome(_Value):
    """What a person found out.

    Attributes:
        outcome: It happened; it did not and is now run; or nobody can tell.
        output: What came of it, for `done`.
    """

    outcome: Literal["done", "not_done", "unknown"]
    output: str | None = None


Answer = TypeVar("Answer", Approval, Outcome)
# LangGraph takes a mapping whose keys all look like its own interrupts' ids for one of those; a call's id may.
_BY_CALL: Final = "by_call"


def asked(calls: Sequence[ServerCall], reasons: Mapping[int, Reason] = MappingProxyType({})) -> tuple[AskedCall, ...]:
    """Put calls as a person is shown them; `reasons` are by position."""
    return tuple(
        AskedCall(
            id=name,
            name=call.name,
            arguments=dict(call.arguments),
            reason=reasons.get(call.position),
        )
        for name, call in spelt_apart(calls).items()
    )


def read_decisions(request: ApprovalRequest, value: object) -> dict[str, Approval]:
    """Return the decision on each call of `request`, by its id.

    Raises:
        InvalidInputError: `value` is neither one decision for all nor one for each.
    """
    return _read(Approval, request.calls, value)


def read_outcomes(request: OutcomeRequest, value: object) -> dict[str, Outcome]:
    """Return what is said of each call of `request`, by its id.

    Raises:
        InvalidInputError: `value` is neither one answer for all nor one for each.
    """
    return _read(Outcome, request.calls, value)


def resume_value(question: Mapping[str, Any], value: object) -> dict[str, Any]:
    """Return `value` as what to resume a run with, once it is known to answer `question`.

    Args:
        question: The value of the interrupt the run waits at.
        value: The answer: one for all calls or a mapping of one for each; models of this file or JSON.

    Raises:
        InvalidInputError: It is no question of ours, or the answer does not fit it.
    """
    answers: Mapping[str, BaseModel]
    match question.get("kind"):
        case "tool_approval":
            answers = read_decisions(ApprovalRequest.model_validate(question), value)
        case "tool_outcome":
            answers = read_outcomes(OutcomeRequest.model_validate(question), value)
        case kind:
            raise InvalidInputError(f"a question of kind {kind!r} is not about tools", param="resume")
    return {_BY_CALL: {name: answer.model_dump(mode="json", exclude_none=True) for name, answer in answers.items()}}


def _read(kind: type[Answer], calls: Sequence[AskedCall], value: object) -> dict[str, Answer]:
    names = [call.id for call in calls]
    if isinstance(value, Mapping) and set(value) == {_BY_CALL} and isinstance(value[_BY_CALL], Mapping):
        value = value[_BY_CALL]
    field = next(iter(kind.model_fields))
    is_one = isinstance(value, Mapping) and isinstance(value.get(field), str)
    if is_one or isinstance(value, BaseModel):
        return dict.fromkeys(names, _valid(kind, value))
    if not isinstance(value, Mapping) or set(value) != set(names):
        raise InvalidInputError(
            f"answer for each of the calls {', '.join(map(repr, names))}, or once for all of them", param="resume"
        )
    return {name: _valid(kind, value[name]) for name in names}


def _valid(kind: type[Answer], value: object) -> Answer:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}" for e in error.errors(include_url=False))
        raise InvalidInputError(f"this is no {kind.__name__.lower()}: {faults.strip()}", param="resume") from error
