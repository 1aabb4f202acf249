"""Measure what running a function in the sandbox costs, beside calling it.

    python tests/benchmarks/sandbox.py [--calls 2000] [--json]

Each figure is the wall-clock time of one `Sandbox.run` in ms: compiling the code in an interpreter of its own, the
arguments in and the result out. `after a kill` is the first call after its worker was killed with SIGKILL; `64 at once`
are 64 calls started together, over as many workers as there are processors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from agentgraph.tools.sandbox import Sandbox

CODE = """\
def total(prices: list[float], tax: float = 0.2) -> dict:
    net = sum(prices)
    return {"net": net, "gross": round(net * (1 + tax), 2)}
"""
ARGUMENTS: dict[str, Any] = {"prices": [9.5, 12.0, 3.25], "tax": 0.19}


async def call(sandbox: Sandbox) -> None:
    await sandbox.run(CODE, function="total", arguments=ARGUMENTS)


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1e3


async def cold() -> float:
    sandbox = Sandbox()
    try:
        return await timed(lambda: call(sandbox))
    finally:
        await sandbox.aclose()


async def after_a_kill(times: int) -> list[float]:
    taken = []
    async with Sandbox(most_calls=1) as sandbox:
        for _ in range(times):
            await call(sandbox)
            for worker in workers():
                os.kill(worker, signal.SIGKILL)
            await asyncio.sleep(0.05)
            taken.append(await timed(lambda: call(sandbox)))
    return taken


def workers() -> list[int]:
    with os.popen(f"ps -o pid=,comm= --ppid {os.getpid()}") as listing:
        return [int(line.split()[0]) for line in listing if line.split()[1] == "monty"]


async def measure(calls: int) -> dict[str, list[float]]:
    names: dict[str, Any] = {}
    exec(CODE, names)
    taken = {"bare call": []}
    for _ in range(calls):
        began = time.perf_counter()
        names["total"](**ARGUMENTS)
        taken["bare call"].append((time.perf_counter() - began) * 1e3)
    taken["cold start"] = [await cold() for _ in range(10)]
    async with Sandbox() as sandbox:
        for _ in range(20):
            await call(sandbox)
        taken["warm"] = [await timed(lambda: call(sandbox)) for _ in range(calls)]
        taken["64 at once"] = await asyncio.gather(*(timed(lambda: call(sandbox)) for _ in range(64)))
        parameters = {
            "type": "object",
            "properties": {"prices": {"type": "array"}, "tax": {"type": "number"}},
            "required": ["prices"],
        }
        taken["check"] = [
            await timed(lambda: sandbox.check(CODE, function="total", parameters=parameters)) for _ in range(20)
        ]
    taken["after a kill"] = await after_a_kill(10)
    return taken


def summary(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"n": len(ordered), "p50_ms": statistics.median(ordered), "p99_ms": p99, "worst_ms": ordered[-1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = {name: summary(taken) for name, taken in asyncio.run(measure(options.calls)).items()}
    if options.json:
        print(json.dumps(rows))
        return
    table = Table("", "n", "p50 ms", "p99 ms", "worst ms", title="One call of a function")
    for name, row in rows.items():
        table.add_row(name, str(row["n"]), *(f"{row[key]:.3f}" for key in ("p50_ms", "p99_ms", "worst_ms")))
    Console().print(table)


if __name__ == "__main__":
    main()
