"""Keep the live window bounded: what is too old to be sent word for word leaves for the archive.

Three tiers remain of a long thread: the live window verbatim, summaries of the stretches before it, and one summary of
all that is older. Nothing leaves before its summary stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import BaseMessage, RemoveMessage
from langgraph.runtime import Runtime

from agentgraph.graph.context import RunContext
from agentgraph.graph.state import AgentState
from agentgraph.graph.summariser import Summariser
from agentgraph.memory.quoted import quoted
from agentgraph.threads.history import archive_gap, departure
from agentgraph.threads.truncate import Strategy, leaving, stretches

__all__ = ["summarize"]


async def summarize(
    state: AgentState,
    runtime: Runtime[RunContext],
    *,
    strategy: Strategy = "summarize",
    live_window_tokens: int = 6_000,
    max_messages: int | None = None,
    middle_summaries: int = 4,
    timeout_s: float = 120.0,
) -> AgentState:
    """Take out of an overlong window what its strategy says; where a summary fails, replace nothing.

    Args:
        state: The thread as it stands after an answer.
        runtime: Its `context.model` writes summaries.
        strategy: How the window is shortened; only `summarize` calls the model.
        live_window_tokens: How long the window may be; also how much the model is asked to summarise at once.
        max_messages: How many messages it may hold; `None` for any number.
        middle_summaries: How many stretches keep a summary of their own; the oldest beyond are folded into the whole.
        timeout_s: How long one model call may take.
    """
    live = state.get("messages", [])
    tail, after = state.get("archive_tail"), state.get("archive_after")
    gap = archive_gap(live, tail, after)
    going = leaving(live, strategy, max_tokens=live_window_tokens, max_messages=max_messages, gap=gap)
    tiers: AgentState = {}
    if going and strategy == "summarize":
        summariser = Summariser(runtime.context, live_window_tokens, timeout_s)
        going, tiers = await _told(state, live[: going.stop], summariser, middle_summaries)
    if not going:
        return {}
    gone = departure(live, going, tail=tail, after=after)
    return {
        **tiers,
        "messages": [RemoveMessage(id=str(live[i].id)) for i in going],
        "archived": gone.archived,
        "archive_tail": gone.tail,
        "archive_after": gone.after,
    }


async def _told(
    state: AgentState, older: Sequence[BaseMessage], summariser: Summariser, most: int
) -> tuple[range, AgentState]:
    """Return how many of `older` now stand in summaries, and the summaries; none and nothing where the model fails."""
    whole, summaries, told = state.get("summary", ""), list(state.get("summaries", [])), range(0)
    for stretch in stretches(older, max_tokens=summariser.max_tokens):
        messages = older[stretch.start : stretch.stop]
        text = await summariser.prose(line for message in messages for line in summariser.lines(message))
        if text is None:
            break  # what stands before it is told; the next turn tries the rest again
        first, last = str(messages[0].id), str(messages[-1].id)
        summaries.append({"text": text, "messages": len(messages), "first_id": first, "last_id": last})
        told = range(stretch.stop)
    if told and len(summaries) > most:
        # Half at once, so that the whole, with which the prompt begins, seldom changes.
        folding = len(summaries) - (most + 1) // 2
        folded, summaries = summaries[:folding], summaries[folding:]
        earlier = [text for text in (whole, *(summary["text"] for summary in folded)) if text]
        text = earlier[0] if len(earlier) == 1 else await summariser.prose(f"Earlier: {quoted(t)}" for t in earlier)
        if text is None:
            return range(0), {}
        whole = text
    return told, {"summary": whole, "summaries": summaries} if told else {}
