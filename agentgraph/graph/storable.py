"""Make what models and tools write fit for a checkpoint: nothing is lost of a turn for a strange argument."""

from __future__ import annotations

from langchain_core.messages import AIMessage

from agentgraph.plain import kept_message, readable

__all__ = ["storable", "storable_text"]


def storable(answer: AIMessage) -> AIMessage:
    """Return `answer` as every checkpointer can keep it; never raises.

    Text loses NUL and lone surrogates. A call whose arguments cannot be kept becomes an invalid call, which says why
    and keeps them as text where it can.
    """
    return kept_message(answer)


def storable_text(output: str) -> str:
    """Return a tool's output as every checkpointer can keep it."""
    return readable(output)
