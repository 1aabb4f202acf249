"""Sessions end once: through restarts and kills, with several processes looking, whatever the clock is set to."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.seeds import scaled

pytestmark = pytest.mark.integration

# Opens an application, then obeys lines of JSON: {"run": session}, {"list": tenant}, {"memories": session} …
CHILD = """
import asyncio, json, os, sys, time

options = json.loads(sys.argv[1])
real = time.time
time.time = lambda: real() + options["wall_shift_s"]

from agentgraph import AgentGraph
from agentgraph.runs.session_keeper import SessionKeeper
from agentgraph.testing import HashEmbeddings, ScriptedChatModel

def on_session_end(tenant_id, data):
    line = json.dumps({"pid": os.getpid(), **data}) + "\\n"
    descriptor = os.open(options["calls"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    if options["dies"] == "in the callback":
        os.kill(os.getpid(), 9)
    time.sleep(options["callback_s"])

if options["dies"] == "after the callback":
    async def dying(self, scope):
        os.kill(os.getpid(), 9)
    SessionKeeper._forget = dying

async def main():
    loop = asyncio.get_running_loop()
    app = AgentGraph(
        chat_model=ScriptedChatModel(script=lambda messages, tools: "Very well."),
        embeddings=HashEmbeddings(),
        storage_dir=options["storage_dir"],
        session_ttl_hours=options["ttl_s"] / 3600,
        on_session_end=on_session_end,
    )
    async with app:
        print("open", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            [(command, argument)] = json.loads(line).items()
            said = None
            if command == "run":
                await app.run(f"The parrot of {argument} is called Archimedes.", tenant=f"acme:{argument}")
                await app.settled()
            elif command == "list":
                said = [[info.session, info.expires_in_s] for info in await app.sessions.list(argument)]
            elif command == "memories":
                said = [memory.text for memory in await app.memories.list(tenant=f"acme:{argument}")]
            elif command == "history":
                said = len(await app.history(tenant=f"acme:{argument}"))
            elif command == "step":
                options["wall_shift_s"] += argument
            print(json.dumps(said), flush=True)

asyncio.run(main())
"""


class Child:
    """A process with an application on a directory."""

    def __init__(self, directory: Path, **options: Any) -> None:
        options = {
            "storage_dir": str(directory / "tenants"),
            "calls": str(directory / "calls"),
            "ttl_s": 3600.0,
            "wall_shift_s": 0.0,
            "callback_s": 0.0,
            "dies": "never",
        } | options
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def opened(self) -> "Child":
        assert self._line() == "open"
        return self

    def say(self, command: str, argument: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({command: argument}) + "\n")
        self.process.stdin.flush()
        return json.loads(self._line())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(30) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


OpenChild = Callable[..., Child]


@pytest.fixture
def open_child(tmp_path: Path) -> Iterator[OpenChild]:
    children: list[Child] = []

    def opened(**options: Any) -> Child:
        children.append(Child(tmp_path, **options))
        return children[-1].opened()

    yield opened
    for child in children:
        child.kill()
        for stream in (child.process.stdin, child.process.stdout):
            if stream is not None and not stream.closed:
                stream.close()


def calls(directory: Path) -> list[dict[str, Any]]:
    path = directory / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def test_a_session_goes_on_through_a_restart(open_child: OpenChild, tmp_path: Path) -> None:
    first = open_child()
    first.say("run", "one")
    first.kill()
    second = open_child()
    ((session, expires_in_s),) = second.say("list", "acme")
    assert session == "one"
    assert 3_000 < expires_in_s < 3_600
    assert second.say("history", "one") == 2
    assert second.say("memories", "one") == ["The parrot of one is called Archimedes."]
    assert calls(tmp_path) == []


def test_a_session_that_ran_out_while_nobody_was_there_ends_at_the_next_start(
    open_child: OpenChild, tmp_path: Path
) -> None:
    first = open_child()
    first.say("run", "one")
    first.kill()
    time.sleep(1.1)
    second = open_child(ttl_s=1.0)
    wait_for(lambda: len(calls(tmp_path)) == 1)
    wait_for(lambda: second.say("list", "acme") == [])
    (data,) = calls(tmp_path)
    assert [message["role"] for message in data["messages"]] == ["user", "assistant"]
    assert second.say("history", "one") == 0
    assert second.say("memories", "one") == []


def test_of_two_processes_one_ends_each_session(open_child: OpenChild, tmp_path: Path) -> None:
    count = scaled(12)
    processes = [open_child(ttl_s=2.0, callback_s=0.05) for _ in range(2)]
    names = [f"s{number}" for number in range(count)]
    for number, name in enumerate(names):
        processes[number % 2].say("run", name)
    wait_for(lambda: all(process.say("list", "acme") == [] for process in processes), timeout_s=40)
    for process in processes:
        process.close()
    assert sorted(data["session_id"] for data in calls(tmp_path)) == sorted(names)


def test_a_run_waits_for_the_end_another_process_is_about(open_child: OpenChild, tmp_path: Path) -> None:
    second = open_child()
    first = open_child(ttl_s=0.5, callback_s=2.0)
    first.say("run", "one")
    wait_for(lambda: len(calls(tmp_path)) == 1)
    begun = time.monotonic()
    second.say("run", "one")
    assert time.monotonic() - begun > 0.5
    keys = [data["idempotency_key"] for data in calls(tmp_path)]
    assert len(set(keys)) == len(keys)
    assert [data["message_count"] for data in calls(tmp_path)] == [2] * len(keys)


def test_a_kill_in_the_callback_has_it_called_again_under_the_same_key(open_child: OpenChild, tmp_path: Path) -> None:
    first = open_child(ttl_s=0.5, dies="in the callback")
    first.say("run", "one")
    first.process.wait(15)
    assert len(calls(tmp_path)) == 1
    second = open_child(ttl_s=0.5)
    wait_for(lambda: len(calls(tmp_path)) == 2)
    wait_for(lambda: second.say("list", "acme") == [])
    second.close()
    once, again = calls(tmp_path)
    assert {**once, "pid": 0} == {**again, "pid": 0}
    third = open_child(ttl_s=0.5)
    time.sleep(1)
    third.close()
    assert len(calls(tmp_path)) == 2


def test_a_living_process_takes_over_from_one_killed_in_the_callback(open_child: OpenChild, tmp_path: Path) -> None:
    second = open_child(ttl_s=2.0)
    first = open_child(ttl_s=0.5, dies="in the callback")
    first.say("run", "one")
    first.process.wait(15)
    wait_for(lambda: len(calls(tmp_path)) == 2)
    wait_for(lambda: second.say("list", "acme") == [])


def test_a_kill_after_the_callback_only_has_the_rest_done(open_child: OpenChild, tmp_path: Path) -> None:
    first = open_child(ttl_s=1.0, dies="after the callback")
    first.say("run", "one")
    first.process.wait(15)
    second = open_child(ttl_s=1.0)
    wait_for(lambda: second.say("list", "acme") == [])
    assert second.say("memories", "one") == []
    assert len(calls(tmp_path)) == 1


@pytest.mark.parametrize("step_s", [-3_600.0, 86_400.0], ids=["an hour back", "a day forward"])
def test_setting_the_clock_ends_no_session_early(open_child: OpenChild, tmp_path: Path, step_s: float) -> None:
    first = open_child()
    first.say("run", "one")
    first.say("step", step_s)
    first.say("run", "one")  # the same session
    assert first.say("history", "one") == 4
    second = open_child(wall_shift_s=step_s)
    for process in (first, second):
        ((_, expires_in_s),) = process.say("list", "acme")
        assert 3_000 < expires_in_s < 3_600
    assert calls(tmp_path) == []


@pytest.mark.parametrize("step_s", [-3_600.0, 86_400.0], ids=["an hour back", "a day forward"])
def test_setting_the_clock_ends_sessions_once_and_in_time(open_child: OpenChild, tmp_path: Path, step_s: float) -> None:
    processes = [open_child(ttl_s=2.0), open_child(ttl_s=2.0, wall_shift_s=step_s)]
    processes[0].say("run", "one")
    processes[0].say("step", step_s)
    processes[1].say("step", -2 * step_s)
    wait_for(lambda: all(process.say("list", "acme") == [] for process in processes))
    processes[1].say("step", 3 * step_s)
    time.sleep(0.5)
    for process in processes:
        process.close()
    assert len(calls(tmp_path)) == 1
