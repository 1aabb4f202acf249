"""`agentgraph chat`: talk with the agent in the terminal, or through a pipe, a line a message."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from langchain_core.exceptions import ModelError
from rich.console import Console
from rich.text import Text

from agentgraph._sync import run_sync
from agentgraph.app import AgentGraph
from agentgraph.cli.invocation import Invocation
from agentgraph.cli.progress import DownloadProgress
from agentgraph.cli.render import RunView, compact_receipt, safe
from agentgraph.cli.turn import play
from agentgraph.errors import AgentGraphError
from agentgraph.memory.record import recalled_from
from agentgraph.scope import Scope
from agentgraph.tools.builtin import builtin_tools

__all__ = ["run_chat"]

_HELP: Final = """\
/new       begin a new thread; memory stays
/memories  show what is remembered
/help      show this
/quit      leave (so does Ctrl-D); Ctrl-C stops an answer"""
_MOST_MEMORIES: Final = 50


def run_chat(
    invocation: Invocation,
    *,
    tenant: str = "default",
    user: str | None = None,
    thread: str | None = None,
    timezone: str | None = None,
    model: str | None = None,
) -> None:
    """Read messages until the input ends; answer each.

    Raises:
        AgentGraphError: An id or zone is not one, or there is no model to be had.
    """
    settings = invocation.settings(default_model=model, timezone=timezone)
    scope = Scope.parse(tenant, user=user, thread=thread or _new_thread())
    with DownloadProgress(Console(stderr=True)) as progress:
        agent = AgentGraph(settings, tools=builtin_tools(_present), progress=progress)
        try:
            run_sync(agent.open_model())
            _Chat(agent, scope, Console()).talk()
        finally:
            agent.close()


class _Chat:
    """One sitting at the terminal."""

    def __init__(self, agent: AgentGraph, scope: Scope, console: Console) -> None:
        self._agent = agent
        self._scope = scope
        self._console = console
        self._is_interactive = sys.stdin.isatty()

    def talk(self) -> None:
        """Answer until `/quit` or the end of the input."""
        if self._is_interactive:
            with suppress(ImportError):
                import readline  # noqa: F401  gives `input` a history and line editing
            self._say(f"{self._agent.default_model} · thread {self._scope.thread} · /help tells the commands")
        while (line := self._read()) is not None:
            match line.split():
                case []:
                    continue
                case ["/quit" | "/exit"]:
                    return
                case ["/help"]:
                    self._say(_HELP)
                case ["/new"]:
                    run_sync(self._agent.settled())  # what was said here is remembered there
                    self._scope = self._scope.with_thread(_new_thread())
                    self._say(f"thread {self._scope.thread}")
                case ["/memories"]:
                    self._list_memories()
                case [command, *_] if command.startswith("/"):
                    self._say(f"no command {command}; /help tells the commands")
                case _:
                    self._answer(line)

    def _read(self) -> str | None:
        """Return the next line, or `None` at the end."""
        while True:
            try:
                if not self._is_interactive:
                    line = sys.stdin.readline()
                    return line.strip() if line else None
                return self._console.input(Text("you     ", style="bold green")).strip()
            except EOFError:
                self._console.print()
                return None
            except KeyboardInterrupt:
                self._console.print()

    def _answer(self, said: str) -> None:
        if not self._is_interactive:
            self._console.print(Text("you     ", style="bold green").append(safe(said), style="not bold default"))
        scope = self._scope
        tenant = scope.tenant if scope.session is None else f"{scope.tenant}:{scope.session}"
        view = RunView(self._console)
        try:
            events = self._agent.stream_sync(said, tenant=tenant, user=scope.user, thread=scope.thread)
            turn = play(events, view.on)
            self._console.print(compact_receipt(turn.result))
        except KeyboardInterrupt:
            view.interrupted()
            self._say("stopped; the answer is finished in the background and kept on the thread")
        except (AgentGraphError, ModelError) as error:
            view.interrupted()
            self._console.print(Text(f"error   {' '.join(safe(str(error)).split())}", style="red"), soft_wrap=True)

    def _list_memories(self) -> None:
        store = self._agent.store
        if store is None:
            self._say("memory is switched off")
            return
        run_sync(self._agent.settled())
        found = 0
        for namespace in self._scope.read_namespaces():
            for item in run_sync(store.asearch(namespace, limit=_MOST_MEMORIES)):
                memory = recalled_from(item.value, namespace=item.namespace, key=item.key)
                about = f" · about {memory['event']['text']}" if memory["event"] else ""
                line = Text("● ", style="green").append(safe(memory["text"]), style="default")
                self._console.print(line.append(f"  told {memory['recorded_at'][:10]}{about}", style="dim"))
                found += 1
        if not found:
            self._say("nothing is remembered yet")

    def _say(self, text: str) -> None:
        self._console.print(Text(text, style="dim"))


def _new_thread() -> str:
    return f"chat-{uuid4().hex[:8]}"


def _present() -> datetime:
    return datetime.now(UTC)
