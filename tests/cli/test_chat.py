"""A chat at a terminal: Ctrl-C, and questions about tools."""

from __future__ import annotations

import asyncio
import builtins
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from agentgraph import AgentGraph, promising, tool
from agentgraph.cli import main
from agentgraph.testing import ScriptedChatModel

PAYS = AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": 500}, "id": "c1"}])
CTRL_C = KeyboardInterrupt()

Say = Callable[..., str]


class Stopped(ScriptedChatModel):
    """Answers as scripted, but to `Tell.` only two words, and then somebody presses Ctrl-C."""

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        async for number, piece in _numbered(super()._astream(*args, **kwargs)):
            yield piece
            if number == 1 and self.calls[-1]["messages"][-1].text.endswith("Tell."):
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()


async def _numbered(pieces: Any) -> Any:
    number = 0
    async for piece in pieces:
        yield number, piece
        number += 1


@pytest.fixture
def paid() -> list[int]:
    return []


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], paid: list[int]) -> Say:
    """Sit at the terminal: type `lines`, and return what was shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTGRAPH_EMBEDDING_MODEL", "hash/64")
    monkeypatch.setenv("AGENTGRAPH_ENABLE_MEMORY", "false")
    monkeypatch.setenv("COLUMNS", "120")

    @tool
    def pay(amount: int) -> str:
        """Pay an amount."""
        paid.append(amount)
        return f"paid {amount}"

    def say_all(lines: Iterable[str | BaseException], *, script: Any, is_piped: bool = False) -> str:
        typed = iter(lines)
        model = Stopped(script=script)

        def opened(settings: Any, **options: Any) -> AgentGraph:
            tools = [promising(pay, needs_approval=True)]
            return AgentGraph(settings, chat_model=model, **(options | {"tools": tools}))

        def read(prompt: str = "") -> str:
            line = next(typed, None)
            if line is None:
                raise EOFError
            if isinstance(line, BaseException):
                raise line
            return line

        monkeypatch.setattr("agentgraph.cli.chat.AgentGraph", opened)
        monkeypatch.setattr(builtins, "input", read)
        if is_piped:
            monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in typed)))
        else:
            monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        capsys.readouterr()
        assert main(["chat", "--tenant", "acme", "--thread", "trip"]) == 0
        assert next(typed, None) is None, "the chat ended early"
        assert model.unused == 0
        return capsys.readouterr().out

    return say_all


def shown(capsys: pytest.CaptureFixture[str], command: str) -> Any:
    capsys.readouterr()
    assert main(["threads", command, "--tenant", "acme", "--thread", "trip", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_ctrl_c_ends_the_answer_and_the_chat_goes_on(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    out = say(["Tell.", "Go on."], script=["Once upon a time.", "There was a cat."])
    assert "agent   Once upon\n" in out
    assert "cancelled; what was said so far stays" in out
    assert "agent   There was a cat." in out
    assert signal.getsignal(signal.SIGINT) is before
    told = shown(capsys, "show")["messages"]
    assert [(message["text"], message.get("is_cancelled")) for message in told] == [
        ("Tell.", None),
        ("Once upon", True),
        ("Go on.", None),
        ("There was a cat.", False),
    ]
    assert [run["status"] for run in shown(capsys, "runs")["runs"]] == ["finished", "cancelled"]


def test_a_second_ctrl_c_leaves(say: Say) -> None:
    assert "again leaves" not in say(["Tell.", CTRL_C], script=["Once upon a time."])


def test_ctrl_c_at_the_prompt_says_how_to_leave(say: Say) -> None:
    out = say([CTRL_C, "Hello.", CTRL_C, CTRL_C], script=["Hello to you."])
    assert out.count("Ctrl-C again leaves") == 2
    assert "Hello to you." in out


def test_a_tool_runs_once_a_person_allows_it(say: Say, paid: list[int]) -> None:
    out = say(["Pay.", "perhaps", "y"], script=[PAYS, "It is paid."])
    assert "asks    pay(amount=500)" in out
    assert "agent   It is paid." in out
    assert paid == [500]


def test_a_refusal_and_its_reason_reach_the_model(say: Say, paid: list[int]) -> None:
    def script(messages: Any, tools: Any) -> Any:
        return f"I read: {messages[-1].text}" if messages[-1].type == "tool" else PAYS

    assert "too much" in say(["Pay.", "n too much"], script=script)
    assert paid == []


def test_arguments_are_edited(say: Say, paid: list[int]) -> None:
    out = say(["Pay.", "edit", "{5", "edit", "[5]", "edit", "", "edit", '{"amount": 5}'], script=[PAYS, "Done."])
    assert "no JSON" in out
    assert "a JSON object" in out
    assert paid == [5]


def test_a_question_left_open_is_put_again(say: Say, paid: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert "not answered" in say(["Pay.", CTRL_C], script=[PAYS])
    assert shown(capsys, "show")["interrupts"][0]["value"]["calls"][0]["arguments"] == {"amount": 500}
    out = say(["y"], script=["It is paid."])
    assert "asks    pay(amount=500)" in out
    assert paid == [500]


def test_a_pipe_answers_with_its_next_line(say: Say, paid: list[int]) -> None:
    out = say(["Pay.", "y"], script=[PAYS, "It is paid."], is_piped=True)
    assert "or edit: y" in out
    assert paid == [500]
    assert "not answered" in say(["Pay."], script=[PAYS], is_piped=True)


def test_on_busy_is_one_of_four(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--on-busy", "shout"]) == 2
    assert "'shout'" in capsys.readouterr().err
