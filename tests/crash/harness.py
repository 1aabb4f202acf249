"""Processes to kill, what they acknowledged, and whether it is there, in order, once."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from agentgraph.scope import Scope, tenant_directory
from tests.crash.child import TENANT, effects_of

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
OPEN = ("queued", "running")


class Nursery:
    """A process that has imported everything and forks others."""

    def __init__(self, path: Path, environment: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} | dict(environment or {})

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.child", str(self.path)],
            cwd=ROOT,
            env=os.environ | self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(eq=False, kw_only=True)
class Turn:
    """What somebody said, and what became of it as far as they were told."""

    text: str
    sent_at: float
    thread: str
    child: "Child"
    run_id: str | None = None
    acknowledged_at: float | None = None
    answer: str | None = None
    is_cancelled: bool = False
    failure: dict[str, Any] | None = None
    calls: list[Any] = field(default_factory=list)
    accepted: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_acknowledged(self) -> bool:
        return self.acknowledged_at is not None

    @property
    def is_answered(self) -> bool:
        return self.is_acknowledged and not self.is_cancelled

    async def ended(self, timeout_s: float = PATIENCE_S) -> Self:
        try:
            async with asyncio.timeout(timeout_s):
                await self.over.wait()
        except TimeoutError:
            raise AssertionError(f"{self.text!r} does not end: {await self.child.do('stacks')}") from None
        return self


class Child:
    """One of the processes, as seen from here."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.turns: list[Turn] = []
        self.pid: int | None = None
        self.is_ready = False
        self._reader, self._writer = reader, writer
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._runs: dict[int, Turn] = {}
        self._number = 0
        self._places: Counter[tuple[str, str]] = Counter()
        self._news = asyncio.Event()
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        with suppress(ConnectionError):
            while line := await self._reader.readline():
                if line.endswith(b"\n"):
                    self._hear(json.loads(line))
                news, self._news = self._news, asyncio.Event()
                news.set()
        for reply in self._replies.values():
            if not reply.done():
                reply.cancel()
        for turn in self._runs.values():
            turn.over.set()
        self._news.set()

    def _hear(self, told: dict[str, Any]) -> None:
        if "pid" in told:
            self.pid = told["pid"]
        elif "ready" in told:
            self.is_ready = True
        elif "at" in told:
            self._places[told["at"], told["question"]] += 1
        elif (turn := self._runs.get(told["id"])) is None:
            reply = self._replies.pop(told["id"], None)
            if reply is None:  # nobody waits for it
                pass
            elif "failed" in told:
                reply.set_exception(RuntimeError(f"{told['kind']}: {told['message']}"))
            else:
                reply.set_result(told["reply"])
        elif "accepted" in told:
            turn.run_id = told["accepted"]
            turn.accepted.set()
        else:
            if "ended" in told:
                turn.run_id, turn.answer, turn.is_cancelled = told["ended"], told["text"], told["is_cancelled"]
                turn.calls = told.get("calls", [])
                turn.acknowledged_at = time.monotonic()
            else:
                turn.failure = told
            turn.accepted.set()
            turn.over.set()

    def _send(self, do: str, argument: Any) -> int:
        self._number += 1
        self._writer.write(json.dumps({"id": self._number, "do": do, "argument": argument}).encode() + b"\n")
        return self._number

    def say(self, text: str, *, thread: str = "t", **options: Any) -> Turn:
        """Begin a turn."""
        turn = Turn(text=text, thread=thread, sent_at=time.monotonic(), child=self)
        self.turns.append(turn)
        if not self.is_running:
            turn.over.set()
            return turn
        self._runs[self._send("run", {"text": text, "thread": thread, **options})] = turn
        return turn

    async def do(self, what: str, argument: Any = None, timeout_s: float = PATIENCE_S) -> Any:
        """Have something else done and return what came of it."""
        assert self.is_running, "the process is gone"
        number = self._send(what, argument)
        self._replies[number] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(timeout_s):
            return await self._replies[number]

    async def until(self, met: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait for something it says."""
        async with asyncio.timeout(timeout_s):
            while not met():
                assert not self._listening.done(), "the process is gone"
                await self._news.wait()

    async def at(self, place: str, question: str, times: int = 1, timeout_s: float = PATIENCE_S) -> None:
        """Wait until it stands at a place that a question names, as often as its tools come there side by side."""
        await self.until(lambda: self._places[place, question] >= times, timeout_s)

    @property
    def is_running(self) -> bool:
        return not self._listening.done()

    def signal(self, number: int) -> None:
        assert self.pid  # 0 would be ourselves and all our kin
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def paused_outside_of(self, *files: Path) -> None:
        """Have it stand still, but not in the middle of a write: that would keep everybody out of the file."""
        async with asyncio.timeout(PATIENCE_S):
            await self._stopped()
            while not all(map(is_free, files)):
                self.signal(signal.SIGCONT)
                await asyncio.sleep(0.01)
                await self._stopped()

    async def _stopped(self) -> None:
        self.signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.pid}/task")
        while any(task.joinpath("stat").read_text().rpartition(")")[2][1] != "T" for task in tasks.iterdir()):  # noqa: ASYNC110  the system tells nobody
            await asyncio.sleep(0.001)

    async def killed(self) -> None:
        """Kill it, and wait until the system has cleared up."""
        self.signal(signal.SIGKILL)
        await self.dead()

    async def dead(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait for its end."""
        async with asyncio.timeout(timeout_s):
            await asyncio.wait([self._listening])
            while Path(f"/proc/{self.pid}").exists():  # noqa: ASYNC110  it sets no event
                await asyncio.sleep(0.001)
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def quit(self) -> None:
        """Let it end as a process should."""
        with suppress(asyncio.CancelledError):
            await self.do("quit")
        await self.dead()


class Processes:
    """The processes of one test, on one directory."""

    def __init__(self, nursery: Nursery, directory: Path) -> None:
        self.directory = directory
        self._nursery = nursery
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self._children:
            child.signal(signal.SIGCONT)
            await child.killed()

    async def start(self, directory: Path | None = None, **options: Any) -> Child:
        """Start one more; `options` are `child.py`'s. Its stores are open when this returns, unless it died over it."""
        reader, writer = await asyncio.open_unix_connection(self._nursery.path, limit=1 << 26)
        child = Child(reader, writer)
        self._children.append(child)
        writer.write(json.dumps({"directory": str(directory or self.directory), **options}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            while child.pid is None or not (child.is_ready or not child.is_running):
                assert child.pid or child.is_running, "the process died before it was born"
                await child._news.wait()
        assert child.is_ready or options.get("fail"), "the process died as it was started"
        return child

    @property
    def turns(self) -> list[Turn]:
        """What was said to any of them, in the order it was sent."""
        return sorted((turn for child in self._children for turn in child.turns), key=lambda turn: turn.sent_at)

    def turns_on(self, thread: str) -> list[Turn]:
        return [turn for turn in self.turns if turn.thread == thread]

    def rows(self, directory: Path | None = None, thread: str = "t") -> list[dict[str, Any]]:
        """Return a thread's runs as they are noted, in order."""
        return rows_of(directory or self.directory, thread)

    async def settled(self, *, within_s: float = 5.0, directory: Path | None = None) -> float:
        """Wait until no run is open any more and return how many seconds that took."""
        began = time.monotonic()
        while any(row["status"] in OPEN for row in rows_of(directory or self.directory, None)):
            took = time.monotonic() - began
            assert took < within_s, f"runs are still open after {took:.1f} s: {rows_of(self.directory, None)}"
            await asyncio.sleep(0.005)
        return time.monotonic() - began


def database_of(directory: Path) -> Path:
    return tenant_directory(directory / "tenants", TENANT) / "threads.db"


def key_of(thread: str) -> str:
    key = Scope(tenant=TENANT, thread=thread).thread_key
    assert key is not None
    return key


def read(path: Path, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(query, parameters).fetchall()


def is_free(path: Path) -> bool:
    """Tell whether nobody is writing to a database."""
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
    return True


def rows_of(directory: Path, thread: str | None) -> list[dict[str, Any]]:
    columns = ("run_id", "thread_id", "position", "status", "error")
    found = read(database_of(directory), f"SELECT {', '.join(columns)} FROM runs ORDER BY thread_id, position")
    rows = [dict(zip(columns, row, strict=True)) for row in found]
    return [row for row in rows if thread is None or row["thread_id"] == key_of(thread)]


# What has to hold


def exchanges(history: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Cut a history into questions and what follows each."""
    found: list[tuple[str, list[dict[str, Any]]]] = []
    for message in history:
        if message["type"] == "human":
            found.append((message["text"], []))
        else:
            assert found, f"the history begins with {message}"
            found[-1][1].append(message)
    return found


def check_history(history: list[dict[str, Any]], turns: Iterable[Turn], rows: Iterable[dict[str, Any]] = ()) -> None:
    """See to it that what was acknowledged is there, in order, once, each answer with its question."""
    turns = list(turns)
    said = exchanges(history)
    questions = [question for question, _ in said]
    doubled = [question for question, count in Counter(questions).items() if count > 1]
    assert not doubled, f"said once and kept twice: {doubled}"
    strange = set(questions) - {turn.text for turn in turns}
    assert not strange, f"kept and never said: {strange}"
    following = dict(said)
    place = {question: i for i, question in enumerate(questions)}
    for turn in turns:
        if turn.is_acknowledged and turn.text in place:
            continue
        assert not turn.is_acknowledged, f"acknowledged and lost: {turn.text!r}"
    for question, after in said:
        answers = [message["text"] for message in after if message["type"] == "ai" and not message["calls"]]
        assert len(answers) <= 1, f"{question!r} has {len(answers)} answers: {answers}"
        for text in answers:
            assert f"re: {question}".startswith(text), f"{question!r} is followed by the answer {text!r}"
    for turn in turns:
        if turn.is_answered:
            assert turn.answer == f"re: {turn.text}", f"{turn.text!r} was given the answer {turn.answer!r}"
            last = following[turn.text][-1:]
            assert [message["text"] for message in last] == [turn.answer], f"{turn.text!r} is followed by {last}"
    check_calls(history)
    check_order(place, turns, rows)


async def check_recovered(processes: Processes, child: Child, thread: str = "t") -> list[dict[str, Any]]:
    """See to it that a thread is whole after a crash, as `child` reads it, and return its history."""
    rows, turns = processes.rows(thread=thread), processes.turns_on(thread)
    assert {row["status"] for row in rows} <= {"finished", "failed", "cancelled", "undone"}
    assert all(row["error"] for row in rows if row["status"] == "failed")
    history = await child.do("history", thread)
    check_history(history, turns, rows)
    noted = {row["run_id"] for row in rows}
    questions = [message["text"] for message in history if message["type"] == "human"]
    answers = Counter(message["text"] for message in history if message["type"] == "ai")
    for turn in turns:
        if turn.run_id is None:
            continue
        assert turn.run_id in noted, f"accepted and forgotten: {turn.text!r}"
        assert turn.text in questions, f"accepted and lost: {turn.text!r}"
        assert answers[f"re: {turn.text}"] == 1, f"accepted and not answered: {turn.text!r}"
    return history


def check_order(place: dict[str, int], turns: list[Turn], rows: Iterable[dict[str, Any]]) -> None:
    """See to it that turns stand in the order they were accepted in, and none before one that was over before it."""
    positions = {row["run_id"]: row["position"] for row in rows}
    accepted = [turn for turn in turns if turn.run_id in positions and turn.text in place]
    accepted.sort(key=lambda turn: positions[turn.run_id])
    places = [place[turn.text] for turn in accepted]
    assert places == sorted(places), f"kept in another order than accepted: {places}"
    latest, done = (
        -1,
        sorted((turn for turn in turns if turn.is_acknowledged), key=lambda turn: turn.acknowledged_at or 0),
    )
    begun = sorted((turn for turn in turns if turn.text in place), key=lambda turn: turn.sent_at)
    for turn in begun:
        while done and (done[0].acknowledged_at or 0) < turn.sent_at:
            latest = max(latest, place[done.pop(0).text])
        assert place[turn.text] > latest, f"{turn.text!r} stands before one that was over when it was said"


def check_calls(history: list[dict[str, Any]]) -> None:
    """See to it that every tool call is answered once, right after it, and nothing else is."""
    open_calls: list[str] = []
    for message in history:
        if message["type"] == "tool":
            assert message["answers"] in open_calls, f"a result without a call: {message}"
            open_calls.remove(message["answers"])
        else:
            assert not open_calls, f"calls without a result: {open_calls}, before {message}"
            open_calls = list(message["calls"])
    assert not open_calls, f"calls without a result: {open_calls}"


def check_effects(directory: Path, history: list[dict[str, Any]]) -> Counter[str]:
    """See to it that calls with a key had one effect each, and those without none twice; return what they came to."""
    keyed = Counter(what for (what,) in read(effects_of(directory), "SELECT what FROM keyed"))
    plain = Counter(what for (what,) in read(effects_of(directory), "SELECT what FROM plain"))
    repeated = [what for what, count in (keyed + plain).items() if count > 1]
    assert not repeated, f"done twice: {repeated}"
    found: Counter[str] = Counter()
    made: set[str] = set()
    for at, message in enumerate(history):
        for name, what, result in zip(message["names"], message["whats"], history[at + 1 :], strict=False):
            expected = {f"{what}/first", f"{what}/second"} if name == "graph" else {what}
            made |= expected
            effects = expected & set(plain if name == "log" else keyed)
            if result["text"] in {f"put {what}", f"logged {what}"}:
                found[f"{name} done"] += 1
                assert effects == expected, f"told to be done and not done: {what!r}"
            elif "unknown" in result["text"]:
                found[f"{name} unknown"] += 1
                assert name == "log", f"{name!r} has a key and can be made again: {result}"
            else:
                found[f"{name} not run"] += 1
                raise AssertionError(f"neither done nor unknown: {result}")
    unheard = (set(keyed) | set(plain)) - made
    assert not unheard, f"done, and no call for it is in the history: {unheard}"
    return found
