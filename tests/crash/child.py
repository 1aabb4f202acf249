"""The process that the crash tests kill, pause and lie to: an application, and a line of JSON for each thing it does.

`python -m tests.crash.child SOCKET` imports everything once and forks a fresh process for every connection to its
socket, for an import takes two seconds and a fork none. Faults, and guards that are switched off, are put in place
here, from outside: the product has no hook for them.
"""

import asyncio
import json
import os
import random
import re
import select
import signal
import socket
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.graph import END, START, StateGraph

import agentgraph.graph.prompt
import agentgraph.stores.checkpoints
import agentgraph.threads.journal
import agentgraph.tools.ledger
from agentgraph import AgentGraph
from agentgraph.events import RunFailed, RunFinished, RunStarted
from agentgraph.runs.thread_access import ThreadAccess
from agentgraph.scope import Scope
from agentgraph.stores.checkpoints import TenantCheckpoints
from agentgraph.stores.threads import lease, runs
from agentgraph.stores.threads.database import ThreadDatabase
from agentgraph.testing import ScriptedChatModel
from agentgraph.threads.journal import RunJournal
from agentgraph.tools.ledger import Claims, ToolLedger

TENANT = "acme"
QUESTION = re.compile(r"q[\w.]+(?: [@\w]+)*")
TOOLS = ("put", "log", "graph")

Passing = Callable[[str, str], Any]


# The model


def refuse_what_vendors_refuse(messages: Sequence[BaseMessage]) -> None:
    """Every call is answered once, right after its message, and nothing is answered that was not called."""
    open_calls: list[str | None] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls:
                raise ValueError("a tool's result without its call")
            open_calls.remove(message.tool_call_id)
            continue
        if open_calls:
            raise ValueError("a tool call without a result")
        open_calls = [call["id"] for call in message.tool_calls] if isinstance(message, AIMessage) else []
    if open_calls:
        raise ValueError("a tool call without a result")


def question_in(messages: Sequence[BaseMessage]) -> tuple[str, list[BaseMessage]]:
    """Return what was asked last, and what came of it since."""
    at = max((i for i, message in enumerate(messages) if isinstance(message, HumanMessage)), default=0)
    return str(messages[at].text).rpartition("\n\n")[2], list(messages[at + 1 :])


def answer(messages: Sequence[BaseMessage], tools: Sequence[str]) -> str | AIMessage:
    """Call the tools a question names, all at once, then say the question again."""
    refuse_what_vendors_refuse(messages)
    question, since = question_in(messages)
    if not QUESTION.fullmatch(question):
        return "What was said before."  # asked for a summary
    number, *words = question.split()
    wanted = [word for word in words if word in TOOLS]
    if not wanted or any(isinstance(message, ToolMessage) for message in since):
        return f"re: {question}"
    calls = [
        # Models count their calls anew in every answer.
        {"name": name, "args": {"what": f"{number}#{i}"}, "id": f"call_{i}", "type": "tool_call"}
        for i, name in enumerate(wanted)
    ]
    return AIMessage("", tool_calls=calls)


class EchoModel(ScriptedChatModel):
    """Answers as `answer` does, and says where it is."""

    passing: Any = None

    async def _agenerate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any):
        self.calls.clear()
        await self.passing("model", question_in(messages)[0])
        generated = await super()._agenerate(messages, stop, run_manager, **kwargs)
        await self.passing("answered", question_in(messages)[0])
        return generated

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        self.calls.clear()
        question = question_in(messages)[0]
        await self.passing("model", question)
        said = 0
        async for piece in super()._astream(messages, stop, run_manager, **kwargs):
            yield piece
            said += bool(piece.text)
            if said == 1 and piece.text:
                await self.passing("midway", question)
        await self.passing("answered", question)


# The tools


def effects_of(directory: Path) -> Path:
    return directory / "effects.db"


def tools_for(directory: Path, passing: Passing) -> list[BaseTool]:
    """Return tools that act on a world of their own: a file in which every effect is a row."""
    path = effects_of(directory)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "PRAGMA journal_mode=WAL;"
            "CREATE TABLE IF NOT EXISTS keyed (key TEXT PRIMARY KEY, what TEXT NOT NULL);"
            "CREATE TABLE IF NOT EXISTS plain (what TEXT NOT NULL);"
        )

    def commit(statement: str, *parameters: str) -> None:
        with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
            connection.execute("PRAGMA synchronous=OFF")  # processes die here, not machines
            connection.execute(statement, parameters)

    async def act(what: str, statement: str, *parameters: str) -> None:
        await passing("tool", what)
        commit(statement, *parameters)
        await passing("effect", what)

    @tool
    async def put(what: str, idempotency_key: str) -> str:
        """Keep something, once for each key."""
        await act(what, "INSERT INTO keyed VALUES (?, ?) ON CONFLICT (key) DO NOTHING", idempotency_key, what)
        return f"put {what}"

    @tool
    async def log(what: str) -> str:
        """Keep something, as often as told."""
        await act(what, "INSERT INTO plain VALUES (?)", what)
        return f"logged {what}"

    class Parts(TypedDict, total=False):
        what: str
        key: str

    def step(part: str) -> Any:
        async def kept(state: Parts) -> Parts:
            await act(
                f"{state['what']}/{part}",
                "INSERT INTO keyed VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
                f"{state['key']}/{part}",
                f"{state['what']}/{part}",
            )
            return {}

        return kept

    parts = StateGraph(Parts)
    parts.add_node("first", step("first"))
    parts.add_node("second", step("second"))
    parts.add_edge(START, "first")
    parts.add_edge("first", "second")
    parts.add_edge("second", END)
    subgraph = parts.compile()

    @tool
    async def graph(what: str, idempotency_key: str) -> str:
        """Keep something in two parts, by a graph of its own."""
        await subgraph.ainvoke({"what": what, "key": idempotency_key})
        return f"put {what}"

    return [put, log, graph]


# Faults

FAIL_POINTS: dict[str, tuple[Any, str, str]] = {
    "before a run is accepted": (RunJournal, "accept", "before"),
    "while a run is accepted": (runs, "add", "after"),
    "after a run is accepted": (RunJournal, "accept", "after"),
    "before a waiting run begins": (RunJournal, "begin", "before"),
    "while a run begins": (runs, "start", "after"),
    "before a checkpoint is taken over": (TenantCheckpoints, "aput", "before"),
    "after a checkpoint is taken over": (TenantCheckpoints, "aput", "after"),
    "after a task's writes are taken over": (TenantCheckpoints, "aput_writes", "after"),
    "before a call is claimed": (ToolLedger, "claim", "before"),
    "while a call is claimed": (agentgraph.tools.ledger, "claim", "after"),
    "after a call is claimed": (ToolLedger, "claim", "after"),
    "before a call is settled": (ToolLedger, "settle", "before"),
    "while a call is settled": (agentgraph.tools.ledger, "settle", "after"),
    "after a call is settled": (ToolLedger, "settle", "after"),
    "before the end is noted": (RunJournal, "end", "before"),
    "while the end is noted": (runs, "end", "after"),
    "after the end is noted": (RunJournal, "end", "after"),
    "before a window is shortened": (ThreadAccess, "update", "before"),
    "while a window is shortened": (agentgraph.stores.checkpoints.archive, "file_archived", "after"),
    "after a window is shortened": (ThreadAccess, "update", "after"),
    "before a run is taken over": (RunJournal, "adopt", "before"),
    "after a run is taken over": (RunJournal, "adopt", "after"),
}
PASSED = ("model", "midway", "answered", "tool", "effect")


def die_at(name: str, countdown: int) -> None:
    """Have this process killed as it comes to a place for the n-th time."""
    owner, method, moment = FAIL_POINTS[name]
    original, left = getattr(owner, method), [countdown]

    def come_by(when: str) -> None:
        if when == moment:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    if asyncio.iscoroutinefunction(original):

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            come_by("before")
            result = await original(*args, **kwargs)
            come_by("after")
            return result

    else:

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            come_by("before")
            result = original(*args, **kwargs)
            come_by("after")
            return result

    setattr(owner, method, wrapped)


def without_lease() -> None:
    acquire = lease.acquire
    lease.acquire = lambda *args, **kwargs: acquire(*args, **{**kwargs, "is_alive": lambda process: False})


def without_fence() -> None:
    ThreadDatabase.check = lambda *args: None


def without_ledger() -> None:
    async def claim(*args: Any, **kwargs: Any) -> Claims:
        return Claims(known={})

    async def settle(*args: Any, **kwargs: Any) -> None:
        return None

    original = ToolLedger.claim

    async def flushed(self: ToolLedger, *args: Any, **kwargs: Any) -> Claims:
        await original(replace(self), "none", [])  # what stands before the effect is still committed before it
        return await claim()

    ToolLedger.claim, ToolLedger.settle = flushed, settle


def without_tombstone() -> None:
    lease.bury = lambda *args: None


def without_dedupe() -> None:
    RunJournal._repeated = lambda *args: None


def without_repair() -> None:
    agentgraph.graph.prompt.repaired = list


def without_head() -> None:
    agentgraph.stores.checkpoints._named = lambda saver, config: config


def without_acceptance() -> None:
    """Act first, and note the run with its end."""
    accept, end = RunJournal.accept, RunJournal.end
    rows: dict[str, Any] = {}

    async def unnoted(self: RunJournal, request: Any, run_id: str, **kwargs: Any) -> Any:
        accepted = await accept(self, request, run_id, **kwargs)

        def forget(saver: Any) -> None:
            rows[run_id] = saver.conn.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            saver.conn.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))

        await self._database.write(TENANT, forget)
        return accepted

    async def noted(self: RunJournal, row: Any, *args: Any, **kwargs: Any) -> None:
        def note(saver: Any) -> None:
            if (values := rows.pop(row.run_id, None)) is not None:
                saver.conn.execute(f"INSERT INTO runs VALUES ({', '.join('?' * len(values))})", values)

        await self._database.write(TENANT, note)
        await end(self, row, *args, **kwargs)

    RunJournal.accept, RunJournal.end = unnoted, noted


GUARDS: dict[str, Callable[[], None]] = {
    "lease": without_lease,
    "fence": without_fence,
    "ledger": without_ledger,
    "tombstone": without_tombstone,
    "dedupe": without_dedupe,
    "repair": without_repair,
    "head": without_head,
    "acceptance": without_acceptance,
}


class Clock:
    """The clock of this process, which can be set."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def install(self) -> None:
        real_ns, real = time.time_ns, time.time
        time.time_ns = lambda: real_ns() + int(self.offset_s * 1e9)
        time.time = lambda: real() + self.offset_s
        clock = self

        class Shifted(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.fromtimestamp(real() + clock.offset_s, tz)

        agentgraph.threads.journal.datetime = Shifted
        agentgraph.tools.ledger.datetime = Shifted


# The process


class Process:
    """Does what it is told, all at once, and says what came of it."""

    def __init__(self, writer: asyncio.StreamWriter, options: dict[str, Any]) -> None:
        self.writer = writer
        self.options = options
        self.gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.pace_s = options.get("pace_ms", 0) / 1000
        self.draw = random.Random(options.get("seed", 0))
        self.clock = Clock()
        self.late_writes = 0
        self.fail: dict[str, int] = {}

    def say(self, **what: Any) -> None:
        self.writer.write(json.dumps(what).encode() + b"\n")

    async def passing(self, place: str, text: str) -> None:
        """Take a moment, say where this is, and stay where the question wants it."""
        number = re.split(r"[ #]", text)[0]
        if place in self.fail:
            self.fail[place] -= 1
            if self.fail[place] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        if self.pace_s:
            await asyncio.sleep(self.draw.random() * self.pace_s)
        if f"{number}@{place}" in self.gates or f"@{place}" in text:
            self.say(at=place, question=number)
            if not self.options.get("gates_open"):
                await self.gates[f"{number}@{place}"].wait()

    def prepare(self) -> None:
        for guard in self.options.get("without", ()):
            GUARDS[guard]()
        for name, countdown in self.options.get("fail", {}).items():
            if name in PASSED:
                self.fail[name] = countdown
            else:
                die_at(name, countdown)
        self.clock.offset_s = self.options.get("clock_s", 0)
        if "clock_s" in self.options:
            self.clock.install()
        check = ThreadDatabase.check

        def counted(*args: Any) -> None:
            try:
                check(*args)
            except Exception:
                self.late_writes += 1
                raise

        ThreadDatabase.check = counted

    async def serve(self, reader: asyncio.StreamReader) -> None:
        self.say(pid=os.getpid())
        self.prepare()
        options = self.options
        directory = Path(options["directory"])
        directory.mkdir(parents=True, exist_ok=True)
        app = AgentGraph(
            chat_model=EchoModel(script=answer, passing=self.passing),
            tools=tools_for(directory, self.passing) if options.get("tools") else [],
            enable_memory=False,
            storage_dir=directory / "tenants",
            lease_ttl_s=options.get("ttl_s", 15.0),
            clock=lambda: datetime.fromtimestamp(time.time(), UTC),
            **options.get("settings", {}),
        )
        tasks: set[asyncio.Task[None]] = set()
        async with app:
            self.say(ready=True)
            while line := await reader.readline():
                command = json.loads(line)
                if command.get("do") == "quit":
                    break
                task = asyncio.get_running_loop().create_task(self.obey(app, command))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            else:
                os._exit(1)  # the tests are gone
        self.say(id=command["id"], reply=None)
        await self.writer.drain()

    async def obey(self, app: AgentGraph, command: dict[str, Any]) -> None:
        number, what, argument = command["id"], command["do"], command.get("argument")
        try:
            if what == "run":
                await self.run(app, number, argument)
            else:
                reply = await getattr(self, f"do_{what}")(app, argument)
                self.say(id=number, reply=reply)
        except Exception as error:  # noqa: BLE001  told to the test, which knows what it expects
            self.say(id=number, failed=getattr(error, "code", ""), kind=type(error).__name__, message=str(error))

    async def run(self, app: AgentGraph, number: int, options: dict[str, Any]) -> None:
        options = {"tenant": TENANT, **options}
        text = options.pop("text")
        if options.pop("plainly", False):
            result = await app.run(text, **options)
            self.say(id=number, ended=result.run_id, text=result.text, is_cancelled=result.is_cancelled)
            return
        async for event in app.stream(text, **options):
            match event:
                case RunStarted():
                    self.say(id=number, accepted=event.run_id)
                case RunFinished():
                    self.say(
                        id=number,
                        ended=event.run_id,
                        text=event.text,
                        is_cancelled=event.is_cancelled,
                        calls=[dict(call) for call in event.tool_calls],
                    )
                case RunFailed():
                    raise event.error

    async def do_close(self, app: AgentGraph, gate: str) -> None:
        """Have a question wait at a place: `q1@tool`."""
        self.gates[gate].clear()

    async def do_open(self, app: AgentGraph, gate: str) -> None:
        self.gates[gate].set()

    async def do_history(self, app: AgentGraph, thread: str) -> list[dict[str, Any]]:
        return [
            {
                "type": message.type,
                "text": str(message.text),
                "calls": [call["id"] for call in getattr(message, "tool_calls", ())],
                "whats": [call["args"].get("what") for call in getattr(message, "tool_calls", ())],
                "names": [call["name"] for call in getattr(message, "tool_calls", ())],
                "answers": getattr(message, "tool_call_id", None),
            }
            for message in await app.history(tenant=TENANT, thread=thread)
        ]

    async def do_checkpoints(self, app: AgentGraph, thread: str) -> list[str]:
        config: Any = {"configurable": {"thread_id": Scope(tenant=TENANT, thread=thread).thread_key}}
        return [found.config["configurable"]["checkpoint_id"] async for found in app.graph.checkpointer.alist(config)]

    async def do_delete(self, app: AgentGraph, thread: str) -> None:
        await app.graph.checkpointer.adelete_thread(Scope(tenant=TENANT, thread=thread).thread_key)

    async def do_delete_for_good(self, app: AgentGraph, thread: str) -> None:
        await app.threads.delete(tenant=TENANT, thread=thread)

    async def do_touch(self, app: AgentGraph, thread: str) -> None:
        """Change a thread without a run, as its shortening does."""
        key = Scope(tenant=TENANT, thread=thread).thread_key
        await app._runner.access.update(key, {"summary": "What was said before."})

    async def do_clock(self, app: AgentGraph, offset_s: float) -> None:
        self.clock.offset_s = offset_s

    async def do_stacks(self, app: AgentGraph, argument: None) -> list[str]:
        """Say where everything stands still."""
        return [
            f"{task.get_name()} {[f'{frame.f_code.co_qualname}:{frame.f_lineno}' for frame in task.get_stack()]}"
            for task in asyncio.all_tasks()
        ]

    async def do_late_writes(self, app: AgentGraph, argument: None) -> int:
        return self.late_writes


def serve(connection: socket.socket) -> None:
    async def main() -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=1 << 26)
        options = json.loads(await reader.readline())
        try:
            await Process(writer, options).serve(reader)
        finally:
            writer.close()

    asyncio.run(main())


def main(path: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(64)
        print("ready", flush=True)
        while server in select.select([server, sys.stdin], [], [])[0]:
            connection, _ = server.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                server.close()
                try:
                    serve(connection)
                finally:
                    sys.stderr.flush()
                    os._exit(0)
            connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
