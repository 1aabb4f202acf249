"""The command line's `agentgraph threads …`: which commands and options there are.

Imports nothing heavy; what a command does is in `threads_work.py`, how it looks in `threads_view.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["threads"]

threads = typer.Typer(help="List, show, branch, fork, cancel and delete conversations.", no_args_is_help=True)

_FAILED = 1

Tenant = Annotated[str, typer.Option(help="Whose: TENANT, or TENANT:SESSION for a session's conversation.")]
Thread = Annotated[str | None, typer.Option(help="Which conversation; a session needs none.")]
Storage = Annotated[Path | None, typer.Option(help="Where everything is kept. [default: tenants]")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]
Checkpoint = Annotated[str | None, typer.Option(help="As it stood there. [default: as it stands]")]


@threads.command("list")
def _list(
    context: typer.Context,
    *,
    tenant: Annotated[str, typer.Option(help="Whose.")] = "default",
    user: Annotated[str | None, typer.Option(help="Only what this person began.")] = None,
    limit: Limit = 100,
    offset: Annotated[int, typer.Option(min=0, help="Skip so many.")] = 0,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """List a tenant's threads and sessions, the last used first."""
    from agentgraph.cli.threads_work import Desk

    Desk(context.obj, tenant=tenant, storage=storage, as_json=as_json).list(user=user, limit=limit, offset=offset)


@threads.command("show")
def _show(
    context: typer.Context,
    *,
    tenant: Tenant = "default",
    thread: Thread = None,
    checkpoint: Checkpoint = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Show a whole conversation, from its first message on."""
    from agentgraph.cli.threads_work import Desk

    Desk(context.obj, tenant=tenant, thread=thread, storage=storage, as_json=as_json).show(checkpoint)


@threads.command("checkpoints")
def _checkpoints(
    context: typer.Context,
    *,
    tenant: Tenant = "default",
    thread: Thread = None,
    steps: Annotated[bool, typer.Option("--steps", help="Those within turns, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Read at most so many; a turn has several.")] = 500,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Draw where a conversation stood and how it branched; the line it stands on runs straight down."""
    from agentgraph.cli.threads_work import Desk

    desk = Desk(context.obj, tenant=tenant, thread=thread, storage=storage, as_json=as_json)
    desk.checkpoints(limit=limit, with_steps=steps)


@threads.command("branches")
def _branches(
    context: typer.Context,
    *,
    tenant: Tenant = "default",
    thread: Thread = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """List where the lines of a conversation end, the latest first; an edit begins a new one."""
    from agentgraph.cli.threads_work import Desk

    Desk(context.obj, tenant=tenant, thread=thread, storage=storage, as_json=as_json).branches()


@threads.command("switch")
def _switch(
    context: typer.Context,
    checkpoint: Annotated[str, typer.Argument(help="Where to, as `branches` and `checkpoints` show it.")],
    *,
    tenant: Tenant = "default",
    thread: Thread = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Go on from where a conversation once stood; the other line stays reachable."""
    from agentgraph.cli.threads_work import Desk

    Desk(context.obj, tenant=tenant, thread=thread, storage=storage, as_json=as_json).switch(checkpoint)


@threads.command("fork")
def _fork(
    context: typer.Context,
    *,
    to: Annotated[str, typer.Option(help="The new thread's id.")],
    tenant: Tenant = "default",
    thread: Thread = None,
    checkpoint: Checkpoint = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Begin another thread with a conversation; each then goes its own way."""
    from agentgraph.cli.threads_work import Desk

    Desk(context.obj, tenant=tenant, thread=thread, storage=storage, as_json=as_json).fork(to, checkpoint=checkpoint)


@threads.command("delete")
def _delete(
    context: typer.Context,
    *,
    tenant: Tenant,
    thread: Thread = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Delete a conversation for good; what was learned in it stays, until `memory forget --thread`."""
    if as_json and not yes:
        raise typer.BadParameter("--json cannot ask: add --yes")
    from agentgraph.cli.threads_work import Desk

    Desk(context.obj, tenant=tenant, thread=thread, storage=storage, as_json=as_json).delete(is_sure=yes)


@threads.command("runs")
def _runs(
    context: typer.Context,
    *,
    tenant: Tenant = "default",
    thread: Thread = None,
    limit: Limit = 50,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """List a conversation's runs, the newest first: how each ended, and why."""
    from agentgraph.cli.threads_work import Desk

    Desk(context.obj, tenant=tenant, thread=thread, storage=storage, as_json=as_json).runs(limit=limit)


@threads.command("cancel")
def _cancel(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="The run's id. [default: all under way on the thread]")] = None,
    *,
    tenant: Tenant = "default",
    thread: Thread = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """End runs before their time, in whichever process they are; what they have said stays."""
    from agentgraph.cli.threads_work import Desk

    desk = Desk(context.obj, tenant=tenant, thread=thread, storage=storage, as_json=as_json)
    if not desk.cancel(run):
        raise typer.Exit(_FAILED)
