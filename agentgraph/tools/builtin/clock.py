"""The time, now and anywhere: `get_current_time` and `get_time`. Offline."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from langchain_core.tools import BaseTool, ToolException

from agentgraph.tools.decorator import tool

__all__ = ["clock_tools"]


def clock_tools(clock: Callable[[], datetime]) -> list[BaseTool]:
    """Return `get_current_time` and `get_time`, which tell what `clock` does: the present moment, aware."""

    @tool(idempotent=True)
    async def get_current_time() -> str:
        """Get the current date and time in UTC."""
        return f"{clock().astimezone(UTC):%A %Y-%m-%d %H:%M} UTC"

    @tool(idempotent=True)
    async def get_time(timezone: str) -> str:
        """Get the current local time in a city or time zone anywhere in the world.

        Args:
            timezone: An IANA time zone such as 'Asia/Tokyo' or 'Europe/Paris', or the name of a large city.
        """
        zone = _zone(timezone)
        return f"{clock().astimezone(zone):%A %Y-%m-%d %H:%M} in {zone.key}"

    return [get_current_time, get_time]


def _zone(name: str) -> ZoneInfo:
    wanted = name.strip().replace(" ", "_")[:100]
    try:
        return ZoneInfo(wanted)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    # Models say "Tokyo" where IANA says "Asia/Tokyo".
    cities = _cities()
    city = wanted.rpartition("/")[2].partition(",")[0].lower()
    if city in cities:
        return ZoneInfo(cities[city])
    near = difflib.get_close_matches(city, cities, n=3)
    hint = f" Did you mean {', '.join(cities[each] for each in near)}?" if near else " Use a name such as 'Asia/Tokyo'."
    raise ToolException(f"unknown time zone {name[:100]!r}.{hint}")


@cache
def _cities() -> dict[str, str]:
    return {zone.rpartition("/")[2].lower(): zone for zone in sorted(available_timezones()) if "/" in zone}
