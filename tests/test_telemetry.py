"""Traces: which spans there are, what stands in them, and what never does."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentgraph import AgentGraph
from agentgraph.events import RunEvent
from agentgraph.telemetry import Traces
from agentgraph.testing import HashEmbeddings, ScriptedChatModel

CANARY = "canary-4711"


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    if "fail" in word:
        raise RuntimeError(f"{CANARY} is not known")
    return f"{CANARY} means nothing"


def script(word: str = CANARY) -> list[Any]:
    call = {"id": "call-1", "name": "look_up", "args": {"word": word}}
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    return [AIMessage("", tool_calls=[call], usage_metadata=usage), AIMessage(CANARY, usage_metadata=usage)]


async def traced(path: Path, steps: Any, *, tenants: str = "hashed", **options: Any) -> dict[str, ReadableSpan]:
    exporter = InMemorySpanExporter()
    traces = Traces(exporter, tenants=tenants, is_immediate=True)
    model = ScriptedChatModel(script=steps)
    async with AgentGraph(chat_model=model, embeddings=HashEmbeddings(), tools=[look_up], storage_dir=path) as app:
        app.observe(traces)
        with suppress(RuntimeError):
            await app.run(f"What is {CANARY}?", tenant="acme", **options)
    spans = exporter.get_finished_spans()
    assert CANARY not in "".join(span.to_json() for span in spans)
    return {span.name: span for span in spans}


@pytest.mark.parametrize("thread", [None, "t1"])
async def test_a_run_is_one_span_with_its_steps_below(tmp_path: Path, thread: str | None) -> None:
    spans = await traced(tmp_path, script(), thread=thread, stream=True)
    run = spans.pop("invoke_agent default")
    assert {"chat ScriptedChatModel", "execute_tool look_up", "node execute_tools", "node filter_tools"} <= set(spans)
    assert {span.parent.span_id for span in spans.values() if span.parent} == {run.context.span_id}
    assert run.attributes is not None
    assert run.attributes["gen_ai.usage.input_tokens"] == 14
    assert run.attributes["gen_ai.operation.name"] == "invoke_agent"
    chat = spans["chat ScriptedChatModel"].attributes
    assert chat is not None
    assert chat["gen_ai.response.finish_reasons"] == ("stop",)
    assert chat["gen_ai.usage.output_tokens"] == 3
    assert chat["gen_ai.response.time_to_first_chunk"] >= 0
    assert all(run.start_time <= span.start_time <= span.end_time <= run.end_time for span in spans.values())


@pytest.mark.parametrize(("how", "told"), [("hashed", 16), ("plain", 4), ("none", None)])
async def test_tenants_are_told_as_is_set(tmp_path: Path, how: str, told: int | None) -> None:
    run = (await traced(tmp_path, ["Hi"], tenants=how, thread="t1"))["invoke_agent default"]
    assert run.attributes is not None
    tenant, thread = (run.attributes.get(name) for name in ("agentgraph.tenant", "gen_ai.conversation.id"))
    assert (tenant and len(tenant), tenant == "acme", thread == "acme/t1") == (told, how == "plain", how == "plain")


async def test_what_fails_is_told_by_its_type_alone(tmp_path: Path) -> None:
    spans = await traced(tmp_path, script("fail"))
    assert spans["execute_tool look_up"].attributes["error.type"] == "tool_error"  # type: ignore[index]
    assert not spans["invoke_agent default"].status.description

    def fail(*_: Any) -> Any:
        raise RuntimeError(f"the prompt was {CANARY}")

    spans = await traced(tmp_path / "b", fail)
    for name, kind in (("invoke_agent default", "RuntimeError"), ("chat ScriptedChatModel", "model_error")):
        assert spans[name].attributes["error.type"] == kind  # type: ignore[index]
        assert not spans[name].events


async def test_a_run_that_joins_another_has_no_span_of_its_own(tmp_path: Path) -> None:
    traces = Traces(exporter := InMemorySpanExporter(), is_immediate=True)
    model = ScriptedChatModel(script=["Hi"])
    async with AgentGraph(chat_model=model, enable_memory=False, storage_dir=tmp_path) as app:
        app.observe(traces)
        for _ in range(2):
            await app.run("Hello", tenant="acme", thread="t1", idempotency_key="k")
    assert [span.name for span in exporter.get_finished_spans()].count("invoke_agent default") == 1


async def test_an_observer_that_fails_breaks_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def begun(self, *_: Any) -> Any:
            def hear(_: RunEvent) -> None:
                raise RuntimeError

            return hear

        def lease_lost(self, _: str) -> None: ...

    model = ScriptedChatModel(script=["Hi"])
    async with AgentGraph(chat_model=model, enable_memory=False, storage_dir=tmp_path) as app:
        app.observe(Broken())
        assert (await app.run("Hello", tenant="acme")).text == "Hi"
    assert "an observer of run" in caplog.text


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.names: list[str] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.names += [s.name for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.mark.integration
async def test_a_collector_gets_the_spans(tmp_path: Path) -> None:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        options: dict[str, Any] = {"otel_enabled": True, "otel_endpoint": f"127.0.0.1:{port}"}
        model = ScriptedChatModel(script=["Hi"])
        async with AgentGraph(chat_model=model, enable_memory=False, storage_dir=tmp_path, **options) as app:
            await app.run("Hello", tenant="acme")
    finally:
        await asyncio.to_thread(server.stop(grace=5).wait)
    assert "invoke_agent default" in collector.names


@pytest.mark.integration
async def test_no_collector_holds_nobody_up(tmp_path: Path) -> None:
    options: dict[str, Any] = {"otel_enabled": True, "otel_endpoint": "127.0.0.1:1"}
    model = ScriptedChatModel(script=["Hi"])
    app = AgentGraph(chat_model=model, enable_memory=False, storage_dir=tmp_path, **options)
    async with asyncio.timeout(20):
        async with app:
            assert (await app.run("Hello", tenant="acme")).text == "Hi"
