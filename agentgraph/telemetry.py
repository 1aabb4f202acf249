"""Traces of runs in OpenTelemetry's words for generative AI: runs, nodes, model calls and tools.

One function of the run's events, as every wire format. Spans hold names, counts and times; no prompt, no answer, no
tool's arguments and no error's text ever enters one, whatever is set. The SDK is imported where telemetry is on.

Source: https://github.com/open-telemetry/semantic-conventions-genai (spans `invoke_agent`, `chat`, `execute_tool`).
"""

from __future__ import annotations

import hashlib
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from agentgraph.errors import ConfigurationError, MissingExtraError
from agentgraph.events import (
    AnswerCompleted,
    NodeFinished,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
    Usage,
)
from agentgraph.run import RunRequest
from agentgraph.runs.observer import Hear
from agentgraph.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

__all__ = ["Traces", "error_type", "open_traces"]

_MODEL_NODE: Final = "call_model"
_DIGITS: Final = 16


def error_type(error: BaseException) -> str:
    """Return what an error is called where its text must not go."""
    return str(getattr(error, "code", None) or type(error).__name__)


def open_traces(settings: Settings) -> Traces | None:
    """Return the traces that `otel_enabled` asks for; `None` where it does not.

    Raises:
        MissingExtraError: The `telemetry` extra is not installed.
        ConfigurationError: The endpoint is none.
    """
    if not settings.otel_enabled:
        return None
    try:
        exporter = _exporter(settings)
    except ImportError as error:
        raise MissingExtraError("telemetry", needed_for="OTEL_ENABLED") from error
    return Traces(exporter, tenants=settings.telemetry_tenants, is_immediate=settings.otel_exporter_type == "console")


def _exporter(settings: Settings) -> SpanExporter:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    if settings.otel_exporter_type == "console":
        return ConsoleSpanExporter(formatter=lambda span: span.to_json(indent=None) + "\n")
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    endpoint = settings.otel_endpoint
    if not endpoint or " " in endpoint:
        raise ConfigurationError(f"otel_endpoint {endpoint!r} is no address; use 'localhost:4317'")
    return OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=5)


class Traces:
    """Makes spans and sends them, in the background.

    Args:
        exporter: Where to; closed with this.
        tenants: Whether tenants and threads are told by name, by a digest, or not at all.
        is_immediate: Export each span as it ends, instead of in batches: for a console.
    """

    def __init__(self, exporter: SpanExporter, *, tenants: str = "hashed", is_immediate: bool = False) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        # An application of one's own may have a provider of its own: the global one is not touched.
        resource = Resource.create({"service.name": "agentgraph", "service.version": _version()})
        self._provider: TracerProvider = TracerProvider(resource=resource, shutdown_on_exit=False)
        processor = SimpleSpanProcessor if is_immediate else BatchSpanProcessor
        self._provider.add_span_processor(processor(exporter))
        self._tenants = tenants
        self.tracer: Tracer = self._provider.get_tracer("agentgraph")

    def begun(self, request: RunRequest, run_id: str) -> Hear:
        """Return what makes the spans of a run, below the span that is current here."""
        from opentelemetry.context import get_current

        return _RunSpans(self.tracer, request, run_id, self.named, get_current()).hear

    def lease_lost(self, run_id: str) -> None:
        """Note it as a span of no length: the run's own never ends here."""
        self.tracer.start_span("lease lost", attributes={"agentgraph.run.id": run_id}).end()

    def named(self, name: str | None) -> str | None:
        """Return what a tenant or a thread is called here."""
        if name is None or self._tenants == "plain":
            return name
        return hashlib.sha256(name.encode()).hexdigest()[:_DIGITS] if self._tenants == "hashed" else None

    def close(self) -> None:
        """Send what is left, within the exporter's time, and stop."""
        self._provider.shutdown()


class _RunSpans:
    """The spans of one run."""

    def __init__(self, tracer: Tracer, request: RunRequest, run_id: str, named: Any, parent: Context) -> None:
        self._tracer = tracer
        self._parent = parent
        self._began = time.time_ns()
        self._first_text: int | None = None
        self._model = ""
        self._answer: AnswerCompleted | None = None
        self._tools: dict[str, int] = {}
        self._usage = Usage()
        scope = request.scope
        thread = scope.session or scope.thread
        told = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": scope.agent,
            "gen_ai.conversation.id": named(thread and f"{scope.tenant}/{thread}"),
            "agentgraph.tenant": named(scope.tenant),
            "agentgraph.run.id": run_id,
            "gen_ai.request.stream": request.stream,
        }
        self._run: Span = tracer.start_span(
            f"invoke_agent {scope.agent}",
            context=parent,
            start_time=self._began,
            attributes={name: value for name, value in told.items() if value is not None},
        )

    def hear(self, event: RunEvent) -> None:
        now = time.time_ns()
        match event:
            case RunStarted():
                self._model = event.model
                self._run.set_attributes(_model_attributes(event.model))
            case TextDelta():
                self._first_text = self._first_text or now
            case AnswerCompleted():
                self._answer = event
                self._usage += event.usage
            case ToolStarted():
                self._tools[event.tool_call_id] = now
            case ToolFinished():
                self._tool(event, now)
            case NodeFinished():
                self._node(event, now)
            case RunFinished():
                self._end(now, {"agentgraph.run.cancelled": event.is_cancelled}, error=None)
            case RunFailed():
                self._end(now, {}, error=event.error)
            case _:
                pass

    def _node(self, event: NodeFinished, now: int) -> None:
        began = now - int(event.duration_ms * 1e6)
        if event.node != _MODEL_NODE:
            self._span(f"node {event.node}", began, now, {"agentgraph.node": event.node})
            return
        answer, self._answer = self._answer, None
        told: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "agentgraph.node": event.node,
            **_model_attributes(self._model),
        }
        if answer is None:
            told["error.type"] = "model_error"
        else:
            told |= {
                "gen_ai.response.finish_reasons": (answer.finish_reason,),
                "gen_ai.usage.input_tokens": answer.usage.input_tokens,
                "gen_ai.usage.output_tokens": answer.usage.output_tokens,
            }
        if self._first_text is not None and self._first_text >= began:
            told["gen_ai.response.time_to_first_chunk"] = (self._first_text - began) / 1e9
        self._first_text = None
        self._span(f"chat {self._model}", began, now, told, is_client=True)

    def _tool(self, event: ToolFinished, now: int) -> None:
        told = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": event.name,
            "gen_ai.tool.call.id": event.tool_call_id,
            "gen_ai.tool.type": "function",
        }
        if event.status == "error":
            told["error.type"] = "tool_error"
        began = self._tools.pop(event.tool_call_id, now - int(event.duration_ms * 1e6))
        self._span(f"execute_tool {event.name}", began, now, told)

    def _span(self, name: str, began: int, ended: int, told: dict[str, Any], *, is_client: bool = False) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        span = self._tracer.start_span(
            name,
            context=set_span_in_context(self._run, self._parent),
            kind=SpanKind.CLIENT if is_client else SpanKind.INTERNAL,
            start_time=began,
            attributes=told,
        )
        if "error.type" in told:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    def _end(self, now: int, told: dict[str, Any], *, error: Exception | None) -> None:
        from opentelemetry.trace import Status, StatusCode

        told |= {
            "gen_ai.usage.input_tokens": self._usage.input_tokens,
            "gen_ai.usage.output_tokens": self._usage.output_tokens,
        }
        if error is not None:
            told["error.type"] = error_type(error)
            self._run.set_status(Status(StatusCode.ERROR))
        self._run.set_attributes(told)
        self._run.end(now)


def _model_attributes(spec: str) -> dict[str, str]:
    provider, slash, model = spec.partition("/")
    if not slash:
        return {"gen_ai.request.model": spec}
    return {"gen_ai.provider.name": provider, "gen_ai.request.model": model}


def _version() -> str:
    try:
        return version("agentgraph")
    except PackageNotFoundError:
        return "unknown"
