"""Time that nobody sets: how much of it has passed since a tenant's file was made, whatever the wall clock says.

Within one boot of the machine it is the machine's uptime that counts. What passed between two boots is known from the
wall clock only: it counts for what that says, and for nothing where it went backwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from agentgraph.stores.threads.processes import uptime
from agentgraph.stores.threads.sql import Connection

__all__ = ["SCHEMA", "GivenClock", "Moment", "SteadyClock", "TenantClock", "boot_id"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS steady_clock (
    place BIGINT PRIMARY KEY,
    seconds DOUBLE PRECISION NOT NULL,
    wall DOUBLE PRECISION NOT NULL,
    uptime DOUBLE PRECISION NOT NULL,
    boot TEXT NOT NULL
);
"""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Moment(NamedTuple):
    """A moment, in seconds on a clock; moments of two clocks cannot be compared."""

    clock: str
    seconds: float


class TenantClock(Protocol):
    """What sessions are timed by."""

    def tick(self) -> float:
        """Return seconds, for this process to tell by when it is time to look into a file."""

    def now(self, connection: Connection) -> Moment:
        """Return the present moment; reads only."""

    def keep(self, connection: Connection) -> Moment:
        """Return the present moment, and keep what the next process needs to go on from it."""


def boot_id() -> str:
    """Return a name for the time since the machine was started; empty where the system has none."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


class SteadyClock:
    """A clock that goes on in each tenant's file, through restarts of processes and of the machine.

    Args:
        wall: Seconds since 1970, as the system tells them.
        uptime: Seconds that all processes of the machine share and that nobody sets.
        boot: Tells one boot from another.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        uptime: Callable[[], float] = uptime,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        self._wall = wall
        self._uptime = uptime
        self._boot = boot()

    def tick(self) -> float:
        """Return the machine's uptime."""
        return self._uptime()

    def now(self, connection: Connection) -> Moment:
        """Return the seconds that have passed since the file's clock was begun."""
        row = connection.execute("SELECT seconds, wall, uptime, boot FROM steady_clock WHERE place = 1").fetchone()
        if row is None:
            return Moment("steady", 0.0)
        seconds, wall, up, boot = row
        since = self._uptime() - up
        # Where boots have no names, an uptime that has not shrunk is no more than what has passed.
        if boot != self._boot or since < 0:
            since = max(0.0, self._wall() - wall)
        return Moment("steady", seconds + since)

    def keep(self, connection: Connection) -> Moment:
        """Return the same, and let the file's clock go on from here."""
        now = self.now(connection)
        connection.execute(
            "INSERT INTO steady_clock (place, seconds, wall, uptime, boot) VALUES (1, ?, ?, ?, ?)"
            " ON CONFLICT (place) DO UPDATE SET seconds = excluded.seconds, wall = excluded.wall,"
            " uptime = excluded.uptime, boot = excluded.boot",
            (now.seconds, self._wall(), self._uptime(), self._boot),
        )
        return now


class GivenClock:
    """The clock an application was given: it is the time, wherever it is moved."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock

    def tick(self) -> float:
        """Return its seconds since 1970."""
        return self._clock().timestamp()

    def now(self, connection: Connection) -> Moment:  # noqa: ARG002
        """Return its present moment."""
        return Moment("given", self.tick())

    def keep(self, connection: Connection) -> Moment:
        """Return the same: nothing has to be kept."""
        return self.now(connection)
