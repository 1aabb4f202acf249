"""What the server adds to a model call, beside a FastAPI pass-through in the same run.

    uv run python tests/benchmarks/serve.py [--count 400] [--profile]

Starts a fake provider, the pass-through and `agentgraph` servers on loopback, one process each, loads each in turn, and
prints: p50 and what is added to the floor's at one connection, CPU per request, requests per second at 64 connections,
and the same of streams of 32 chunks. Threads are durable (checkpointed on disk) and ten turns long.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from load import Load, Request, measure
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
PATH = "/v1/acme/chat/completions"
SERVER = "from agentgraph.server.run import serve; serve(on_ready=lambda address: None)"
PROFILED = (
    "import cProfile, sys; p = cProfile.Profile(); p.enable(); exec({code!r}); p.disable(); p.dump_stats({path!r})"
)


def request(*, stream: bool, thread: str | None) -> Request:
    """Make requests, on threads of ten turns whose ids begin with `thread`, or one-off."""
    turns: Counter[int] = Counter()

    def make(worker: int, number: int) -> tuple[dict[str, str], bytes]:
        body: dict[str, object] = {
            "model": "default",
            "messages": [{"role": "user", "content": f"Hello number {number}, how are you?"}],
        }
        if stream:
            body |= {"stream": True}
        headers = {"x-thread-id": f"{thread}-{worker}-{turns[worker] // 10}"} if thread else {}
        turns[worker] += 1
        return headers, json.dumps(body, separators=(",", ":")).encode()

    return make


@contextmanager
def running(command: list[str], port: int, *, python: str = sys.executable, **environment: str) -> Iterator[int]:
    """Run a process until the block ends; yields its id once it listens."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AGENTGRAPH_", "OPENAI_", "GOOGLE_"))}
    with subprocess.Popen([python, *command], env=inherited | environment) as process:
        try:
            for _ in range(600):
                if process.poll() is not None:
                    raise SystemExit(f"{command} ended with {process.returncode}")
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield process.pid
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rounds(port: int, pid: int, count: int, *, thread: bool) -> dict[str, Load]:
    loads = {}
    for name, stream, connections, share in (("c1", False, 1, 1.0), ("c64", False, 64, 3.0), ("stream", True, 1, 0.5)):
        made = request(stream=stream, thread=name if thread else None)
        loads[name] = measure(port, PATH, made, pid=pid, connections=connections, count=int(count * share))
    return loads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="requests at one connection; 64 get three times that")
    parser.add_argument("--profile", type=Path, help="write each server's cProfile here")
    arguments = parser.parse_args()
    measured: dict[str, dict[str, Load]] = {}
    upstream, floor = free_port(), free_port()
    provider = f"http://127.0.0.1:{upstream}/v1"
    with running([str(HERE / "upstream.py"), "--port", str(upstream)], upstream):
        with running([str(HERE / "passthrough.py"), str(floor)], floor, OPENAI_BASE_URL=provider) as pid:
            measured["FastAPI pass-through"] = rounds(floor, pid, arguments.count, thread=False)
        for memory in (False, True):
            for thread in (False, True):
                name = f"agentgraph, {'thread' if thread else 'one-off'}, memory {'on' if memory else 'off'}"
                code = SERVER
                if arguments.profile:
                    arguments.profile.mkdir(parents=True, exist_ok=True)
                    path = str(
                        arguments.profile / f"{'thread' if thread else 'oneoff'}_{'on' if memory else 'off'}.prof"
                    )
                    code = PROFILED.format(code=SERVER, path=path)
                port = free_port()
                with (
                    tempfile.TemporaryDirectory() as directory,
                    running(
                        ["-c", code],
                        port,
                        OPENAI_BASE_URL=provider,
                        OPENAI_API_KEY="none",
                        AGENTGRAPH_DEFAULT_MODEL="openai/fake",
                        AGENTGRAPH_PORT=str(port),
                        AGENTGRAPH_STORAGE_DIR=directory,
                        AGENTGRAPH_ENABLE_MEMORY=str(memory).lower(),
                    ) as pid,
                ):
                    measured[name] = rounds(port, pid, arguments.count, thread=thread)
    Console(width=130).print(table(measured))


def table(measured: dict[str, dict[str, Load]]) -> Table:
    floor = measured["FastAPI pass-through"]
    shown = Table(title="CPU is the server process's, per request")
    columns = (
        "",
        "c1 p50 ms",
        "added",
        "min",
        "CPU ms",
        "c64 req/s",
        "p50",
        "p99",
        "CPU",
        "32 chunks p50",
        "CPU",
        "failed",
    )
    for column in columns:
        shown.add_column(column, justify="left" if not column else "right")
    for name, loads in measured.items():
        one, many, stream = loads["c1"], loads["c64"], loads["stream"]
        shown.add_row(
            name,
            f"{one.p50_ms:.2f}",
            f"{one.p50_ms - floor['c1'].p50_ms:.2f}",
            f"{one.min_ms:.2f}",
            f"{one.cpu_ms:.2f}",
            f"{many.per_second:.0f}",
            f"{many.p50_ms:.0f}",
            f"{many.p99_ms:.0f}",
            f"{many.cpu_ms:.2f}",
            f"{stream.p50_ms:.2f}",
            f"{stream.cpu_ms:.2f}",
            str(sum(load.failures for load in loads.values())),
        )
    return shown


if __name__ == "__main__":
    main()
