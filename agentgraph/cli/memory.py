"""The command line's `agentgraph memory …`: which commands and options there are.

Imports nothing heavy; what a command does is in `memory_work.py`, how it looks in `memory_view.py`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["memories"]

memories = typer.Typer(help="List, search, write, correct, carry and forget memories.", no_args_is_help=True)

_FAILED = 1
_ISO = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]

Tenant = Annotated[str, typer.Option(help="Whose memory: TENANT or TENANT:SESSION.")]
User = Annotated[str | None, typer.Option(help="A person within the tenant.")]
Session = Annotated[str | None, typer.Option(help="A session of the tenant.")]
Storage = Annotated[Path | None, typer.Option(help="Where everything is kept. [default: tenants]")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Zone = Annotated[str | None, typer.Option("--timezone", help="IANA name of the zone times are said in.")]
Embedder = Annotated[str | None, typer.Option(metavar="PROVIDER/MODEL", help="Embedding model to use.")]
Key = Annotated[str, typer.Argument(help="The memory's key, as `list` shows it.")]
Text = Annotated[str, typer.Argument(help="What it says; times in it are understood.")]
Kind = Annotated[str | None, typer.Option(help="Only `episode`, `fact` or `note`.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]
Minutes = Annotated[float | None, typer.Option("--ttl-minutes", help="How long it lives.")]
Now = Annotated[datetime | None, typer.Option(formats=_ISO, help="The moment it is asked at. [default: now]")]
AsOf = Annotated[datetime | None, typer.Option(formats=_ISO, help="Read what was known at that moment.")]
SaidAt = Annotated[datetime | None, typer.Option(formats=_ISO, help="When it was said. [default: now]")]


@memories.command("list")
def _list(
    context: typer.Context,
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    kind: Kind = None,
    limit: Limit = 100,
    offset: Annotated[int, typer.Option(min=0, help="Skip so many.")] = 0,
    superseded: Annotated[bool, typer.Option("--superseded", help="What was corrected, too.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """List memories, the latest written first; a tenant alone lists everybody's."""
    from agentgraph.cli.memory_work import Desk

    desk = Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json)
    desk.list(kind=kind, limit=limit, offset=offset, include_superseded=superseded)


@memories.command("search")
def _search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="A question, or anything a user might say.")],
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    top_k: Annotated[int | None, typer.Option(min=1, max=100, help="Keep so many.")] = None,
    now: Now = None,
    as_of: AsOf = None,
    timezone: Zone = None,
    embedding_model: Embedder = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Recall what a run would for a question."""
    from agentgraph.cli.memory_work import Desk

    desk = Desk(
        context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json, model=embedding_model
    )
    desk.search(query, top_k=top_k, now=now, as_of=as_of, timezone=timezone)


@memories.command("explain")
def _explain(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="The question to explain.")],
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    top_k: Annotated[int | None, typer.Option(min=1, max=100, help="Keep so many.")] = None,
    now: Now = None,
    as_of: AsOf = None,
    timezone: Zone = None,
    embedding_model: Embedder = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Say which times a question names, what was found for it, and why each was kept or left out."""
    from agentgraph.cli.memory_work import Desk

    desk = Desk(
        context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json, model=embedding_model
    )
    desk.explain(question, top_k=top_k, now=now, as_of=as_of, timezone=timezone)


@memories.command("get")
def _get(
    context: typer.Context,
    key: Key,
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Show one memory or note, all of it."""
    from agentgraph.cli.memory_work import Desk

    Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json).get(key)


@memories.command("add")
def _add(
    context: typer.Context,
    text: Text,
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    speaker: Annotated[str, typer.Option(help="Who said it.")] = "user",
    said_at: SaidAt = None,
    timezone: Zone = None,
    ttl_minutes: Minutes = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Add a memory as if it had been said."""
    from agentgraph.cli.memory_work import Desk

    desk = Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json)
    desk.add(text, speaker=speaker, said_at=said_at, timezone=timezone, ttl_minutes=ttl_minutes)


@memories.command("put")
def _put(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="The note's name.")],
    text: Text,
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    said_at: SaidAt = None,
    timezone: Zone = None,
    ttl_minutes: Minutes = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Set a note of a tenant or a user."""
    from agentgraph.cli.memory_work import Desk

    desk = Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json)
    desk.put(key, text, said_at=said_at, timezone=timezone, ttl_minutes=ttl_minutes)


@memories.command("update")
def _update(
    context: typer.Context,
    key: Key,
    text: Text,
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    said_at: SaidAt = None,
    timezone: Zone = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Correct a memory; what it said is kept as superseded."""
    from agentgraph.cli.memory_work import Desk

    desk = Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json)
    desk.update(key, text, said_at=said_at, timezone=timezone)


@memories.command("expire")
def _expire(
    context: typer.Context,
    key: Key,
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    ttl_minutes: Minutes = None,
    at: Annotated[datetime | None, typer.Option(formats=_ISO, help="The moment it ends.")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Give a memory an end; without one, let it live for ever."""
    from agentgraph.cli.memory_work import Desk

    desk = Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json)
    desk.expire(key, ttl_minutes=ttl_minutes, at=at)


@memories.command("delete")
def _delete(
    context: typer.Context,
    key: Key,
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Delete a memory, which may be learned again; `forget` is for good."""
    from agentgraph.cli.memory_work import Desk

    Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json).delete(key)


@memories.command("timeline")
def _timeline(
    context: typer.Context,
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    when: Annotated[str | None, typer.Option(help="In words, such as 'last month'.")] = None,
    start: Annotated[datetime | None, typer.Option(formats=_ISO, help="Not what was over by then.")] = None,
    end: Annotated[datetime | None, typer.Option(formats=_ISO, help="Not what begins then or later.")] = None,
    timezone: Zone = None,
    limit: Limit = 100,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """List memories in the order of what they are about."""
    from agentgraph.cli.memory_work import Desk

    desk = Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json)
    desk.timeline(when=when, start=start, end=end, timezone=timezone, limit=limit)


@memories.command("history")
def _history(
    context: typer.Context,
    key: Key,
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Show what a memory said before it was corrected."""
    from agentgraph.cli.memory_work import Desk

    Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json).history(key)


@memories.command("export")
def _export(
    context: typer.Context,
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write. [default: stdout]")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Write memories as JSON Lines, which `import` reads back."""
    from agentgraph.cli.memory_work import Desk

    Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json).export(output)


@memories.command("import")
def _import(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON Lines, a memory a line; - reads stdin.")],
    *,
    tenant: Tenant = "default",
    user: User = None,
    session: Session = None,
    timezone: Zone = None,
    name: Annotated[str | None, typer.Option(help="What the memories' source is called. [default: the file]")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first line that cannot be read.")] = False,
    embedding_model: Embedder = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Add a memory for every line of a file; a second time adds nothing.

    A line is a JSON object: `text`, and where there are any `id`, `ts` or `recorded_at`, `timezone`, `speaker`, `kind`,
    `user`, `thread`, `caption`; or what `export` wrote. Lines that cannot be read are named, and fail the command.
    """
    from agentgraph.cli.memory_work import Desk

    desk = Desk(
        context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json, model=embedding_model
    )
    if not desk.import_file(file, timezone=timezone, name=name, is_strict=strict):
        raise typer.Exit(_FAILED)


@memories.command("forget")
def _forget(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(help="One memory of exactly this tenant, user or session.")] = None,
    *,
    tenant: Annotated[str, typer.Option(help="Whose; alone, everything of the tenant.")],
    user: User = None,
    session: Session = None,
    thread: Annotated[str | None, typer.Option(help="A conversation, and what was learned in it.")] = None,
    source: Annotated[str | None, typer.Option(help="What came from this message, thread or import.")] = None,
    include_threads: Annotated[
        bool, typer.Option("--include-threads", help="The conversations that hold it, too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Forget for good: a tenant, a user, a session, a thread, a source or one memory, without a trace on disk."""
    if as_json and not (yes or dry_run):
        raise typer.BadParameter("--json cannot ask: add --yes or --dry-run")
    from agentgraph.cli.memory_work import Desk

    desk = Desk(context.obj, tenant=tenant, user=user, session=session, storage=storage, as_json=as_json)
    desk.forget(key, thread=thread, source=source, include_threads=include_threads, is_dry_run=dry_run, is_sure=yes)


@memories.command("reembed")
def _reembed(
    context: typer.Context,
    *,
    tenant: Annotated[str | None, typer.Option(help="Whose memories.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Every tenant's.")] = False,
    embedding_model: Embedder = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Embed memories anew after the embedding model was changed."""
    if (tenant is None) is not everybody:
        raise typer.BadParameter("give one of --tenant and --all")
    from agentgraph.cli.memory_work import Desk

    desk = Desk(context.obj, tenant=tenant or "default", storage=storage, as_json=as_json, model=embedding_model)
    desk.reembed(is_everybody=everybody)
