"""The temperature of a call whose caller chose none: the more tools a model is shown, the less it should wander."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel

__all__ = ["temperature_for"]


def temperature_for(model: BaseChatModel, active_tools: int) -> float | None:
    """Return `max(0.1, 1.0 - 0.1 * active_tools)`, or `None` where none is to be sent.

    None is sent without tools, to a model that was made with one, and to a model whose profile does not say that it
    takes one: reasoning models refuse the request.

    Args:
        model: The model.
        active_tools: How many tools it is shown, the server's and the caller's.

    Source: brainproxy, whose formula this is.
    """
    profile: Any = model.profile or {}
    if active_tools == 0 or profile.get("temperature") is not True or getattr(model, "temperature", None) is not None:
        return None
    return max(0.1, round(1.0 - 0.1 * active_tools, 1))
