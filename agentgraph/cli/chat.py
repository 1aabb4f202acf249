"""`agentgraph chat`: talk with the agent in the terminal, or through a pipe, a line a message."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from langchain_core.exceptions import ModelError
from langchain_core.messages import BaseMessage
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from agentgraph._sync import run_sync
from agentgraph.app import AgentGraph
from agentgraph.cli.approval import ask_about
from agentgraph.cli.invocation import Invocation
from agentgraph.cli.progress import DownloadProgress
from agentgraph.cli.render import LABEL_WIDTH, RunView, compact_receipt, safe
from agentgraph.cli.stopping import RunStop
from agentgraph.cli.turn import play
from agentgraph.errors import AgentGraphError, NotFoundError
from agentgraph.events import RunEvent
from agentgraph.memory.record import recalled_from
from agentgraph.run import OnBusy, RunResult
from agentgraph.scope import Scope
from agentgraph.tools.builtin import builtin_tools

__all__ = ["run_chat"]

_HELP: Final = """\
/new       begin a new thread; memory stays
/memories  show what is remembered
/help      show this
/quit      leave (so does Ctrl-D); Ctrl-C ends an answer, and twice leaves"""
_MOST_MEMORIES: Final = 50
_YOU: Final = Text("you     ", style="bold green")


def run_chat(
    invocation: Invocation,
    *,
    tenant: str = "default",
    user: str | None = None,
    thread: str | None = None,
    timezone: str | None = None,
    model: str | None = None,
    on_busy: OnBusy | None = None,
) -> None:
    """Read messages until the input ends; answer each.

    Raises:
        AgentGraphError: An id or zone is not one, or there is no model to be had.
    """
    settings = invocation.settings(default_model=model, timezone=timezone, on_busy=on_busy)
    scope = Scope.parse(tenant, user=user, thread=thread or _new_thread())
    with DownloadProgress(Console(stderr=True)) as progress:
        tools = [] if settings.builtin_tools else builtin_tools(_present)
        agent = AgentGraph(settings, tools=tools, progress=progress)
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
        self._tenant = scope.tenant if scope.session is None else f"{scope.tenant}:{scope.session}"
        self._was_interrupted = False

    def talk(self) -> None:
        """Answer until `/quit` or the end of the input."""
        if self._is_interactive:
            with suppress(ImportError):
                import readline  # noqa: F401  gives `input` a history and line editing
            self._say(f"{self._agent.default_model} · thread {self._scope.thread} · /help tells the commands")
        self._ask_again()
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

    def _read(self, prompt: Text | None = None) -> str | None:
        """Return the next line, or `None` at the end; the second Ctrl-C in a row is one."""
        while True:
            try:
                line = self._line(prompt or _YOU)
            except EOFError:
                self._console.print()
                return None
            except KeyboardInterrupt:
                self._console.print()
                was_interrupted, self._was_interrupted = self._was_interrupted, True
                if was_interrupted or prompt is not None:
                    return None
                self._say("Ctrl-C again leaves")
                continue
            self._was_interrupted = False
            return line

    def _line(self, prompt: Text) -> str:
        if self._is_interactive:
            return self._console.input(prompt).strip()
        if not (line := sys.stdin.readline()):
            raise EOFError
        return line.strip()

    def _answer(self, said: str) -> None:
        if not self._is_interactive:
            self._console.print(_YOU.copy().append(safe(said), style="not bold default"))
        self._answer_questions(self._carry(said))

    def _answer_questions(self, result: RunResult | None) -> None:
        """Ask what a run waits for, and carry it on, until it waits no more or nobody answers."""
        while result is not None and result.interrupts:
            answer = self._asked(result.interrupts[0]["value"])
            if answer is None:
                return
            result = self._carry([], resume=answer)

    def _carry(self, messages: str | Sequence[BaseMessage], **options: Any) -> RunResult | None:
        """Show a run while it goes on; return what came of it, or `None` where it failed."""
        scope, view, stop = self._scope, RunView(self._console), RunStop(self._agent, self._scope.tenant)

        def show(event: RunEvent) -> None:
            stop.on(event)
            view.on(event)

        try:
            with stop.listening():
                events = self._agent.stream_sync(
                    messages, tenant=self._tenant, user=scope.user, thread=scope.thread, **options
                )
                result = play(events, show).result
        except KeyboardInterrupt:  # the second one
            view.interrupted()
            self._say("        it is still being ended; what was said so far stays on the thread")
            self._was_interrupted = True
            return None
        except (AgentGraphError, ModelError) as error:
            view.interrupted()
            self._console.print(Text(f"error   {' '.join(safe(str(error)).split())}", style="red"), soft_wrap=True)
            return None
        self._was_interrupted = stop.was_asked
        if result.is_cancelled:
            self._console.print(Text("        cancelled; what was said so far stays on the thread", style="yellow"))
        self._console.print(compact_receipt(result))
        return result

    def _asked(self, question: Mapping[str, Any]) -> dict[str, Any] | None:
        def read(prompt: str) -> str | None:
            label = Text(f"{'':<{LABEL_WIDTH}}{safe(prompt)}", style="yellow")
            line = self._read(label)
            if line is not None and not self._is_interactive:
                self._console.print(label.append(safe(line), style="default"))
            return line

        answer = ask_about(question, read=read, console=self._console)
        if answer is None:
            self._say("        not answered; the next message closes the question")
        return answer

    def _ask_again(self) -> None:
        """Put what the thread was left waiting for."""
        try:
            at = run_sync(self._agent.threads.checkpoint(tenant=self._tenant, thread=self._scope.thread))
        except NotFoundError:
            return
        if at.interrupts and (answer := self._asked(_as_json(at.interrupts[0]["value"]))) is not None:
            self._answer_questions(self._carry([], resume=answer))

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


def _as_json(question: Any) -> Any:
    return question.model_dump(mode="json") if isinstance(question, BaseModel) else question


def _present() -> datetime:
    return datetime.now(UTC)
