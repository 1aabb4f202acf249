"""Show how far a model download has come: a bar on a terminal, a line now and then anywhere else. Always on stderr."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

__all__ = ["DownloadProgress"]

_STEP: Final = 0.1  # of the whole, between two lines where there is no terminal
_MEGA: Final = 1_000_000


class DownloadProgress:
    """What `AgentGraph(progress=…)` is told is shown; nothing is, where nothing is fetched.

    Use it as a context manager: the bar is taken away at the end, whatever happened.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._said = -1.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def __call__(self, done_bytes: int, total_bytes: int, source: str) -> None:
        """Take in how far the download from `source` has come."""
        if self._console.is_terminal:
            self._draw(done_bytes, total_bytes, source)
        else:
            self._say(done_bytes, total_bytes, source)

    def _draw(self, done_bytes: int, total_bytes: int, source: str) -> None:
        if self._bar is None or self._task is None:
            self._bar = Progress(
                TextColumn("fetching the model from {task.description}", markup=False),
                BarColumn(bar_width=None),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task(source, total=total_bytes or None)
            self._bar.start()
        self._bar.update(self._task, completed=done_bytes, total=total_bytes or None, description=source)
        if total_bytes and done_bytes >= total_bytes:
            self._end()

    def _say(self, done_bytes: int, total_bytes: int, source: str) -> None:
        share = done_bytes / total_bytes if total_bytes else 0.0
        is_over = bool(total_bytes) and done_bytes >= total_bytes
        if share < self._said:
            self._said = -1.0  # another source begins again
        if share < self._said + _STEP and not (is_over and self._said < 1.0):
            return
        self._said = 1.0 if is_over else share
        self._console.print(
            f"fetching the model from {source}: {done_bytes / _MEGA:,.0f} of {total_bytes / _MEGA:,.0f} MB",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None
