"""What the server adds to a model call, beside others that do the like, in one run; and where each millisecond goes.

    uv run python tests/benchmarks/gateways.py [--count 300] [--litellm PYTHON] [--brain-proxy PYTHON]

Every server is one process on loopback, loaded in turn by the same client, before the same provider: one that answers
at once, and one that takes 50 ms. LiteLLM's proxy and brain-proxy need environments of their own, whose Python is
given; what is not there is skipped, and said to be. Machines differ and are shared: read the ratios, and the CPU.

The budget is measured within one process, layer by layer, each with all that stands below it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from langchain_core.messages import AIMessage, HumanMessage
from load import Load, Request, measure
from rich.console import Console
from rich.table import Table
from serve import HERE, PATH, SERVER, free_port, request, running

from agentgraph import AgentGraph, Settings
from agentgraph.models.openai import open_chat_model
from agentgraph.testing import HashEmbeddings, ScriptedChatModel

DELAY_MS = 50
AIMS = {
    "durable turn, added at c=1 (p50 ms)": "≤ 2.8",
    "the same with memory": "≤ 4",
    "req/s a core at 64": "≥ 330",
    "CPU a stream of 32 chunks (ms)": "≤ 6.5",
    "50 ms upstream at 64, added (p50 ms)": "≤ 100",
}

LITELLM = {  # without a key of its own, and without asking its authors' server for prices
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


@dataclass(frozen=True)
class Gateway:
    """A server to be measured.

    Attributes:
        command: Makes its arguments for Python from a port and the provider's address.
        python: Whose environment.
        path: Where it takes chat completions.
        environment: Added to its environment.
        thread: Whether turns are on threads.
        streams: Whether it has a stream to compare.
        request: Makes its requests, where they are not OpenAI's.
    """

    name: str
    command: Callable[[int, str], list[str]]
    python: str = sys.executable
    path: str = PATH
    environment: dict[str, str] = field(default_factory=dict)
    thread: bool = False
    streams: bool = True
    request: Callable[..., Request] = request


def ours(name: str, directory: str, *, thread: bool, memory: bool, ask: Callable[..., Request] = request) -> Gateway:
    environment = {
        "AGENTGRAPH_DEFAULT_MODEL": "openai/fake",
        "AGENTGRAPH_STORAGE_DIR": str(Path(directory) / name.replace(" ", "_")),
        "AGENTGRAPH_ENABLE_MEMORY": str(memory).lower(),
    }
    return Gateway(name, lambda *_: ["-c", SERVER], environment=environment, thread=thread, request=ask)


def langserve_request(*, stream: bool, thread: str | None) -> Request:
    def make(_: int, number: int) -> tuple[dict[str, str], bytes]:
        said = [{"role": "user", "content": f"Hello number {number}, how are you?"}]
        return {}, json.dumps({"input": said}).encode()

    return make


def known_request(*, stream: bool, thread: str | None) -> Request:
    """Ask one of a few questions, so that each was embedded before."""
    ask = request(stream=stream, thread=thread)
    return lambda worker, number: ask(worker, number % 5)


def named_request(*, stream: bool, thread: str | None) -> Request:
    """Name the model: brain-proxy knows no default by that name."""
    ask = request(stream=stream, thread=thread)

    def make(worker: int, number: int) -> tuple[dict[str, str], bytes]:
        headers, body = ask(worker, number)
        return headers, json.dumps({**json.loads(body), "model": "openai/fake"}).encode()

    return make


def gateways(directory: str, arguments: argparse.Namespace, console: Console) -> Iterator[Gateway]:
    """Yield what can be measured here, and say what cannot."""
    yield Gateway("FastAPI pass-through", lambda port, _: [str(HERE / "passthrough.py"), str(port)])
    yield ours("agentgraph one-off", directory, thread=False, memory=False)
    yield ours("agentgraph thread", directory, thread=True, memory=False)
    yield ours("agentgraph thread and memory, questions known", directory, thread=True, memory=True, ask=known_request)
    yield ours("agentgraph thread and memory, new questions", directory, thread=True, memory=True)
    server = str(HERE / "rivals" / "agent_server.py")
    if importlib.util.find_spec("langchain") is None:
        console.print("skipped: create_agent and LangServe (pip install 'agentgraph[langchain]')")
    else:
        yield Gateway("create_agent + AsyncSqliteSaver", lambda port, _: [server, str(port), "fastapi"], thread=True)
        yield Gateway(
            "LangServe + InMemorySaver",
            lambda port, _: [server, str(port), "langserve"],
            path="/invoke",
            streams=False,
            request=langserve_request,
        )
    if arguments.litellm is None:
        console.print(r"skipped: LiteLLM's proxy (--litellm PYTHON of an environment with litellm\[proxy])")
    else:
        yield Gateway(
            "LiteLLM proxy",
            litellm_proxy(directory),
            python=arguments.litellm,
            path="/v1/chat/completions",
            environment=LITELLM,
        )
    if arguments.brain_proxy is None:
        console.print("skipped: brain-proxy (--brain-proxy PYTHON of an environment with brain-proxy and uvicorn)")
    else:
        yield Gateway(
            "brain-proxy, memory off",
            lambda port, _: brain_proxy(port, directory),
            python=arguments.brain_proxy,
            request=named_request,
        )


def litellm_proxy(directory: str) -> Callable[[int, str], list[str]]:
    def command(port: int, provider: str) -> list[str]:
        parameters = {"model": "openai/fake", "api_base": provider, "api_key": "none"}
        config = Path(directory) / "litellm.json"  # JSON is YAML, too
        config.write_text(json.dumps({"model_list": [{"model_name": "default", "litellm_params": parameters}]}))
        return ["-c", "import litellm; litellm.run_server()", "--port", str(port), "--config", str(config)]

    return command


def brain_proxy(port: int, directory: str) -> list[str]:
    code = (
        f"import os; os.chdir({directory!r}); "  # it keeps its files where it is started
        "import uvicorn; from fastapi import FastAPI; from brain_proxy import BrainProxy; app = FastAPI(); "
        "proxy = BrainProxy(default_model='openai/fake', memory_model='openai/fake', "
        "tool_filtering_model='openai/fake', embedding_model='openai/fake', enable_memory=False); "
        "app.include_router(proxy.router, prefix='/v1'); "
        f"uvicorn.run(app, host='127.0.0.1', port={port}, log_level='warning')"
    )
    return ["-c", code]


@contextmanager
def started(gateway: Gateway, provider: str) -> Iterator[tuple[int, int]]:
    """Run a gateway before a provider; yields its port and its process."""
    port = free_port()
    environment = {"OPENAI_BASE_URL": provider, "OPENAI_API_KEY": "none", "AGENTGRAPH_PORT": str(port)}
    with running(
        gateway.command(port, provider), port, python=gateway.python, **environment, **gateway.environment
    ) as pid:
        yield port, pid


def loads(gateway: Gateway, prompt: str, slow: str, count: int) -> dict[str, Load]:
    """Load a gateway: alone, 64 at once, streams, and 64 at once before a provider that takes its time."""
    found: dict[str, Load] = {}
    rounds = [("c1", False, 1, count), ("c64", False, 64, 3 * count), ("stream", True, 1, count // 2)]

    def made(name: str, *, stream: bool) -> Request:
        return gateway.request(stream=stream, thread=name if gateway.thread else None)

    with started(gateway, prompt) as (port, pid):
        for name, stream, connections, number in rounds:
            if stream and not gateway.streams:
                continue
            asked = made(name, stream=stream)
            found[name] = measure(port, gateway.path, asked, pid=pid, connections=connections, count=number)
    with started(gateway, slow) as (port, pid):
        asked = made("slow", stream=False)
        found["slow"] = measure(port, gateway.path, asked, pid=pid, connections=64, count=2 * count)
    return found


def shown(measured: dict[str, dict[str, Load]]) -> Table:
    """Return the comparison; what is added is to the pass-through's p50."""
    table = Table(title=f"1 provider, 1 process each, upstream 0 and {DELAY_MS} ms; CPU is the server's, a request")
    columns = ("", "c1 p50", "added", "min", "CPU", "c64 req/s", "a core", "p99", f"{DELAY_MS} ms c64 added")
    for column in (*columns, "stream CPU", "first text", "failed"):
        table.add_column(column, justify="left" if not column else "right")
    floor = next(iter(measured.values()))
    for name, found in measured.items():
        one, many, slow, stream = found["c1"], found["c64"], found["slow"], found.get("stream")
        table.add_row(
            name,
            f"{one.p50_ms:.2f}",
            f"{one.p50_ms - floor['c1'].p50_ms:.2f}",
            f"{one.min_ms:.2f}",
            f"{one.cpu_ms:.2f}",
            f"{many.per_second:.0f}",
            f"{1000 / many.cpu_ms:.0f}",
            f"{many.p99_ms:.0f}",
            f"{slow.p50_ms - DELAY_MS:.0f}",
            f"{stream.cpu_ms:.2f}" if stream else "-",
            f"{stream.first_p50_ms:.2f}" if stream else "-",
            str(sum(load.failures for load in found.values())),
        )
    return table


# Where each millisecond goes


async def spent(turn: Callable[[int], Awaitable[object]], count: int) -> tuple[float, float]:
    """Return the best wall time and the CPU of a turn, in milliseconds."""
    for number in range(30):
        await turn(-number)
    walls: list[float] = []
    cpu = time.process_time()
    for number in range(count):
        began = time.perf_counter()
        await turn(number)
        walls.append((time.perf_counter() - began) * 1000)
    return statistics.quantiles(walls, n=20)[0], (time.process_time() - cpu) * 1000 / count


async def layers(provider: str, count: int) -> dict[str, tuple[float, float]]:
    """Measure each layer with all below it."""
    found: dict[str, tuple[float, float]] = {}
    settings = Settings.load(openai_base_url=provider, openai_api_key="none")
    opened = await open_chat_model("fake", settings)
    said = "Hello, how are you?"
    found["provider"] = await spent(lambda _: opened.model.ainvoke([HumanMessage(said)]), count)
    answer = AIMessage(" ".join(f"word{i}" for i in range(32)))
    scripted = ScriptedChatModel(script=lambda *_: answer)
    found["scripted"] = await spent(lambda _: scripted.ainvoke([HumanMessage(said)]), count)
    for name, memory in (("", False), (" and memory", True)):
        with tempfile.TemporaryDirectory() as directory:
            options: dict[str, Any] = {"storage_dir": Path(directory), "enable_memory": memory}
            async with AgentGraph(chat_model=scripted, embeddings=HashEmbeddings(), **options) as app:
                if not memory:
                    found["one-off"] = await spent(lambda _: app.run(said, tenant="acme"), count)
                found[f"thread{name}"] = await spent(
                    lambda n: app.run(said, tenant="acme", thread=f"t{n // 10}"), count
                )
    await opened.close()
    return found


def budget(found: dict[str, tuple[float, float]], served: Load) -> Table:
    """Return what each layer costs on top of those below it."""
    table = Table(title="A turn on a thread: what each part costs, in ms", title_justify="left")
    for column in ("part", "best wall", "CPU", "what would halve it"):
        table.add_column(column, justify="left" if column in {"part", "what would halve it"} else "right")
    part = {name: found[name] for name in ("provider", "scripted", "one-off", "thread", "thread and memory")}

    def less(name: str, below: str) -> tuple[float, float]:
        return part[name][0] - part[below][0], part[name][1] - part[below][1]

    in_process = part["thread"][1] - part["scripted"][1] + part["provider"][1]
    in_process_wall = part["thread"][0] - part["scripted"][0] + part["provider"][0]
    rows = [
        (
            "provider client",
            part["provider"],
            "a third is the wire; the rest LangChain's callbacks and messages",
        ),
        ("graph and run", less("one-off", "scripted"), "fewer supersteps: 0.12 ms a node, 0.18 ms an invocation"),
        ("checkpoint, lease, journal", less("thread", "one-off"), "storage_sync=normal, or one commit a turn, not two"),
        (
            "HTTP",
            (served.min_ms - in_process_wall, served.cpu_ms - in_process),
            "a route beside FastAPI's; C++ or Rust",
        ),
        ("memory, on top", less("thread and memory", "thread"), "a cached or smaller embedder"),
    ]
    for name, (wall, cpu), advice in rows:
        table.add_row(name, f"{wall:.2f}", f"{cpu:.2f}", advice)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="requests at one connection")
    parser.add_argument("--litellm", metavar="PYTHON", help="of an environment with litellm[proxy]")
    parser.add_argument("--brain-proxy", metavar="PYTHON", help="of an environment with brain-proxy and uvicorn")
    parser.add_argument("--only", default="", help="names of gateways that are measured, by a part of them")
    arguments = parser.parse_args()
    console = Console(width=155)
    prompt, slow = free_port(), free_port()
    measured: dict[str, dict[str, Load]] = {}
    with ExitStack() as resources:
        directory = resources.enter_context(tempfile.TemporaryDirectory())
        for port, delay in ((prompt, 0), (slow, DELAY_MS)):
            upstream = [str(HERE / "upstream.py"), "--port", str(port), "--delay-ms", str(delay)]
            resources.enter_context(running(upstream, port))
        providers = [f"http://127.0.0.1:{port}/v1" for port in (prompt, slow)]
        for gateway in gateways(directory, arguments, console):
            if measured and arguments.only not in gateway.name:
                continue
            try:
                measured[gateway.name] = loads(gateway, *providers, arguments.count)
            except (SystemExit, OSError, TimeoutError, subprocess.SubprocessError) as error:
                console.print(f"failed: {gateway.name}: {error}")
                continue
            one, many = measured[gateway.name]["c1"], measured[gateway.name]["c64"]
            console.print(f"measured: {gateway.name}: {one.cpu_ms:.2f} ms CPU at c=1, {many.cpu_ms:.2f} at 64")
        console.print(shown(measured))
        if (thread := measured.get("agentgraph thread")) is not None:
            console.print(budget(uvloop.run(layers(providers[0], arguments.count)), thread["c1"]))
    aims = Table("aim", "", title="Aims", title_justify="left")
    for what, aim in AIMS.items():
        aims.add_row(what, aim)
    console.print(aims)


if __name__ == "__main__":
    main()
