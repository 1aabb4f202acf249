"""One-off runs of late, in memory: a client that repeats a request joins the run it began.

One-off runs leave nothing on disk, so this is known to one process and forgotten when it ends.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from agentgraph.errors import InvalidInputError
from agentgraph.events import RunFailed
from agentgraph.run import RunRequest
from agentgraph.runs.handle import RunHandle
from agentgraph.threads.request import digest_of

__all__ = ["RecentRuns"]

_MOST: Final = 4_096


class RecentRuns:
    """Runs by what was asked and, where the client gave one, by its key.

    Args:
        window_s: How long a run can be joined.
    """

    def __init__(self, window_s: float = 600.0) -> None:
        self._window_s = window_s
        self._runs: OrderedDict[tuple[str, str], tuple[float, str, RunHandle]] = OrderedDict()

    def repeated(self, request: RunRequest) -> RunHandle | None:
        """Return the run a request repeats. One that failed is not joined: the client tries again.

        Raises:
            InvalidInputError: The key was used for another request.
        """
        if request.idempotency_key is None and not request.is_retry:
            return None
        digest = digest_of(request)
        found = self._runs.get((request.scope.tenant, request.idempotency_key or digest))
        if found is None or time.monotonic() - found[0] > self._window_s or isinstance(found[2].ending, RunFailed):
            return None
        if found[1] != digest:
            raise InvalidInputError(
                "the idempotency key was used for another request; use a new one",
                param="idempotency_key",
                code="idempotency_key_reused",
            )
        return found[2]

    def add(self, request: RunRequest, handle: RunHandle) -> Callable[[], None]:
        """Remember a run; call what is returned when it has ended, so that no more of it is kept than its answer."""
        digest = digest_of(request)
        place = (request.scope.tenant, request.idempotency_key or digest)
        self._runs[place] = (time.monotonic(), digest, handle)
        while self._runs and (
            len(self._runs) > _MOST or time.monotonic() - next(iter(self._runs.values()))[0] > self._window_s
        ):
            self._runs.popitem(last=False)

        def ended() -> None:
            if (found := self._runs.get(place)) is not None and found[2] is handle:
                self._runs[place] = (found[0], digest, handle.condensed())

        return ended
