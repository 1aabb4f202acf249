"""One run on its thread: from the moment it holds the thread until it lets go, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, StateSnapshot

from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.events import AnswerCompleted, RunEvent, RunFinished, TextDelta, Usage
from agentgraph.graph.build import Graph
from agentgraph.graph.context import RunContext
from agentgraph.run import RunRequest, finished
from agentgraph.runs.handle import RunHandle
from agentgraph.stores.checkpoints import FENCE
from agentgraph.threads.closing import closing_messages, unanswerable, unknown_calls
from agentgraph.threads.function_calls import with_known_ids
from agentgraph.threads.journal import Begun, RunJournal
from agentgraph.threads.reading import ThreadHistory
from agentgraph.threads.reconcile import reconcile
from agentgraph.tools.approval import resume_value

__all__ = ["CANCELLED", "Outcome", "ThreadRun"]

CANCELLED: Final = "cancelled"
"""The `finish_reason`, in `response_metadata`, of an answer that was ended before its time."""

_AFTERWARDS: Final = "summarize"  # the last node: what is written as if by it leaves nothing to be done


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended, ready to be noted.

    Attributes:
        status: As the journal notes it.
        ending: The run's last event; `None` for a run that was undone.
        last_message_id: The thread's last message, where it is known without looking.
        history_tokens: About how long the live window is.
        history_messages: How many messages it holds; 0 where that is not known.
        parent: The checkpoint it went on from.
    """

    status: Literal["finished", "waiting", "cancelled", "undone"]
    ending: RunFinished | None
    last_message_id: str | None = None
    history_tokens: int = 0
    history_messages: int = 0
    parent: str | None = None


@dataclass(slots=True, kw_only=True)
class ThreadRun:
    """Carries one run through the graph.

    Attributes:
        graph: With its checkpointer.
        journal: Where runs are noted.
        history: Reads whole threads.
        request: What was asked; its messages have the ids they will be stored under.
        context: For the graph's nodes.
        begun: The thread as it was taken.
        handle: Told what happens, and asked whether to stop.
        recursion_limit: Steps the graph may take.
        has_effects: Whether tools may act on the world in this run.
        duration_ms: Tells how long the run has taken.
    """

    graph: Graph
    journal: RunJournal
    history: ThreadHistory
    request: RunRequest
    context: RunContext
    begun: Begun
    handle: RunHandle
    recursion_limit: int
    has_effects: bool
    duration_ms: Callable[[], float]
    _answers: list[AnswerCompleted] = field(default_factory=list)
    _said: list[str] = field(default_factory=list)  # of the answer being written
    _parent: str | None = None

    async def carry(self) -> Outcome:
        """Do what `_carried` does, and say from where."""
        self._parent = self.begun.head
        outcome = await self._carried()
        return replace(outcome, parent=self._parent)

    @property
    def parent(self) -> str | None:
        """The checkpoint it goes on from."""
        return self._parent

    async def _carried(self) -> Outcome:
        """Carry the run to an end that is worth noting; what a model or a store fails with is raised."""
        if self.begun.stop is not None:
            self.handle.ask_to_stop(self.begun.stop)
        if self.handle.stop is not None:
            return await self._stopped()
        start = await self._start()
        if isinstance(start, Outcome):
            return start
        work = asyncio.get_running_loop().create_task(self._walk(*start))
        if not await self.handle.stoppable(work):
            return await self._stopped()
        if (error := work.exception()) is not None:
            raise error
        return self._completed(work.result())

    @property
    def config(self) -> RunnableConfig:
        """Where the graph reads and writes."""
        return {
            "configurable": {
                "thread_id": self.begun.lease.thread_id,
                "checkpoint_ns": "",
                FENCE: self.begun.lease.fence,
            },
            "metadata": {"run_id": self.context.run_id},
            "recursion_limit": self.recursion_limit,
        }

    @property
    def _unnamed(self) -> RunnableConfig:
        """The same without the run's name: a checkpoint that bears it would make LangGraph resume it."""
        return {**self.config, "metadata": {}}

    def _hear(self, event: RunEvent) -> None:
        if isinstance(event, TextDelta):
            self._said.append(event.text)
        elif isinstance(event, AnswerCompleted):
            self._said.clear()
            self._answers.append(event)
        self.handle.tell(event)

    async def _walk(self, values: Any, config: RunnableConfig) -> Sequence[Any]:
        """Run the graph and return what it waits for, if it does."""
        result = await self.graph.ainvoke(
            values,
            config,
            context=replace(self.context, listener=self._hear),
            output_keys=["turns"],
            durability="sync" if self.has_effects else "exit",
        )
        interrupts: Sequence[Any] = result.get("__interrupt__", ()) if isinstance(result, dict) else ()
        return interrupts

    # How it begins

    async def _start(self) -> tuple[Any, RunnableConfig] | Outcome:
        """Return what to hand the graph, and where; or the outcome, where there is nothing left to do."""
        request, begun = self.request, self.begun
        is_new = begun.head is None and begun.before is None
        is_plain = len(request.messages) == 1 and isinstance(request.messages[0], HumanMessage)
        was_clean = begun.before is not None and begun.before.status == "finished"
        goes_on = request.resume is None and request.checkpoint is None and not begun.is_carried_on
        if goes_on and is_plain and (is_new or was_clean):  # most turns: nothing to look at first
            return self._input(request.messages), self.config
        state = await self.graph.aget_state(self.config)
        if begun.is_carried_on and self._wrote(state):  # whatever was asked: it stands where the run left it
            self._parent = await self._before(state)
            return self._carried_on(state)
        if request.resume is not None:
            return self._resumed(state)
        if request.checkpoint is not None:
            return self._branched(await self.graph.aget_state(self._from_checkpoint()))
        return await self._continued(state)

    def _wrote(self, state: StateSnapshot) -> bool:
        return (state.metadata or {}).get("run_id") == self.context.run_id

    async def _before(self, state: StateSnapshot) -> str | None:
        """Return the checkpoint this run went on from, whichever process began it."""
        while self._wrote(state):
            if state.parent_config is None:
                return None
            state = await self.graph.aget_state(state.parent_config)
        return str(state.config["configurable"]["checkpoint_id"])

    def _input(self, messages: Sequence[BaseMessage]) -> dict[str, Any]:
        return {"messages": list(messages), "turns": 0}

    def _carried_on(self, state: StateSnapshot) -> tuple[Any, RunnableConfig] | Outcome:
        """Go on where the run stopped. Unfinished tasks tell, not `next`: it is empty after some kills."""
        if any(task.result is None for task in state.tasks):
            if state.interrupts and self.request.resume is None:
                return self._completed(state.interrupts)
            return None, self.config
        last = next((m for m in reversed(state.values.get("messages", ())) if isinstance(m, AIMessage)), None)
        if last is None:
            return self._input(self.request.messages), self.config
        self._answers.append(_told(last))
        return self._completed(())

    def _resumed(self, state: StateSnapshot) -> tuple[Any, RunnableConfig]:
        if not state.interrupts:
            raise InvalidInputError("nothing on this thread waits for an answer", param="resume", code="not_waiting")
        waiting, answer = state.interrupts[0], self.request.resume
        question = waiting.value
        if isinstance(answer, Mapping) and set(answer) == {waiting.id}:  # named, as LangGraph's own clients do
            answer = answer[waiting.id]
        if isinstance(question, Mapping) and question.get("kind") in {"tool_approval", "tool_outcome"}:
            answer = resume_value(question, answer)  # one that does not fit is refused before anything runs
        return Command(resume=answer), self.config

    def _closing(self, state: StateSnapshot) -> list[ToolMessage]:
        """Close what an earlier run left open. A run that ended well left open only what its client was to answer."""
        return closing_messages(state.values.get("messages", ()), _MOVED_ON) if state.tasks else []

    def _from_checkpoint(self) -> RunnableConfig:
        config = self.config
        self._parent = self.request.checkpoint
        config["configurable"]["checkpoint_id"] = self.request.checkpoint
        return config

    def _branched(self, state: StateSnapshot) -> tuple[Any, RunnableConfig]:
        if state.created_at is None:
            raise NotFoundError(f"there is no checkpoint {self.request.checkpoint!r} on this thread")
        if self.request.messages:
            return self._input([*self._closing(state), *self.request.messages]), self._from_checkpoint()
        if not state.tasks:
            raise InvalidInputError(
                "nothing was left to do at this checkpoint: send messages to go on from it", param="checkpoint"
            )
        return None, self._from_checkpoint()

    async def _continued(self, state: StateSnapshot) -> tuple[Any, RunnableConfig] | Outcome:
        """Find out what the request adds to its thread, and branch off where it changes what was said."""
        live: list[BaseMessage] = state.values.get("messages", [])
        stored = await self.history.whole(self.begun.lease.thread_id, state.values)
        found = reconcile(stored, with_known_ids(stored, self.request.messages))
        if found.keep == len(stored):
            if found.asks_nothing:
                raise InvalidInputError("the thread already holds all of these messages", param="messages")
            if nothing_called := unanswerable(stored, found.new):
                raise unknown_calls(nothing_called)
            return self._input([*self._closing(state), *found.new]), self.config
        return await self._forked(live, stored[: found.keep], found.new)

    async def _forked(
        self, live: Sequence[BaseMessage], kept: Sequence[BaseMessage], new: Sequence[BaseMessage]
    ) -> tuple[Any, RunnableConfig]:
        """Go on from where the thread held `kept` and nothing more; what it held since stays reachable."""
        thread_id = self.begun.lease.thread_id
        config = self.config
        if not kept:
            # Before its first message a thread is empty.
            values = {**_NO_PAST, "messages": [RemoveMessage(id=str(m.id)) for m in live]}
            await self.graph.aupdate_state(self._unnamed, values, as_node=_AFTERWARDS)
            self._parent = None
            return self._input(new), config
        row = self.journal.ended_with(thread_id, str(kept[-1].id))
        if row is not None and new:
            config["configurable"]["checkpoint_id"] = row.checkpoint_id
            if await self.graph.checkpointer.aget_tuple(config) is not None:  # type: ignore[union-attr]
                self._parent = row.checkpoint_id
                return self._input(new), config
            config = self.config
        # In the middle of a turn, or pruned: the window is built anew from what is kept, in a checkpoint of its own.
        window = list(kept[-_REBUILT:])
        while window and not isinstance(window[0], HumanMessage) and len(window) < len(kept):
            window.insert(0, kept[-len(window) - 1])
        older = kept[: len(kept) - len(window)]
        values = {
            **_NO_PAST,
            "messages": [*(RemoveMessage(id=str(m.id)) for m in live), *window],
            "archived": [
                {"previous": str(older[at - 1].id) if at else None, "message": message}
                for at, message in enumerate(older)
            ],
            "archive_tail": str(older[-1].id) if older else None,
        }
        await self.graph.aupdate_state(self._unnamed, values, as_node=_AFTERWARDS)
        self._parent = None
        return self._input(new), config

    # How it ends

    def _completed(self, interrupts: Sequence[Any]) -> Outcome:
        asked = tuple({"id": interrupt.id, "value": _plain(interrupt.value)} for interrupt in interrupts)
        answers = self._answers or [_NOTHING_SAID]
        ending = finished(self.context.run_id, answers, self.context.client_tool_names, duration_ms=self.duration_ms())
        last = answers[-1]
        runs_server_tools = len(last.tool_calls) > len(ending.tool_calls)
        return Outcome(
            status="waiting" if asked else "finished",
            ending=replace(ending, interrupts=asked),
            last_message_id=None if asked or runs_server_tools else last.message_id,
            history_tokens=last.history_tokens,
            history_messages=last.history_messages,
        )

    async def _stopped(self) -> Outcome:
        """Leave the thread as whoever ended the run wants it: with what was said by then, or as it was before."""
        config, begun = self.config, self.begun
        if self.handle.stop == "rollback":
            await self._undo()
            return Outcome(status="undone", ending=None)
        state = await self.graph.aget_state(config)
        live: list[BaseMessage] = state.values.get("messages", [])
        known = {message.id for message in live}
        said = [message for message in self.request.messages if message.id not in known]
        if said:
            stored = await self.history.whole(begun.lease.thread_id, state.values)
            found = reconcile(stored, with_known_ids(stored, said))
            said = found.new if found.keep == len(stored) else said[-1:]
        text = "".join(self._said)
        partial = [_cut_off(text)] if text else []
        added = [*closing_messages([*live, *said], _STOPPED), *said, *partial]
        if added or state.tasks:
            await self.graph.aupdate_state(config, {"messages": added}, as_node=_AFTERWARDS)
        ending = RunFinished(
            run_id=self.context.run_id,
            message_id=str(partial[0].id) if partial else "",
            text=text,
            tool_calls=(),
            finish_reason="stop",
            usage=sum((answer.usage for answer in self._answers), Usage()),
            duration_ms=self.duration_ms(),
            is_cancelled=True,
        )
        return Outcome(status="cancelled", ending=ending, last_message_id=str(added[-1].id) if added else None)

    async def _undo(self) -> None:
        """Bring the thread back to where it stood, if anything of this run was written."""
        config = self.config
        state = await self.graph.aget_state(config)
        here = (state.config or {}).get("configurable", {}).get("checkpoint_id")
        if not self._wrote(state):
            return
        if self.begun.head is not None and here != self.begun.head:
            config["configurable"]["checkpoint_id"] = self.begun.head
            await self.graph.aupdate_state(config, {"turns": 0}, as_node=_AFTERWARDS)
            return
        gone = [RemoveMessage(id=str(message.id)) for message in state.values.get("messages", ())]
        await self.graph.aupdate_state(config, {**_NO_PAST, "messages": gone}, as_node=_AFTERWARDS)


_STOPPED: Final = "The run was cancelled while this tool was called; whether it took effect is unknown."
_MOVED_ON: Final = "The tool was not run to its end: the conversation went on without its result."
_NO_PAST: Final[dict[str, Any]] = {"summary": "", "summaries": [], "archive_tail": None, "archive_after": None}
_REBUILT: Final = 40  # messages brought back from the archive into the window of a branch
_NOTHING_SAID: Final = AnswerCompleted(message_id="", text="", tool_calls=(), finish_reason="stop", usage=Usage())


def _cut_off(text: str) -> AIMessage:
    return AIMessage(text, id=f"msg-{uuid4().hex}", response_metadata={"finish_reason": CANCELLED})


def _told(answer: AIMessage) -> AnswerCompleted:
    """Tell of an answer that an earlier process received."""
    usage = answer.usage_metadata
    calls = [{"id": call["id"], "name": call["name"], "args": call["args"]} for call in answer.tool_calls]
    return AnswerCompleted(
        message_id=str(answer.id),
        text=str(answer.text),
        tool_calls=tuple(calls),
        finish_reason="tool_calls" if calls else "stop",
        usage=Usage(
            input_tokens=usage["input_tokens"] if usage else 0, output_tokens=usage["output_tokens"] if usage else 0
        ),
        response_metadata=answer.response_metadata,
    )


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if dump is not None else value
