"""Keep, in the background, what finished turns owe to memory, and what an earlier process left owing.

Episodes are written at once. Facts wait for the memory model, whose failures hold up neither episodes nor others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, cast
from weakref import WeakValueDictionary

from langchain_core.language_models import BaseChatModel
from langgraph.store.base import BaseStore

from agentgraph.errors import StoreError
from agentgraph.memory.learn import learn, put_off
from agentgraph.memory.record import Owed
from agentgraph.memory.rounds import Rounds
from agentgraph.memory.write import write_episodes

__all__ = ["MemoryWorker", "Outbox"]

Namespace = tuple[str, ...]
_TENANTS_AT_ONCE: Final = 4
_MODEL_CALLS_AT_ONCE: Final = 4
_MESSAGES_A_ROUND: Final = 100
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
_FIRST_MODEL_PAUSE_S: Final = 1.0  # then 4, 16, 64 and 256: vendors limit by the minute
_LONGEST_MODEL_PAUSE_S: Final = 300.0
_CLOSING_TIMEOUT_S: Final = 15.0


class Outbox(Protocol):
    """Where work owed is filed, tenant by tenant, until it is settled."""

    async def owed(self, tenant: str, *, limit: int = 100) -> list[tuple[int, dict[str, Any]]]:
        """Return the oldest items with their numbers."""

    async def owe(self, tenant: str, items: Sequence[Mapping[str, Any]]) -> None:
        """File items."""

    async def settle(self, tenant: str, numbers: Sequence[int]) -> None:
        """Strike items off."""


class MemoryWorker:
    """Empties the outbox of whichever tenants it is told of.

    What arrives during a round is written together in the next. An item is struck off only after all of it was
    written, and writing it twice is harmless: a crash between the two loses nothing and doubles nothing. A tenant whose
    store fails, and a leaf of memories over which the model does, is tried again, ever more slowly, without holding up
    others.

    Args:
        store: Where memories live.
        outbox: Where they are owed.
        open_model: Opens the model that extracts facts; `None` keeps episodes only.
        model_timeout_s: Seconds one extraction may take.
    """

    def __init__(
        self,
        store: BaseStore,
        outbox: Outbox,
        *,
        open_model: Callable[[], Awaitable[BaseChatModel]] | None = None,
        model_timeout_s: float = 120.0,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._open_model = open_model
        self._model_timeout_s = model_timeout_s
        self._unread: dict[Namespace, dict[int, Owed]] = {}  # what the model has still to read, by outbox number
        self._learning: dict[Namespace, asyncio.Task[None]] = {}
        self._writing_in: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unwritten: Counter[Namespace] = Counter()
        self._progress = asyncio.Event()
        self._writing = Rounds(
            self._write, at_once=_TENANTS_AT_ONCE, first_pause_s=_FIRST_PAUSE_S, longest_pause_s=_LONGEST_PAUSE_S
        )
        self._reading = Rounds(
            self._read,
            at_once=_MODEL_CALLS_AT_ONCE,
            first_pause_s=_FIRST_MODEL_PAUSE_S,
            longest_pause_s=_LONGEST_MODEL_PAUSE_S,
            slower=4,
        )

    def notify(self, tenant: str, namespace: Namespace | None = None) -> None:
        """Say that `tenant` owes something, to `namespace` where that is known."""
        if namespace is not None:
            self._unwritten[namespace] += 1
        self._writing.start(tenant)

    async def caught_up(self, namespaces: Sequence[Namespace], *, timeout_s: float) -> bool:
        """Wait until what was said before is in `namespaces`, so that a question right after it finds it.

        Its words, that is: facts come when the model has read them.

        Returns:
            Whether it is; `False` when the time is up, which holds up nothing.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while any(namespace in self._unwritten for namespace in namespaces):
                    await self._progress.wait()
                return True
        return False

    async def drop(self, namespace: Namespace) -> None:
        """Write nothing more of what `namespace` is owed; it has been struck off in the outbox.

        What is just being written is finished when this returns, what is being read is not.
        """
        async with self._alone_in(namespace[0]):
            self._unread.pop(namespace, None)
            if (learning := self._learning.get(namespace)) is not None:
                learning.cancel()
                await asyncio.wait([learning])

    async def settled(self) -> None:
        """Wait until nothing that was notified is owed any more."""
        while self._writing.is_busy or self._reading.is_busy:
            await self._writing.settled()
            await self._reading.settled()

    async def aclose(self) -> None:
        """Do what can be done now and stop; what fails or takes too long stays owed for the next start."""
        await self._writing.aclose(timeout_s=_CLOSING_TIMEOUT_S)
        await self._reading.aclose(timeout_s=_CLOSING_TIMEOUT_S)

    async def _write(self, tenant: str) -> bool:
        """Write the episodes of everything a tenant owes; what has facts to be extracted stays owed until they are."""
        awaited = {namespace: n for namespace, n in self._unwritten.items() if namespace[0] == tenant}
        while await self._write_some(tenant):
            pass
        self._tell(awaited)
        return True

    async def _write_some(self, tenant: str) -> bool:
        async with self._alone_in(tenant):
            rows = await self._unwritten_rows(tenant)
            if not rows:
                return False
            unread = await write_episodes(self._store, rows.values(), wants_facts=self._open_model is not None)
            await self._outbox.settle(tenant, [number for number, message in rows.items() if message not in unread])
            for number, message in rows.items():
                if message in unread:
                    leaf = tuple(message["namespace"])
                    self._unread.setdefault(leaf, {})[number] = message
                    self._reading.start(leaf)
        return True

    def _alone_in(self, tenant: str) -> asyncio.Lock:
        lock = self._writing_in.get(tenant)
        if lock is None:
            lock = self._writing_in[tenant] = asyncio.Lock()
        return lock

    async def _unwritten_rows(self, tenant: str) -> dict[int, Owed]:
        waiting = {number for leaf, unread in self._unread.items() if leaf[0] == tenant for number in unread}
        rows = await self._outbox.owed(tenant, limit=_MESSAGES_A_ROUND + len(waiting))
        return {number: cast("Owed", item) for number, item in rows if number not in waiting}

    async def _read(self, leaf: Namespace) -> bool:
        """Have the model read the oldest message that waits in a leaf; say whether it went well."""
        if leaf not in self._unread:  # dropped while it waited
            return True
        number, message = next(iter(self._unread[leaf].items()))
        learning = self._learning[leaf] = asyncio.get_running_loop().create_task(self._learn(message))
        try:
            await learning
        except asyncio.CancelledError:
            if leaf in self._unread:
                raise
            return True
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a model can do wrong: noted, and bounded
            if leaf not in self._unread:
                return True
            if await put_off(self._store, message, error):
                return False
        finally:
            del self._learning[leaf]
        await self._outbox.settle(leaf[0], [number])
        waiting = self._unread.get(leaf, {})
        waiting.pop(number, None)
        if waiting:
            self._reading.start(leaf)
        else:
            self._unread.pop(leaf, None)
        return True

    async def _learn(self, message: Owed) -> None:
        assert self._open_model is not None  # noqa: S101  nothing is unread without one
        async with asyncio.timeout(self._model_timeout_s):
            await learn(self._store, await self._open_model(), message)

    def _tell(self, written: Mapping[Namespace, int]) -> None:
        for namespace, notified in written.items():
            self._unwritten[namespace] -= notified
            if self._unwritten[namespace] <= 0:
                del self._unwritten[namespace]
        self._progress.set()
        self._progress = asyncio.Event()
