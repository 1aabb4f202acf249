"""What a durable turn costs, beside LangGraph's plain AsyncSqliteSaver in the same run.

    uv run python tests/benchmarks/threads.py [--turns 400] [--long 1000]

A model that answers at once, memory off, one turn after another: what is left is ours. Prints, per turn, p50 and CPU;
then what each guarantee takes of it; then how a turn's CPU, what it writes and the thread's size on disk go with the
length of the thread.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from rich.console import Console
from rich.table import Table

from agentgraph import AgentGraph
from agentgraph.stores.threads.database import ThreadDatabase
from agentgraph.testing import ScriptedChatModel
from agentgraph.threads.journal import RunJournal

Turn = Callable[[int], Awaitable[Any]]
WORDS = "The quick brown fox jumps over the lazy dog while it rains on the old town hall. " * 6  # about 100 words


def model() -> ScriptedChatModel:
    """Answer at once, and call no tool."""
    return ScriptedChatModel(script=lambda messages, tools: f"Answer. {WORDS}", word_by_word=False)


@tool
def look_up(what: str) -> str:
    """Look something up."""
    return what


async def measured(turn: Turn, turns: int) -> tuple[float, float]:
    """Return the p50 and the CPU, in milliseconds, of a turn."""
    for number in range(20):
        await turn(-number)
    took: list[float] = []
    cpu = time.process_time()
    for number in range(turns):
        began = time.perf_counter()
        await turn(number)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), (time.process_time() - cpu) * 1000 / turns


@asynccontextmanager
async def plain(directory: str, durability: Any, length: int) -> AsyncIterator[Turn]:
    """LangGraph alone: one node, messages added up, its own saver."""
    chat = model()

    async def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    async with AsyncSqliteSaver.from_conn_string(str(Path(directory) / "plain.db")) as saver:
        await saver.conn.execute("PRAGMA synchronous=FULL")
        graph = builder.compile(checkpointer=saver)

        async def turn(number: int) -> None:
            config = {"configurable": {"thread_id": f"t{number // length}"}}
            await graph.ainvoke({"messages": [HumanMessage(f"q{number} {WORDS}")]}, config, durability=durability)

        yield turn


@asynccontextmanager
async def ours(directory: str, length: int | None, **options: Any) -> AsyncIterator[Turn]:
    """An application; `length` turns a thread, or one-off runs."""
    async with AgentGraph(chat_model=model(), storage_dir=Path(directory), enable_memory=False, **options) as app:

        async def turn(number: int) -> None:
            thread = None if length is None else f"t{number // length}"
            await app.run(f"q{number} {WORDS}", tenant="acme", thread=thread)

        yield turn


async def compare(turns: int, console: Console) -> None:
    """Print what a turn costs here and there."""
    table = Table("a turn, threads of ten", "p50 ms", "CPU ms", title_justify="left")
    rows: Sequence[tuple[str, Callable[[str], Any]]] = [
        ("LangGraph + AsyncSqliteSaver, durability=async", lambda d: plain(d, "async", 10)),
        ("LangGraph + AsyncSqliteSaver, durability=sync", lambda d: plain(d, "sync", 10)),
        ("LangGraph + AsyncSqliteSaver, durability=exit", lambda d: plain(d, "exit", 10)),
        ("agentgraph, one-off", lambda d: ours(d, None)),
        ("agentgraph, thread", lambda d: ours(d, 10)),
        ("agentgraph, thread, storage_sync=normal", lambda d: ours(d, 10, storage_sync="normal")),
        ("agentgraph, thread, a server tool at hand", lambda d: ours(d, 10, tools=[look_up])),
    ]
    for name, opened in rows:
        with tempfile.TemporaryDirectory() as directory:
            async with opened(directory) as turn:
                p50, cpu = await measured(turn, turns)
        table.add_row(name, f"{p50:.2f}", f"{cpu:.2f}")
    console.print(table)


async def guarantees(turns: int, console: Console) -> None:
    """Print what each guarantee takes of a turn, waiting included."""
    spent: dict[str, float] = defaultdict(float)

    def watched(owner: Any, name: str, label: str) -> None:
        inner = getattr(owner, name)

        async def outer(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return await inner(*args, **kwargs)
            finally:
                spent[label] += (time.perf_counter() - began) * 1000

        setattr(owner, name, outer)

    def counted(owner: Any, name: str, label: str) -> None:
        inner = getattr(owner, name)

        def outer(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                spent[label] += (time.perf_counter() - began) * 1000

        setattr(owner, name, outer)

    watched(RunJournal, "accept", "accept before acting: order, key, lease; an fsync")
    watched(RunJournal, "end", "the turn's checkpoint, its end, the lease let go; an fsync")
    counted(ThreadDatabase, "check", "  of which: the fence, checked")
    with tempfile.TemporaryDirectory() as directory:
        async with ours(directory, 10) as turn:
            p50, _ = await measured(turn, turns)
    table = Table("guarantee", "ms a turn", title_justify="left")
    for label, total in spent.items():
        table.add_row(label, f"{total / (turns + 20):.3f}")
    table.add_row("the whole turn, p50", f"{p50:.2f}")
    console.print(table)


async def long_threads(turns: int, console: Console) -> None:
    """Print how a thread's cost goes with its length."""
    table = Table("thread of", "CPU ms a turn", "kB written a turn", "MB on disk", title_justify="left")
    for name, options in [("", {}), (", a server tool at hand", {"tools": [look_up]})]:
        with tempfile.TemporaryDirectory() as directory:
            options = {"truncation_strategy": "sliding", **options}
            async with AgentGraph(
                chat_model=model(), storage_dir=Path(directory), enable_memory=False, **options
            ) as app:
                step = max(turns // 4, 1)
                for block in range(4):
                    cpu, written = time.process_time(), _written()
                    for number in range(step):
                        await app.run(f"q{block}-{number} {WORDS}", tenant="acme", thread="t")
                    await app.settled()
                    cpu, written = time.process_time() - cpu, _written() - written
                    size = sum(file.stat().st_size for file in Path(directory).rglob("*") if file.is_file())
                    table.add_row(
                        f"{(block + 1) * step} turns{name}",
                        f"{cpu * 1000 / step:.2f}",
                        f"{written / 1000 / step:.1f}",
                        f"{size / 1e6:.2f}",
                    )
                assert len(await app.history(tenant="acme", thread="t")) == 8 * step
    console.print(table)


def _written() -> int:
    """Return how many bytes this process has handed to `write`."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("wchar")))


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=400)
    parser.add_argument("--long", type=int, default=1000)
    options = parser.parse_args()
    console = Console(width=120)
    asyncio.run(compare(options.turns, console))
    asyncio.run(guarantees(options.turns, console))
    asyncio.run(long_threads(options.long, console))


if __name__ == "__main__":
    _main()
