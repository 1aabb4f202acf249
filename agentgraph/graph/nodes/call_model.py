"""Call the chat model, piece by piece where the caller wants it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import uuid4

from langchain_core.exceptions import ModelAPIError, ModelError
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import Runnable
from langgraph.runtime import Runtime

from agentgraph.events import AnswerCompleted, FinishReason, TextDelta, ToolCallDelta, Usage
from agentgraph.graph.context import RunContext, tell
from agentgraph.graph.prompt import build_prompt
from agentgraph.graph.state import AgentState
from agentgraph.graph.storable import storable
from agentgraph.graph.temperature import temperature_for
from agentgraph.graph.untrusted import untrusted_of
from agentgraph.graph.written_calls import WrittenCalls
from agentgraph.plain import ReadablePieces
from agentgraph.threads.truncate import tokens_in

__all__ = ["call_model"]

_FINISH: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
}


async def call_model(
    state: AgentState,
    runtime: Runtime[RunContext],
    *,
    temporal_awareness: bool = True,
    live_window_tokens: int | None = None,
    dynamic_temperature: bool = False,
) -> AgentState:
    """Send the prompt and return the model's message.

    Raises:
        langchain_core.exceptions.ModelError: The vendor failed. Retried by the graph where it says it may be, and only
            before the first piece of an answer has been handed out.
    """
    context = runtime.context
    turns = state.get("turns", 0) + 1
    prompt = build_prompt(state, context, temporal_awareness=temporal_awareness, live_window_tokens=live_window_tokens)
    schemas = _schemas(state, context, final=turns >= context.max_turns)
    model, parameters = _with_tools(state, context, schemas), dict(context.model_parameters)
    if dynamic_temperature and "temperature" not in parameters:
        temperature = temperature_for(context.model, len(schemas))
        parameters |= {} if temperature is None else {"temperature": temperature}
    try:
        if context.stream:
            answer = await _streamed(model, prompt, parameters, runtime)
        else:
            answer = await model.ainvoke(prompt, **parameters)
    except ModelError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # What a vendor's class raises when the answer is not of the vendor's form.
        unreadable = ModelAPIError(f"the model's answer could not be read ({type(error).__name__})")
        unreadable.is_retryable = False
        raise unreadable from error
    answer = storable(answer.model_copy(update={"id": f"msg-{uuid4().hex}", "name": None}))
    tell(runtime, _completed(answer, [*state.get("messages", []), answer]))
    # What the model has read by now may have told it what to call, in this turn or a later one.
    untrusted = untrusted_of(state, context)
    kept: AgentState = {"untrusted": untrusted} if untrusted != state.get("untrusted", []) else {}
    return {"messages": [answer], "turns": turns, **kept}


def _schemas(state: AgentState, context: RunContext, *, final: bool) -> Sequence[Mapping[str, Any]]:
    """Return what the model may call: the offered server tools, then the caller's. The last turn of a run has none."""
    if final or context.tool_choice == "none":
        return ()
    names = [name for name in state.get("offered_tools", []) if name in context.tools]
    offered = [context.tools.schema(name) for name in names if name not in context.hidden_tools]
    return [*offered, *context.client_tools]


def _with_tools(
    state: AgentState, context: RunContext, schemas: Sequence[Any]
) -> Runnable[LanguageModelInput, AIMessage]:
    if not schemas:
        return context.model
    # A choice the caller forces is for the first call: forced again after the result, the run could never end.
    choice = context.tool_choice if state.get("turns", 0) == 0 else None
    if choice is None:
        return context.model.bind_tools(schemas)
    # LangChain types the choice as a string; every vendor's class takes OpenAI's object too.
    return context.model.bind_tools(schemas, tool_choice=cast("str", choice))


async def _streamed(
    model: Runnable[LanguageModelInput, AIMessage],
    prompt: list[BaseMessage],
    parameters: Mapping[str, Any],
    runtime: Runtime[RunContext],
) -> AIMessage:
    client_tools = runtime.context.client_tool_names
    calls = WrittenCalls()
    pieces: list[AIMessageChunk] = []
    said = ReadablePieces()
    try:
        async for piece in model.astream(prompt, **parameters):
            # Models that do not stream answer with a whole message.
            chunk = piece if isinstance(piece, AIMessageChunk) else AIMessageChunk(**piece.model_dump(exclude={"type"}))
            pieces.append(chunk)
            if text := said.add(str(chunk.text)):
                tell(runtime, TextDelta(text=text))
            for call in chunk.tool_call_chunks:
                placed = calls.add(call)
                tell(
                    runtime,
                    ToolCallDelta(
                        index=placed.index,
                        tool_call_id=placed.call_id,
                        name=placed.name,
                        arguments=placed.arguments,
                        is_client_tool=placed.whole_name in client_tools,
                    ),
                )
            if chunk.tool_call_chunks:
                pieces[-1] = chunk.model_copy(update={"tool_call_chunks": [], "tool_calls": []})
    except Exception as error:
        if pieces:
            # A repetition would say the beginning twice.
            error.is_retryable = False  # type: ignore[attr-defined]
        raise
    if text := said.rest():
        tell(runtime, TextDelta(text=text))
    whole = pieces[0] if len(pieces) == 1 else pieces[0] + pieces[1:] if pieces else AIMessageChunk(content="")
    written = calls.message()
    return AIMessage(
        content=whole.content,
        tool_calls=written.tool_calls,
        invalid_tool_calls=written.invalid_tool_calls,
        usage_metadata=whole.usage_metadata,
        response_metadata=whole.response_metadata,
        additional_kwargs={k: v for k, v in whole.additional_kwargs.items() if k != "tool_calls"},
    )


def _completed(answer: AIMessage, history: Sequence[BaseMessage]) -> AnswerCompleted:
    metadata = answer.response_metadata
    told = str(metadata.get("finish_reason") or metadata.get("stop_reason") or "").lower()
    usage = answer.usage_metadata
    calls = [{"id": call["id"], "name": call["name"], "args": call["args"]} for call in answer.tool_calls]
    # Arguments that are no JSON still reach the caller, who alone can say what was meant.
    calls += [{"id": call["id"], "name": call["name"], "args": call["args"]} for call in answer.invalid_tool_calls]
    return AnswerCompleted(
        message_id=str(answer.id),
        text=str(answer.text),
        tool_calls=tuple(calls),
        finish_reason=_FINISH.get(told, "tool_calls" if calls else "stop"),
        usage=Usage(
            input_tokens=usage["input_tokens"] if usage else 0, output_tokens=usage["output_tokens"] if usage else 0
        ),
        history_tokens=tokens_in(history),
        history_messages=len(history),
        response_metadata=metadata,
    )
