"""What `agentgraph threads …` does: opens the application, asks it, and shows the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import typer
from rich.text import Text

from agentgraph.app import AgentGraph
from agentgraph.cli.asking import Asking
from agentgraph.cli.invocation import Invocation
from agentgraph.cli.render import safe
from agentgraph.cli.threads_view import (
    branch_lines,
    conversation,
    message_record,
    runs_table,
    said_last,
    threads_table,
    tree_of,
)
from agentgraph.cli.turn_tree import Place, places
from agentgraph.errors import NotFoundError
from agentgraph.runs.runs import RunInfo
from agentgraph.runs.threads import CheckpointInfo, ThreadInfo
from agentgraph.scope import Scope

__all__ = ["Desk"]

_ALL: Final = 10_000
_PATIENCE_S: Final = 10.0  # for a run to end that was asked to, within a second as a rule
_LOOK_EVERY_S: Final = 0.1


class Desk(Asking):
    """One command's place: which thread, where it is kept, and how the answer is given.

    Raises:
        ConfigurationError: The settings themselves cannot be read.
        InvalidInputError: An id that is none.
    """

    def __init__(
        self,
        invocation: Invocation,
        *,
        tenant: str,
        thread: str | None = None,
        storage: Path | None = None,
        as_json: bool = False,
    ) -> None:
        super().__init__(invocation.settings(storage_dir=storage), as_json=as_json)
        self._scope = Scope.parse(tenant, thread=thread)
        self._where: dict[str, Any] = {"tenant": tenant, "thread": thread}

    def list(self, *, user: str | None, limit: int, offset: int) -> None:
        """List threads."""
        tenant = self._scope.tenant
        found = self._ask(lambda app: app.threads.list(tenant=tenant, user=user, limit=limit, offset=offset))
        self._show({"threads": [asdict(each) for each in found]}, lambda: threads_table(found, tenant, self._zone))

    def show(self, checkpoint: str | None) -> None:
        """Show a conversation."""

        async def read(app: AgentGraph) -> tuple[CheckpointInfo, list[Any]]:
            at = await self._at(app, checkpoint)
            return at, list(await app.threads.history(**self._where, checkpoint=checkpoint))

        at, messages = self._ask(read)
        record = {
            "checkpoint_id": at.checkpoint_id,
            "is_head": at.is_head,
            "messages": [message_record(message) for message in messages],
            "interrupts": _plain(at.interrupts),
        }
        self._show(record, lambda: conversation(messages, at.interrupts))

    def checkpoints(self, *, limit: int, with_steps: bool) -> None:
        """Draw the tree of checkpoints."""

        async def read(app: AgentGraph) -> list[CheckpointInfo]:
            await self._present(app)
            return list(await app.threads.checkpoints(**self._where, limit=limit))

        found = self._ask(read)
        shown = places(found, with_steps=with_steps)
        record = [{**_brief(place), "follows": place.follows} for place in shown]
        is_cut = len(found) == limit
        self._show({"checkpoints": record}, lambda: tree_of(shown, self._name, self._zone, is_cut=is_cut))

    def branches(self) -> None:
        """List the ends of branches."""

        async def read(app: AgentGraph) -> list[tuple[Any, str]]:
            await self._present(app)
            ends = await app.threads.branches(**self._where)
            return [(end, said_last((await self._at(app, end.checkpoint_id)).messages)) for end in ends]

        found = self._ask(read)
        record = [{**asdict(end), "text": text} for end, text in found]
        self._show({"branches": record}, lambda: branch_lines(found, self._zone))

    def switch(self, checkpoint: str) -> None:
        """Stand elsewhere."""

        async def switch(app: AgentGraph) -> CheckpointInfo:
            await self._at(app, checkpoint)
            await app.threads.switch(checkpoint, **self._where)
            return await self._at(app, None)

        now = self._ask(switch)
        said = said_last(now.messages)
        self._show(
            {"switched": checkpoint, "checkpoint_id": now.checkpoint_id},
            lambda: Text(safe(f"{self._name} stands after “{said}” again")),
        )

    def fork(self, to: str, *, checkpoint: str | None) -> None:
        """Begin another thread."""

        async def fork(app: AgentGraph) -> None:
            await self._at(app, checkpoint)
            await app.threads.fork(**self._where, to=to, checkpoint=checkpoint)

        self._ask(fork)
        self._show({"forked": to}, lambda: Text(f"began {to} with the conversation of {self._name}"))

    def delete(self, *, is_sure: bool) -> None:
        """Say what would go, ask, and delete it."""

        async def delete(app: AgentGraph) -> None:
            await self._present(app)
            if not is_sure:
                messages = await app.threads.history(**self._where)
                runs = await app.runs.list(**self._where, limit=_ALL)
                what = f"would delete {self._name}: {len(messages):,} messages, {len(runs):,} runs; its memories stay"
                self._show({}, lambda: Text(what, style="bold"))
                typer.confirm("Delete this for good?", abort=True)
            await app.threads.delete(**self._where)

        self._ask(delete)
        self._show({"deleted": self._name}, lambda: Text(f"deleted {self._name}"))

    def runs(self, *, limit: int) -> None:
        """List runs."""

        async def read(app: AgentGraph) -> list[RunInfo]:
            await self._present(app)
            return await app.runs.list(**self._where, limit=limit)

        self._tell(self._ask(read))

    def cancel(self, run_id: str | None) -> bool:
        """Ask runs to end, wait for it a little, and say whether they have."""
        tenant = self._scope.tenant

        async def cancel(app: AgentGraph) -> list[RunInfo]:
            await self._present(app, is_tenant_enough=run_id is not None)
            if run_id is not None:
                asked = [await app.runs.get(run_id, tenant=tenant)]
            else:
                asked = [run for run in await app.runs.list(**self._where, limit=_ALL) if _is_under_way(run)]
            for run in asked:
                await app.cancel(run.run_id, tenant=tenant)
            for _ in range(round(_PATIENCE_S / _LOOK_EVERY_S)):
                asked = [await app.runs.get(run.run_id, tenant=tenant) for run in asked]
                if not any(map(_is_under_way, asked)):
                    break
                await asyncio.sleep(_LOOK_EVERY_S)
            return asked

        asked = self._ask(cancel)
        self._tell(asked, nothing="nothing is under way")
        return not any(map(_is_under_way, asked))

    @property
    def _name(self) -> str:
        scope = self._scope
        return f"{scope.tenant}:{scope.session}" if scope.session is not None else str(scope.thread)

    def _tell(self, runs: Sequence[RunInfo], *, nothing: str = "no runs") -> None:
        record = [asdict(run) for run in runs]
        self._show({"runs": record}, lambda: runs_table(runs, nothing=nothing))

    async def _present(self, app: AgentGraph, *, is_tenant_enough: bool = False) -> None:
        """Fail where there is no such thread: reading of a tenant nobody knows would begin its files."""
        if not is_tenant_enough:
            _ = self._scope.required_thread_key
        known: list[ThreadInfo] = await app.threads.list(tenant=self._scope.tenant, limit=1)
        if known and (is_tenant_enough or await app.runs.list(**self._where, limit=1)):
            return
        if not known or not await app.threads.checkpoints(**self._where, limit=1):
            what = f"no thread {self._name!r}" if self._scope.session is None else f"no session {self._name!r}"
            raise NotFoundError(f"{self._scope.tenant} has {what}; `agentgraph threads list` names them")

    async def _at(self, app: AgentGraph, checkpoint: str | None) -> CheckpointInfo:
        await self._present(app)
        return await app.threads.checkpoint(checkpoint, **self._where)


def _is_under_way(run: RunInfo) -> bool:
    return run.status in {"queued", "running"}


def _brief(place: Place) -> dict[str, Any]:
    info = place.info
    return {
        "checkpoint_id": info.checkpoint_id,
        "parent_id": info.parent_id,
        "created_at": info.created_at,
        "run_id": info.run_id,
        "is_head": info.is_head,
        "next": info.next,
        "interrupts": _plain(info.interrupts),
        "text": said_last(info.messages),
    }


def _plain(interrupts: Any) -> Any:
    """Return interrupts as JSON holds them; what asks of tools is a model."""
    return [
        {
            **each,
            "value": each["value"].model_dump(mode="json") if hasattr(each["value"], "model_dump") else each["value"],
        }
        for each in interrupts
    ]
