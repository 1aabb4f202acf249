"""Put to a person what a run waits for: leave to call a tool, or what became of a call nobody saw end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from agentgraph.cli.render import LABEL_WIDTH, call_text
from agentgraph.tools.approval import Approval, AskedCall, Outcome

__all__ = ["ask_about"]

_QUESTIONS: Final = {
    "tool_approval": "allow it? y, n, n and why, or edit: ",
    "tool_outcome": "did it take effect? y, n or ?: ",
}

Read = Callable[[str], str | None]
"""Shows a prompt and returns a line, or `None` where there will be none."""


def ask_about(question: Mapping[str, Any], *, read: Read, console: Console) -> dict[str, Any] | None:
    """Return what to resume a run with, or `None` where nobody answered.

    Args:
        question: An interrupt's value: an `ApprovalRequest` or an `OutcomeRequest`, as JSON.
        read: Reads an answer.
        console: Where the calls are shown.
    """
    kind = question.get("kind")
    if kind not in _QUESTIONS:
        console.print(Text(f"the thread waits for an answer of a kind that a chat cannot give: {kind!r}", style="red"))
        return None
    answers: dict[str, Any] = {}
    for record in question["calls"]:
        call = AskedCall.model_validate(record)
        console.print(
            Text(f"{'asks':<{LABEL_WIDTH}}", style="yellow").append(call_text(call.name, call.arguments)),
            soft_wrap=True,
        )
        answer: Approval | Outcome | None = None
        while answer is None:
            line = read(_QUESTIONS[kind])
            if line is None:
                return None
            answer = _decision(line, call, read, console) if kind == "tool_approval" else _outcome(line)
        answers[call.id] = answer
    return answers


def _decision(line: str, call: AskedCall, read: Read, console: Console) -> Approval | None:
    word, _, why = line.partition(" ")
    match word.lower():
        case "y" | "yes":
            return Approval(decision="approve")
        case "n" | "no":
            return Approval(decision="reject", message=why.strip() or None)
        case "e" | "edit":
            return _edited(call, read, console)
        case _:
            return None


def _edited(call: AskedCall, read: Read, console: Console) -> Approval | None:
    """Read other arguments; nothing, or none that can be read, asks the first question again."""
    given = read(f"arguments instead of {json.dumps(call.arguments, ensure_ascii=False)}: ")
    if not given:
        return None
    try:
        arguments = json.loads(given)
    except ValueError as error:
        console.print(Text(f"no JSON: {error}", style="red"))
        return None
    if not isinstance(arguments, dict):
        console.print(Text('arguments are a JSON object such as {"amount": 5}', style="red"))
        return None
    return Approval(decision="edit", arguments=arguments)


def _outcome(line: str) -> Outcome | None:
    match line.lower():
        case "y" | "yes":
            return Outcome(outcome="done")
        case "n" | "no":
            return Outcome(outcome="not_done")
        case "?":
            return Outcome(outcome="unknown")
        case _:
            return None
