"""Spans of requests: by route, around their runs, continuing the caller's trace."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentgraph import telemetry
from tests.server.conftest import Serve

pytestmark = pytest.mark.integration
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The spans that leave, instead of a collector's."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(telemetry, "_exporter", lambda _: exporter)

    def spans() -> dict[str, ReadableSpan]:
        return {span.name: span for span in exporter.get_finished_spans()}

    return spans


@pytest.mark.parametrize("thread", [{}, {"x-thread-id": "secret-thread"}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_a_span_around_its_run(serve: Serve, exported: Any, thread: dict[str, str], stream: bool) -> None:
    served = serve(["Hi"], otel_enabled=True, otel_exporter_type="console")
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", **thread}
    response = served.chat("secret-tenant", headers=headers, stream=stream)
    assert response.status_code == 200
    spans = exported()
    request = next(span for name, span in spans.items() if name.startswith("POST /v1/"))
    run = spans["invoke_agent default"]
    assert run.parent is not None
    assert run.parent.span_id == request.context.span_id
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE}
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["agentgraph.request.id"] == response.headers["x-request-id"]
    assert "secret" not in "".join(span.to_json() for span in spans.values())


def test_errors_and_paths_nobody_serves_are_spans_too(serve: Serve, exported: Any) -> None:
    served = serve([], otel_enabled=True, otel_exporter_type="console")
    served.http.get("/secret")
    served.chat()
    statuses = {
        name: span.attributes.get("http.response.status_code")
        for name, span in exported().items()
        if span.attributes and "http.request.method" in span.attributes
    }
    assert statuses.pop("GET") == 404
    assert list(statuses.values()) == [500]


def test_nothing_is_imported_where_it_is_off() -> None:
    import subprocess
    import sys

    code = (
        "import sys, agentgraph.server.app; sys.exit('opentelemetry.exporter' in sys.modules or 'grpc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
