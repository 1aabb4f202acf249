"""Show how far some work has come: a bar on a terminal, a line now and then anywhere else. Always on stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["WorkBar"]

_BETWEEN_LINES_S: Final = 10.0


class WorkBar:
    """A bar from the first `update` to the end of the `with` block.

    Args:
        doing: What is being done: "importing".
        unit: What is counted: "rows".
        total: How much there is to do, in any measure; `None` where nobody knows.
    """

    def __init__(self, doing: str, *, unit: str, total: float | None = None) -> None:
        self._doing = doing
        self._unit = unit
        self._total = total
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(doing, total=total)
        self._said_at = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, count: int, *, done: float | None = None, total: float | None = None, of: str = "") -> None:
        """Take in how many units are done, and how much that is of the total."""
        total = self._total if total is None else total
        described = f"{self._doing} {of}: {count:,} {self._unit}" if of else f"{self._doing}: {count:,} {self._unit}"
        self._bar.update(self._task, description=described, completed=done, total=total)
        now = time.monotonic()
        if self._bar.disable and now - self._said_at >= _BETWEEN_LINES_S:
            self._said_at = now
            share = f" ({done / total:.0%})" if done is not None and total else ""
            self._console.print(f"{described}{share}", markup=False, highlight=False, soft_wrap=True)
