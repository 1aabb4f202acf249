"""Measure `agentgraph memory import`: how long it takes and how much memory it needs, each time in a new process.

    python tests/benchmarks/memory_import.py [--rows 100000] [--embedding-model local/all-minilm-l6-v2] [--json]
    python tests/benchmarks/memory_import.py --rows 1000000 --embedding-model hash/64

The rows are sentences of a dozen words, a third of which name a time, written to a file as they are drawn; every one is
another. The figures are wall-clock seconds, rows a second, the peak of the process's resident memory, and the size of
what it wrote. The second import of the same file shows what it costs to find that nothing is new.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agentgraph._sync import run_sync
from agentgraph.app import AgentGraph

NAMES = ["Anna", "Ben", "Carla", "David", "Emma", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Klara", "Leo"]
VERBS = ["bought", "visited", "lost", "found", "repaired", "painted", "sold", "planned", "praised", "borrowed"]
THINGS = ["car", "bicycle", "house", "garden", "guitar", "ticket", "passport", "camera", "coat", "lamp", "sofa"]
PLACES = ["Tokyo", "Paris", "Oslo", "Lima", "Cairo", "Rome", "Delhi", "Quito", "Ghent", "Porto", "Turin", "Basel"]
TIMES = ["yesterday", "last week", "on 3 May 2024", "two months ago", "", "", "", "", "", ""]


def write_rows(path: Path, count: int) -> None:
    draw = random.Random(7)
    said = datetime(2024, 1, 1, tzinfo=UTC)
    with path.open("w") as file:
        for number in range(count):
            said += timedelta(seconds=draw.randrange(600))
            when = draw.choice(TIMES)
            text = (
                f"{draw.choice(NAMES)} {draw.choice(VERBS)} the {draw.choice(THINGS)} number {number} with"
                f" {draw.choice(NAMES)} in {draw.choice(PLACES)}{' ' if when else ''}{when}."
            )
            row = {"id": f"r{number}", "text": text, "ts": said.isoformat(), "thread": f"c{number // 40}"}
            file.write(f"{json.dumps(row)}\n")


def import_once(file: Path, storage: Path, embedding_model: str) -> dict[str, Any]:
    """Import `file` in this process and return the figures."""

    async def run() -> Any:
        async with AgentGraph(
            default_model="scripted/echo", embedding_model=embedding_model, storage_dir=storage
        ) as app:
            with file.open("rb") as lines:
                return await app.memories.import_rows(lines, tenant="acme")

    started = time.perf_counter()
    report = run_sync(run())
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rows": report.rows,
        "added": report.added,
        "unchanged": report.unchanged,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "rows_a_second": round(report.rows / seconds),
        "peak_rss_mb": round(used.ru_maxrss / 1024),
        "disk_mb": round(sum(path.stat().st_size for path in storage.rglob("*") if path.is_file()) / 1e6),
    }


def measure(rows: int, embedding_model: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        file, storage = Path(place) / "rows.jsonl", Path(place) / "tenants"
        write_rows(file, rows)
        command = [sys.executable, __file__, "--child", str(file), str(storage), "--embedding-model", embedding_model]
        figures = {}
        for name in ("first import", "second import"):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            figures[name] = json.loads(done.stdout)
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--embedding-model", default="local/all-minilm-l6-v2")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, type=Path, metavar=("FILE", "STORAGE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(import_once(*options.child, options.embedding_model)))
        return
    for rows in options.rows:
        figures = measure(rows, options.embedding_model)
        if options.json:
            print(json.dumps({"rows": rows, "embedding_model": options.embedding_model, **figures}))
            continue
        print(f"\n{rows:,} rows, {options.embedding_model}")
        for name, found in figures.items():
            print(f"  {name:14}" + "".join(f"  {figure:>10,} {what}" for what, figure in found.items()))


if __name__ == "__main__":
    main()
