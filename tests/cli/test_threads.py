"""`agentgraph threads …`, on a directory of its own."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage

from agentgraph import AgentGraph, promising, tool
from agentgraph._sync import run_sync
from agentgraph.cli import main
from agentgraph.events import TextDelta
from agentgraph.testing import ScriptedChatModel

STORAGE = ("--storage", "tenants")
TRIP = ("--tenant", "acme", "--thread", "trip", *STORAGE)
PAYS = AIMessage("Let me pay.", tool_calls=[{"name": "pay", "args": {"amount": 500}, "id": "c1"}])


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


class Endless(ScriptedChatModel):
    """Says one word and no more."""

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        async for piece in super()._astream(*args, **kwargs):
            yield piece
            await asyncio.Event().wait()


def opened(script: Any, *, kind: type[ScriptedChatModel] = ScriptedChatModel, **options: Any) -> AgentGraph:
    return AgentGraph(chat_model=kind(script=script), enable_memory=False, storage_dir="tenants", **options)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTGRAPH_EMBEDDING_MODEL", "hash/64")
    monkeypatch.setenv("AGENTGRAPH_ENABLE_MEMORY", "false")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def trip() -> None:
    """A thread with a branch, and a session."""

    async def talk() -> None:
        async with opened(["To Lisbon.", "To Porto.", "To Faro.", "Hello."]) as app:
            where: dict[str, Any] = {"tenant": "acme", "thread": "trip", "user": "ann"}
            await app.run("Book Lisbon.", **where)
            await app.run("Book Porto.", **where)
            await app.run([("user", "Book Lisbon."), ("assistant", "To Lisbon."), ("user", "Book Faro.")], **where)
            await app.run("Good day.", tenant="acme:s1")

    run_sync(talk())


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command; return its exit code, stdout and stderr."""

    def run_one(command: str, *arguments: str, where: tuple[str, ...] = TRIP) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["threads", command, *arguments, *where])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_one


def as_json(run: Any, command: str, *arguments: str, where: tuple[str, ...] = TRIP) -> Any:
    code, out, err = run(command, *arguments, "--json", where=where)
    assert code == 0, err
    return json.loads(out)


@pytest.mark.usefixtures("trip")
def test_threads_and_sessions_are_listed_by_the_names_commands_take(run: Any) -> None:
    _, out, _ = run("list", where=("--tenant", "acme", *STORAGE))
    lines = [line.split()[:2] for line in out.splitlines()]
    assert sorted(lines) == [["acme:s1", "1"], ["thread", "turns"], ["trip", "3"]]
    (mine,) = as_json(run, "list", "--user", "ann", where=("--tenant", "acme", *STORAGE))["threads"]
    assert (mine["thread"], mine["turns"], mine["is_session"]) == ("trip", 3, False)
    _, out, _ = run("show", where=("--tenant", "acme:s1", *STORAGE))
    assert "agent   Hello." in out


@pytest.mark.usefixtures("trip")
def test_branches_are_drawn_shown_switched_and_forked(run: Any) -> None:
    _, out, _ = run("checkpoints")
    drawn = [line.rstrip() for line in out.splitlines() if "○" in line or "●" in line]
    assert drawn == ["├── ○ Book Lisbon.", "│   └── ○ Book Porto.", "└── ● Book Faro.  head"]
    tree = as_json(run, "checkpoints")["checkpoints"]
    first, porto, faro = tree
    assert [each["text"] for each in tree] == ["Book Lisbon.", "Book Porto.", "Book Faro."]
    assert porto["follows"] == faro["follows"] == first["checkpoint_id"]
    assert len(as_json(run, "checkpoints", "--steps")["checkpoints"]) > 3
    assert "--limit" in run("checkpoints", "--limit", "1")[1]

    ends = as_json(run, "branches")["branches"]
    assert [(end["text"], end["is_current"]) for end in ends] == [("Book Faro.", True), ("Book Porto.", False)]
    assert "● Book Faro.  head" in run("branches")[1]
    _, out, _ = run("show", "--checkpoint", porto["checkpoint_id"])
    assert [line.rstrip() for line in out.splitlines()] == [
        "you     Book Lisbon.",
        "agent   To Lisbon.",
        "you     Book Porto.",
        "agent   To Porto.",
    ]
    assert as_json(run, "fork", "--to", "other", "--checkpoint", porto["checkpoint_id"]) == {"forked": "other"}
    assert "stands after “Book Porto.” again" in run("switch", porto["checkpoint_id"])[1]
    other = ("--tenant", "acme", "--thread", "other", *STORAGE)
    told = [[m["text"] for m in as_json(run, "show", where=where)["messages"]] for where in (TRIP, other)]
    assert told[0] == told[1] == ["Book Lisbon.", "To Lisbon.", "Book Porto.", "To Porto."]
    code, _, err = run("fork", "--to", "other")
    assert (code, "a thread 'other' already" in err) == (1, True)


def test_calls_results_and_questions_are_shown(run: Any) -> None:
    async def talk() -> None:
        async with opened([PAYS, "Paid. \x1b[31m", PAYS], tools=[promising(pay, needs_approval=True)]) as app:
            where = {"tenant": "acme", "thread": "trip"}
            await app.run("Pay.", **where)
            await app.resume({"decision": "approve"}, **where)
            await app.run("Pay again.", **where)

    run_sync(talk())
    code, out, _ = run("show")
    assert code == 0
    assert "\x1b" not in out
    for line in ("calls   pay(amount=500)", "        → paid 500", "waits   for an answer about pay(amount=500)"):
        assert line in out
    assert as_json(run, "show")["messages"][1]["tool_calls"][0]["arguments"] == {"amount": 500}
    assert "waits for an answer" in run("checkpoints")[1]
    assert [each["status"] for each in as_json(run, "runs")["runs"]] == ["waiting", "finished", "finished"]


def test_runs_say_how_they_ended_and_why(run: Any) -> None:
    async def talk() -> None:
        async with opened(["Fine.", ValueError("secret")]) as app:
            await app.run("One.", tenant="acme", thread="trip")
            with pytest.raises(ModelError):
                await app.run("Two.", tenant="acme", thread="trip")

    run_sync(talk())
    _, out, _ = run("runs")
    failed, finished = as_json(run, "runs")["runs"]
    assert (failed["status"], failed["attempts"], finished["status"]) == ("failed", 1, "finished")
    assert failed["run_id"] in out
    assert "model_failed: the run failed: ModelAPIError" in " ".join(out.split())
    assert "secret" not in out
    assert as_json(run, "cancel")["runs"] == []


async def test_a_run_elsewhere_is_cancelled(run: Any) -> None:
    async with opened(["Once upon a time."], kind=Endless) as app:
        events = app.stream("Tell.", tenant="acme", thread="trip")
        async for event in events:
            if isinstance(event, TextDelta):
                break
        _, out, _ = await asyncio.to_thread(run, "cancel")
        assert "cancelled" in out
        await events.aclose()
    _, out, _ = await asyncio.to_thread(run, "show")
    assert "agent   Once (cancelled)" in out


@pytest.mark.usefixtures("trip")
def test_deleting_says_what_goes_and_asks(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    code, out, _ = run("delete")
    assert code == 130
    assert "would delete trip: 4 messages, 3 runs" in " ".join(out.split())
    assert len(as_json(run, "show")["messages"]) == 4
    assert as_json(run, "delete", "--yes") == {"deleted": "trip"}
    code, _, err = run("show")
    assert (code, "acme has no thread 'trip'" in err) == (1, True)
    assert as_json(run, "delete", "--yes", where=("--tenant", "acme:s1", *STORAGE)) == {"deleted": "acme:s1"}
    assert run("delete", "--json")[0] == 2
    assert run("delete", "--yes", where=("--thread", "trip", *STORAGE))[0] == 2


@pytest.mark.usefixtures("trip")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "--tenant", "acme"), "name a thread, or a session as tenant:session"),
        (("show", "--tenant", "a/b", "--thread", "x"), "tenant 'a/b' is not allowed"),
        (("runs", "--tenant", "nobody", "--thread", "x"), "nobody has no thread 'x'"),
        (("checkpoints", "--tenant", "acme:s9"), "acme has no session 'acme:s9'"),
        (("show", "--tenant", "acme", "--thread", "trip", "--checkpoint", "c"), "no checkpoint 'c'"),
        (("switch", "c", "--tenant", "acme", "--thread", "trip"), "no checkpoint 'c'"),
        (("cancel", "run-x", "--tenant", "acme"), "no run 'run-x'"),
    ],
)
def test_what_goes_wrong_is_said_and_begins_no_files(run: Any, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = run(*arguments, where=STORAGE)
    assert code == 1
    assert said in " ".join(err.split())
    assert sorted(path.name for path in Path("tenants").iterdir()) == [".processes", "acme"]
