"""The command line's `agentgraph keys …`: make, list, end and replace the keys of the HTTP API.

Imports nothing heavy; SQLAlchemy comes with the command that is called.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import typer

if TYPE_CHECKING:
    from agentgraph.cli.invocation import Invocation
    from agentgraph.server.api_key import ApiKey
    from agentgraph.server.keys import Keys

__all__ = ["keys"]

T = TypeVar("T")
keys = typer.Typer(help="Make, list, revoke and rotate keys of the HTTP API.", no_args_is_help=True)

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Url = Annotated[str | None, typer.Option("--url", help="Which database. [default: AGENTGRAPH_DATABASE_URL]")]
Storage = Annotated[Path | None, typer.Option(help="Where everything is kept. [default: tenants]")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
KeyId = Annotated[str, typer.Argument(help="The key's id, or the whole key.")]


def _duration(text: str) -> timedelta:
    """Read `30d`, `12h`, `90m`, `45s` or `2w`."""
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 45s, 90m, 12h, 30d or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@keys.command("create")
def _create(
    context: typer.Context,
    *,
    tenant: Annotated[str | None, typer.Option(help="Whose: the key is good for this tenant alone.")] = None,
    user: Annotated[str | None, typer.Option(help="And for this user of its alone.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="May everything: every tenant, `_global`, the keys.")] = False,
    name: Annotated[str, typer.Option(help="What you call it.")] = "",
    expires: Annotated[str | None, typer.Option(help="When it ends by itself: 12h, 30d, 2w. [default: never]")] = None,
    requests_per_min: Annotated[int | None, typer.Option(min=1)] = None,
    tokens_per_min: Annotated[int | None, typer.Option(min=1)] = None,
    concurrent_runs: Annotated[int | None, typer.Option(min=1)] = None,
    budget_tokens: Annotated[int | None, typer.Option(min=0, help="Tokens in a period.")] = None,
    budget_usd: Annotated[float | None, typer.Option(min=0, help="Dollars in a period.")] = None,
    budget_period: Annotated[Literal["day", "month", "ever"], typer.Option(help="The period.")] = "month",
    url: Url = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once: only a digest of it is kept."""
    from agentgraph.settings import Limits

    if admin == (tenant is not None):
        raise typer.BadParameter("say whose key it is: --tenant TENANT, or --admin")
    limits = Limits(
        requests_per_min=requests_per_min,
        tokens_per_min=tokens_per_min,
        concurrent_runs=concurrent_runs,
        budget_tokens=budget_tokens,
        budget_usd=budget_usd,
        budget_period=budget_period,
    )
    made, key = _with_keys(
        context.obj,
        url,
        storage,
        lambda book: book.create(
            scope="admin" if admin else "user" if user is not None else "tenant",
            name=name,
            tenant=tenant,
            user=user,
            limits=limits,
            expires_in=None if expires is None else _duration(expires),
        ),
    )
    _show_once(made, key, as_json=as_json)


@keys.command("list")
def _list(
    context: typer.Context,
    *,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    url: Url = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """List the keys, without their secrets."""
    found = _with_keys(context.obj, url, storage, lambda book: book.list(tenant=tenant))
    if as_json:
        _print_json({"keys": [_record(key) for key in found]})
        return
    if not found:
        print("no keys", file=sys.stderr)
        return
    _print_table(found)


@keys.command("revoke")
def _revoke(
    context: typer.Context, key_id: KeyId, *, url: Url = None, storage: Storage = None, as_json: AsJson = False
) -> None:
    """End a key. Servers see it with their next request, those on PostgreSQL within a second."""
    key = _with_keys(context.obj, url, storage, lambda book: book.revoke(_id_of(key_id)))
    if as_json:
        _print_json(_record(key))
    else:
        print(f"{key.key_id} is revoked")


@keys.command("rotate")
def _rotate(
    context: typer.Context,
    key_id: KeyId,
    *,
    overlap: Annotated[str, typer.Option(help="How long the old key stays good: 0s, 1h, 7d.")] = "24h",
    url: Url = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Make a key that may what another may, and show it, this once; the other ends after the overlap."""
    while_both = _duration(overlap)
    made, key = _with_keys(context.obj, url, storage, lambda book: book.rotate(_id_of(key_id), overlap=while_both))
    _show_once(made, key, as_json=as_json)


def _with_keys(
    invocation: Invocation, url: str | None, storage: Path | None, work: Callable[[Keys], Awaitable[T]]
) -> T:
    from agentgraph._sync import run_sync
    from agentgraph.server.keys import Keys
    from agentgraph.stores.database.database import Database

    settings = invocation.settings(database_url=url, storage_dir=storage)
    address, pepper = settings.database_url, settings.key_pepper

    async def worked() -> T:
        database = Database(None if address is None else address.get_secret_value(), settings.storage_dir)
        try:
            return await work(Keys(database, pepper="" if pepper is None else pepper.get_secret_value()))
        finally:
            database.close()

    return run_sync(worked())


def _id_of(given: str) -> str:
    from agentgraph.server.api_key import Secret

    secret = Secret.read(given)
    return given if secret is None else secret.key_id


def _show_once(made: str, key: ApiKey, *, as_json: bool) -> None:
    if as_json:
        _print_json({"key": made, **_record(key)})
        return
    print(made)
    print("Keep it now: it is not shown again, and only a digest of it is kept.", file=sys.stderr)


def _record(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scope": key.scope,
        "tenant": key.tenant,
        "user": key.user,
        "status": _status(key),
        "limits": key.limits.model_dump(mode="json", exclude_none=True),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _status(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.is_good(datetime.now(UTC)) else "expired"


def _print_table(found: list[ApiKey]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for heading in ("key", "name", "scope", "whose", "status", "expires", "last used"):
        table.add_column(heading, overflow="fold")
    for key in found:
        whose = "everybody's" if key.tenant is None else key.tenant if key.user is None else f"{key.tenant}, {key.user}"
        table.add_row(
            key.key_id, key.name, key.scope, whose, _status(key), _day(key.expires_at), _day(key.last_used_at)
        )
    Console().print(table)


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _print_json(record: dict[str, Any]) -> None:
    import orjson

    sys.stdout.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE).decode())
