"""What tools add to a turn: building a tenant's set, and choosing among its tools.

    uv run python tests/benchmarks/tool_turn.py [--turns 100]

A model that answers at once, memory off, one-off turns. For each number of tools: the first turn, which reads them all
(once for all tenants); a turn's p50 and what that is more than without tools; of which `filter_tools`; and how long the
event loop stood still at the most while the set was built.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from rich.console import Console
from rich.table import Table

from agentgraph import AgentGraph
from agentgraph.testing import HashEmbeddings, ScriptedChatModel

VERBS = ("get", "list", "create", "delete", "update", "search", "export", "send", "book", "cancel")
THINGS = ("invoice", "flight", "parcel", "song", "meeting", "ticket", "recipe", "contract", "photo", "customer")


def tools(count: int) -> list[BaseTool]:
    """Return tools as a client of many servers has them: JSON schemas, names of two words and a number."""
    return [
        StructuredTool.from_function(
            lambda **given: str(given),
            name=f"{VERBS[n % 10]}_{THINGS[n // 10 % 10]}_{n}",
            description=f"{VERBS[n % 10].title()} a {THINGS[n // 10 % 10]} of department {n}.",
            args_schema={"type": "object", "properties": {"id": {"type": "string", "description": "Which."}}},
        )
        for n in range(count)
    ]


async def watched(stood_still: list[float]) -> None:
    """Note how late the loop comes back to a task that sleeps a millisecond."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        stood_still.append((time.perf_counter() - began) * 1000 - 1)


async def measured(count: int, turns: int) -> tuple[float, float, float, float]:
    """Return milliseconds: the first turn, the longest standstill in it, a turn's p50, and that of `filter_tools`."""
    model = ScriptedChatModel(script=lambda messages, names: "ok", word_by_word=False)
    options: dict[str, Any] = {"chat_model": model, "enable_memory": False, "embeddings": HashEmbeddings()}
    with tempfile.TemporaryDirectory() as directory:
        async with AgentGraph(storage_dir=Path(directory), tools=tools(count), **options) as app:
            stood_still: list[float] = []
            watch = asyncio.create_task(watched(stood_still))
            began = time.perf_counter()
            await app.run("Send the invoice of department 7.", tenant="acme")
            first = (time.perf_counter() - began) * 1000
            watch.cancel()
            await asyncio.sleep(1 + count / 2_000)  # the tools are embedded in the background
            took, chose = [], []
            for number in range(turns):
                began = time.perf_counter()
                # The same question, so that its embedding is cached; another tenant each time, with the same tools.
                result = await app.run("Send the invoice of department 7.", tenant=f"tenant{number % 50}")
                took.append((time.perf_counter() - began) * 1000)
                chose.append(result.node_ms["filter_tools"])
    return first, max(stood_still, default=0.0), statistics.median(took), statistics.median(chose)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    options = parser.parse_args()
    table = Table("tools", "first turn ms", "loop still ms", "turn p50 ms", "added ms", "filter_tools ms")
    without = None
    for count in (0, 8, 100, 1_000, 10_000):
        first, still, p50, chose = asyncio.run(measured(count, options.turns))
        without = p50 if without is None else without
        table.add_row(
            f"{count:,}", f"{first:.1f}", f"{still:.1f}", f"{p50:.2f}", f"{p50 - without:.2f}", f"{chose:.2f}"
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    _main()
