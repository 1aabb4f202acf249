"""Choose which of many tools the model is shown this turn, and say of each why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.runtime import Runtime

from agentgraph.events import ToolReceipt, ToolsOffered
from agentgraph.graph.context import RunContext, tell
from agentgraph.graph.state import AgentState
from agentgraph.tools.find_tools import FIND_TOOLS, FindTools
from agentgraph.tools.model_filter import CANDIDATES, ModelFilter, Reranking
from agentgraph.tools.selection import RankedTool
from agentgraph.tools.toolset import ToolSet

__all__ = ["filter_tools"]

_RECENT: Final = 3  # user messages that say what the conversation is about
_FLOOR: Final = 0.1  # below this a tool has a stray word in common, not a purpose
_MOST_LEFT_OUT: Final = 50  # receipts


async def filter_tools(
    state: AgentState,
    runtime: Runtime[RunContext],
    *,
    threshold: int = 8,
    top_k: int = 5,
    model_filter: ModelFilter | None = None,
) -> AgentState:
    """Offer all of a handful of tools, else those that are pinned, were called, or that the recent turns call for.

    What a thread has once been offered stays offered: the list only grows, in the order it grew, so that vendors'
    prompt caches hold. A tool that is gone keeps its place in it, for its return.

    Args:
        state: The thread.
        runtime: Whose `context.tools` there are.
        threshold: Up to so many tools nothing is filtered, those that are pinned not counted.
        top_k: How many of the best ranked are offered.
        model_filter: Chooses among the best ranked instead.
    """
    context = runtime.context
    tools = context.tools
    if not len(tools):
        return {}
    finder = FIND_TOOLS if isinstance(tools.get(FIND_TOOLS), FindTools) else None
    hidden = {*context.hidden_tools, *([finder] if finder else [])}
    receipts = {name: _receipt(name, reason) for name, reason in _kept(state, context) if name not in hidden}
    left_out: list[ToolReceipt] = []
    reranked: Reranking | None = None
    is_few = len(tools) - len(tools.pinned) - (finder is not None) <= threshold
    if is_few:
        receipts = {name: _receipt(name, "few") for name in (*receipts, *tools.names) if name not in hidden}
    else:
        turns = _recent_turns(state)
        found = await tools.rank(turns, limit=top_k + CANDIDATES + _MOST_LEFT_OUT + len(hidden) + len(tools.pinned))
        found = [tool for tool in found if tool.name not in hidden and tool.name not in tools.pinned]
        chosen, reranked = await _chosen(found, turns, tools, top_k, model_filter)
        by = "model" if reranked == "model" else "ranking"
        for tool in chosen:
            receipts.setdefault(tool.name, _receipt(tool.name, "ranked", tool.score, by=by))
        left_out = list(_left_out(found, receipts, tools, hidden))
        if finder and left_out:
            receipts[finder] = _receipt(finder, "pinned")
    before = state.get("offered_tools", [])
    names = list(dict.fromkeys([*before, *receipts]))
    offered = [name for name in names if name in receipts]
    tell(
        runtime,
        ToolsOffered(
            offered=tuple(offered),
            left_out=tuple(receipt["name"] for receipt in left_out),
            left_out_count=len(tools) - len(receipts) - len(hidden - receipts.keys()),
            receipts=(*(receipts[name] for name in offered), *left_out),
            reranked=reranked,
        ),
    )
    return {"offered_tools": names} if names != before else {}


def _kept(state: AgentState, context: RunContext) -> Iterator[tuple[str, str]]:
    """Yield what is offered whatever the ranking says, and why."""
    tools = context.tools
    called = dict.fromkeys(_called(state, tools))
    choice = _name_of_choice(context.tool_choice)
    known = dict.fromkeys(name for name in state.get("offered_tools", []) if name in tools)
    for name in dict.fromkeys(
        [*known, *tools.pinned, *called, *([choice] if choice is not None and choice in tools else [])]
    ):
        if name in tools.pinned:
            yield name, "pinned"
        elif name in called:
            yield name, "history"
        elif name == choice:
            yield name, "tool_choice"
        else:
            yield name, "kept"


async def _chosen(
    found: list[RankedTool], turns: list[str], tools: ToolSet, top_k: int, model_filter: ModelFilter | None
) -> tuple[list[RankedTool], Reranking | None]:
    """Return the tools the recent turns call for, and how they were chosen; `None`: no model was asked."""
    ranked = [tool for tool in found if tool.score >= _FLOOR][:top_k]
    candidates = {tool.name: tool for tool in found[:CANDIDATES]}
    if model_filter is None or not candidates:
        return ranked, None
    names, reranked = await model_filter.chosen(turns, list(candidates), tools)
    return ranked if names is None else [candidates[name] for name in names[:top_k]], reranked


def _left_out(
    found: list[RankedTool], offered: Iterable[str], tools: ToolSet, hidden: Iterable[str]
) -> Iterator[ToolReceipt]:
    """Yield receipts of the best tools that are not offered."""
    seen = {*offered, *hidden}
    count = 0
    for tool in found:
        if count >= _MOST_LEFT_OUT:
            return
        if tool.name not in seen:
            seen.add(tool.name)
            count += 1
            reason = "beyond_top_k" if tool.score >= _FLOOR else "below_floor"
            yield _receipt(tool.name, reason, tool.score, offered=False)
    for name in tools.names:
        if count >= _MOST_LEFT_OUT:
            return
        if name not in seen:
            count += 1
            yield _receipt(name, "below_floor", 0.0, offered=False)


def _receipt(
    name: str, reason: str, score: float | None = None, *, offered: bool = True, by: str | None = None
) -> ToolReceipt:
    return {"name": name, "offered": offered, "reason": reason, "score": score, **({"by": by} if by else {})}


def _called(state: AgentState, tools: ToolSet) -> Iterator[str]:
    for message in state.get("messages", []):
        if isinstance(message, AIMessage):
            yield from (call["name"] for call in message.tool_calls if call["name"] in tools)


def _name_of_choice(choice: Any) -> str | None:
    """Return the tool a caller's `tool_choice` names, as OpenAI spells it."""
    if isinstance(choice, str):
        return choice
    function = choice.get("function") if isinstance(choice, dict) else None
    return function.get("name") if isinstance(function, dict) else None


def _recent_turns(state: AgentState) -> list[str]:
    said = [str(message.text) for message in state.get("messages", []) if isinstance(message, HumanMessage)]
    return said[-_RECENT:]
