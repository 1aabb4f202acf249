"""The command line's `agentgraph db …`: see, raise and lower the version of the records database's schema.

Imports nothing heavy; SQLAlchemy comes with the command that is called.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentgraph.cli.invocation import Invocation
    from agentgraph.stores.database.schema import Schema

__all__ = ["db"]

db = typer.Typer(help="See and change the schema version of the records database.", no_args_is_help=True)

Url = Annotated[str | None, typer.Option("--url", help="Which database. [default: AGENTGRAPH_DATABASE_URL]")]
Storage = Annotated[Path | None, typer.Option(help="Where everything is kept. [default: tenants]")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]


@db.command("current")
def _current(context: typer.Context, *, url: Url = None, storage: Storage = None, as_json: AsJson = False) -> None:
    """Say which version the database is of, and which this agentgraph wants. Changes nothing."""
    schema = _schema(context.obj, url, storage)
    version = schema.version()
    said = {
        "database": schema.name,
        "version": version,
        "newest": schema.newest,
        "is_newest": version == schema.newest,
    }
    if as_json:
        _print_json(said)
    elif version is None:
        print(f"{schema.name}: none yet; the newest is {schema.newest}, made when first needed or by `db upgrade`")
    elif version == schema.newest:
        print(f"{schema.name}: {version}, the newest")
    else:
        print(f"{schema.name}: {version}; this agentgraph's newest is {schema.newest}")


@db.command("upgrade")
def _upgrade(context: typer.Context, *, url: Url = None, storage: Storage = None, as_json: AsJson = False) -> None:
    """Bring the database to the newest version. Every process does so when it opens the database, once."""
    schema = _schema(context.obj, url, storage)
    _report(schema, schema.upgrade(), as_json=as_json)


@db.command("downgrade", context_settings={"ignore_unknown_options": True})  # -1 is an argument
def _downgrade(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="A version, `base` for an empty database, or steps such as -1.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Bring the database down to an older version; what only newer ones have is deleted with its records.

    Stop every process first: one that opens the database brings it up again.
    """
    if as_json and not yes:
        raise typer.BadParameter("--json cannot ask: add --yes")
    schema = _schema(context.obj, url, storage)
    target = schema.below(version)
    if not yes:
        typer.confirm(f"{schema.name}: delete what only versions above {target or 'base'} have?", abort=True, err=True)
    _report(schema, schema.downgrade(target), as_json=as_json)


def _schema(invocation: Invocation, url: str | None, storage: Path | None) -> Schema:
    from agentgraph.stores.database.schema import Schema

    settings = invocation.settings(database_url=url, storage_dir=storage)
    address = settings.database_url
    return Schema(None if address is None else address.get_secret_value(), settings.storage_dir)


def _report(schema: Schema, change: tuple[str | None, str | None], *, as_json: bool) -> None:
    before, after = change
    if as_json:
        _print_json({"database": schema.name, "from": before, "to": after})
    elif before == after:
        print(f"{schema.name}: {after or 'empty'} already, nothing to do")
    else:
        print(f"{schema.name}: {before or 'empty'} → {after or 'empty'}")


def _print_json(record: Mapping[str, object]) -> None:
    import orjson

    sys.stdout.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE).decode())
