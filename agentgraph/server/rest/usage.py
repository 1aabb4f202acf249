"""`/usage`: what a tenant's runs used, by day, key, user and model."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from agentgraph.server.guard import Guard
from agentgraph.server.rest.acting import Acting
from agentgraph.server.rest.pages import After, Limit, Page, page_within, position_after
from agentgraph.server.usage import UsageRow, UsedBy

__all__ = ["add_usage_routes"]

_LIST = "usage"
_USUAL_DAYS = 30


class UsageEntry(BaseModel):
    """What was used on one day with one key, by one user, of one model."""

    day: date = Field(description="By UTC.", examples=["2026-03-14"])
    key_id: str | None = Field(examples=["k7f3"])
    user: str | None = Field(examples=["ann"])
    model: str = Field(examples=["openai/gpt-4o-mini"])
    runs: int = Field(examples=[12])
    input_tokens: int = Field(examples=[7320])
    output_tokens: int = Field(examples=[1080])
    cost_usd: float = Field(description="0 for models without a price in the settings.", examples=[0.0021])


def add_usage_routes(router: APIRouter, guard: Guard) -> None:
    """Add the routes of usage."""

    @router.get("/usage", tags=["Usage"])
    async def read_usage(
        scope: Acting,
        since: Annotated[date | None, Query(description="The first day; by default 30 days ago.")] = None,
        until: Annotated[date | None, Query(description="The last day; by default today.")] = None,
        limit: Limit = 50,
        after: After = None,
    ) -> Page[UsageEntry]:
        """Read what was used, the earliest day first."""
        begins, today = position_after(after, of=_LIST), datetime.now(UTC).date()
        first = since or today - timedelta(days=_USUAL_DAYS)
        usage = (await guard.admission()).usage
        found = await usage.of(scope.tenant, since=first.isoformat(), until=(until or today).isoformat())
        rows = sorted(
            ((whose, used) for whose, used in found.items() if scope.user in {None, whose.user}),
            key=lambda row: (row[0].day, row[0].key_id, row[0].user, row[0].model),
        )
        return page_within(rows, _entry, of=_LIST, limit=limit, begins_at=begins)


def _entry(row: tuple[UsedBy, UsageRow]) -> UsageEntry:
    whose, used = row
    return UsageEntry(
        day=date.fromisoformat(whose.day),
        key_id=whose.key_id or None,
        user=whose.user or None,
        model=whose.model,
        runs=used.runs,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=used.cost_microusd / 1_000_000,
    )
