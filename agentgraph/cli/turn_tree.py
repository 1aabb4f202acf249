"""Which of a thread's checkpoints are shown, and which of those each follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentgraph.runs.threads import CheckpointInfo

__all__ = ["Place", "places"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A checkpoint that is shown.

    Attributes:
        info: The checkpoint.
        follows: The shown one it follows; `None` for a first one.
    """

    info: CheckpointInfo
    follows: str | None


def places(checkpoints: Sequence[CheckpointInfo], *, with_steps: bool = False) -> list[Place]:
    """Return the ends of turns, where lines end and where the thread stands; the first written first.

    Args:
        checkpoints: The last written first.
        with_steps: Return those within turns as well.
    """
    by_id = {info.checkpoint_id: info for info in checkpoints}
    followed = {info.parent_id for info in checkpoints}

    def is_shown(info: CheckpointInfo) -> bool:
        is_end_of_turn = bool(info.messages) and not info.next
        return with_steps or info.is_head or is_end_of_turn or info.checkpoint_id not in followed

    def before(info: CheckpointInfo) -> str | None:
        parent = by_id.get(info.parent_id or "")
        while parent is not None and not is_shown(parent):
            parent = by_id.get(parent.parent_id or "")
        return None if parent is None else parent.checkpoint_id

    return [Place(info=info, follows=before(info)) for info in reversed(checkpoints) if is_shown(info)]
