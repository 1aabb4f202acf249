"""`agentgraph demo`: a conversation over several days, on disk, with a clock that the demo moves.

Between two days the agent is closed and opened again, and every day has a thread of its own: what is known on the next
day comes from memory.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from agentgraph._sync import run_sync
from agentgraph.app import AgentGraph
from agentgraph.cli.invocation import Invocation
from agentgraph.cli.progress import DownloadProgress
from agentgraph.cli.render import RunView, receipt
from agentgraph.cli.script import ACTS, Act
from agentgraph.cli.turn import Turn, play
from agentgraph.events import RunEvent
from agentgraph.scope import tenant_directory
from agentgraph.settings import Settings
from agentgraph.testing.clock import FrozenClock
from agentgraph.tools.builtin import builtin_tools

__all__ = ["run_demo"]

_TENANT: Final = "demo"
_ZONE: Final = "UTC"
# The same question gets the same answer: what the demo shows is memory, not luck.
_PARAMETERS: Final = {"temperature": 0, "max_tokens": 200}


def run_demo(
    invocation: Invocation,
    *,
    yes: bool = False,
    as_json: bool = False,
    model: str | None = None,
    storage: Path | None = None,
    keep: bool = False,
) -> None:
    """Play the conversation.

    Args:
        invocation: The options before the command.
        yes: Do not pause between the acts.
        as_json: Write one JSON object a turn to stdout, and nothing else.
        model: `provider/model`; by default the one every command would use.
        storage: Where to keep everything; by default a temporary directory.
        keep: Leave the temporary directory behind.

    Raises:
        AgentGraphError: There is no model to be had, or the storage cannot be used.
    """
    console = Console(quiet=as_json)
    with _storage(storage, keep=keep) as directory, DownloadProgress(Console(stderr=True)) as progress:
        settings = invocation.settings(
            default_model=model, storage_dir=directory, timezone=_ZONE, tool_filter_threshold=0, find_tools=False
        )
        demo = _Demo(settings, console, progress, as_json=as_json)
        demo.introduce(is_kept=keep or storage is not None)
        for act in ACTS:
            demo.play(act)
            if not (yes or as_json or act is ACTS[-1]):
                _pause(console)
        demo.conclude(is_kept=keep or storage is not None)


class _Demo:
    """The conversation under way."""

    def __init__(self, settings: Settings, console: Console, progress: DownloadProgress, *, as_json: bool) -> None:
        self._settings = settings
        self._console = console
        self._progress = progress
        self._as_json = as_json
        self._clock = FrozenClock(ACTS[0].begins)
        self._tenant = _unused_tenant(settings.storage_dir)

    def introduce(self, *, is_kept: bool) -> None:
        storage = str(self._settings.storage_dir)
        until = "kept" if is_kept else "removed at the end; --keep keeps it"
        print_line = self._console.print
        print_line(Text("agentgraph demo", style="bold").append(" · one user, four days, one memory", style="not bold"))
        print_line(Text(f"storage {storage} ({until})", style="dim"), soft_wrap=True)

    def play(self, act: Act) -> None:
        """Open the agent, hold the act's conversation, and close it again with everything written."""
        self._clock.move_to(act.begins)
        agent = AgentGraph(self._settings, tools=builtin_tools(self._clock), clock=self._clock, progress=self._progress)
        try:
            run_sync(agent.open_model())
            if act.number == 1:
                self._console.print(Text(f"model   {agent.default_model}", style="dim"))
            self._console.print()
            self._console.print(Rule(Text(f"Act {act.number} · {act.title}", style="bold"), align="left", style="cyan"))
            opened = "a new thread" if act.number == 1 else "a new thread; the agent was closed and opened from disk"
            self._console.print(Text(opened, style="dim"))
            for number, said in enumerate(act.says):
                self._clock.move_to(act.now(number))
                self._turn(agent, act, said)
            run_sync(agent.settled())
        finally:
            agent.close()

    def conclude(self, *, is_kept: bool) -> None:
        if is_kept:
            self._console.print(Text(f"\nkept in {self._settings.storage_dir}", style="dim"), soft_wrap=True)

    def _turn(self, agent: AgentGraph, act: Act, said: str) -> None:
        now = self._clock()
        console = self._console
        console.print()
        console.print(Text(f"{now:%A} {now.day} {now:%B %Y, %H:%M} {_ZONE}", style="dim"))
        console.print(Text("you     ", style="bold green").append(said, style="not bold default"))
        view = RunView(console)

        def show(event: RunEvent) -> None:
            if not self._as_json:
                view.on(event)

        events = agent.stream_sync(said, tenant=self._tenant, thread=act.thread, parameters=_PARAMETERS)
        turn = play(events, show)
        if self._as_json:
            self._write(act, said, turn)
        else:
            console.print(receipt(turn.result, zone=_ZONE, tools_left_out=turn.tools_left_out))

    def _write(self, act: Act, said: str, turn: Turn) -> None:
        played = {"act": act.number, "now": self._clock().isoformat(), "thread": act.thread, "user": said}
        record: dict[str, Any] = played | turn.as_record()
        sys.stdout.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE).decode())
        sys.stdout.flush()


@contextmanager
def _storage(directory: Path | None, *, keep: bool) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    made = Path(tempfile.mkdtemp(prefix="agentgraph-demo-"))
    try:
        yield made
    finally:
        if not keep:
            shutil.rmtree(made, ignore_errors=True)


def _unused_tenant(storage_dir: Path) -> str:
    """Play as a tenant of its own: an earlier demo in the same place must not be remembered."""
    names = (_TENANT if number == 1 else f"{_TENANT}-{number}" for number in range(1, 1_000_000))
    return next(name for name in names if not tenant_directory(storage_dir, name).exists())


def _pause(console: Console) -> None:
    if not (sys.stdin.isatty() and console.is_terminal):
        return
    console.print()
    try:
        console.input(Text("Enter goes on to the next day ", style="dim"))
    except EOFError:
        console.print()
