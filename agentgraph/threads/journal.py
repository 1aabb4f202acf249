"""Accept runs before anything is done about them, and note how each ends.

A run that was accepted is on disk with its message: whatever happens to this process, it is carried to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from agentgraph.errors import InvalidInputError, NotFoundError, ThreadBusyError
from agentgraph.run import OnBusy, RunRequest
from agentgraph.scope import tenant_of_thread_key
from agentgraph.stores.threads import heads, lease, runs
from agentgraph.stores.threads.database import Saver, ThreadDatabase
from agentgraph.stores.threads.lease import Lease
from agentgraph.stores.threads.processes import uptime
from agentgraph.stores.threads.runs import Row, Status, Stop
from agentgraph.threads.request import digest_of, dumps, loads
from agentgraph.threads.session_gate import SessionGate

__all__ = ["Accepted", "Begun", "RunJournal"]

T = TypeVar("T")
_ROWS_KEPT: Final = 2_000  # a thread's


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A run that is on disk.

    Attributes:
        row: As it is noted.
        is_joined: It was accepted before, and this request repeats it.
        begun: Set where its thread was free, so that it may begin at once.
        stopped: Runs that were asked to end on its account.
    """

    row: Row
    is_joined: bool = False
    begun: Begun | None = None
    stopped: Mapping[str, Stop]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A run that holds its thread.

    Attributes:
        lease: To be named in every write.
        head: The checkpoint the thread stood at when it was first begun; `None` for a new thread.
        before: The thread's run before this one; `None` for the first.
        stop: Asked of it before it began.
        is_carried_on: It was begun before, and its process died or was too late.
    """

    lease: Lease
    head: str | None
    before: Row | None
    stop: Stop | None
    is_carried_on: bool


class RunJournal:
    """Runs as they are noted in their thread's database.

    Args:
        database: Where.
        retry_window_s: Within how many seconds a repetition without a key joins the run it repeats.
        sessions: Lets runs into sessions; `None` where there are none.
    """

    def __init__(
        self, database: ThreadDatabase, *, retry_window_s: float = 600.0, sessions: SessionGate | None = None
    ) -> None:
        self._database = database
        self._process = database.process
        self._ttl_s = database.lease_ttl_s
        self._retry_window_s = retry_window_s
        self._sessions = sessions

    async def accept(self, request: RunRequest, run_id: str, *, on_busy: OnBusy) -> Accepted:
        """Note a run, once it is on disk, or find the one this request repeats.

        Raises:
            ThreadBusyError: A run is under way, and `on_busy` is `reject`.
            InvalidInputError: The idempotency key was used for another request, or no session takes this one.
            SessionOverError: The session has to be ended first.
            NotFoundError: The thread was begun by another, and the caller speaks for one user alone.
        """
        thread_id = request.scope.thread_key
        assert thread_id is not None  # noqa: S101  one-off runs are not noted
        digest, written = digest_of(request), dumps(request, self._database.serde)
        now = datetime.now(UTC)
        if self._sessions is not None:
            self._sessions.admit(request, len(written), self._database.serde)

        def accept(saver: Saver) -> Accepted:
            connection = saver.conn
            if request.is_bound and lease.begun_by(connection, thread_id) not in {None, (request.scope.user,)}:
                raise NotFoundError("there is no such thread")  # begun since whoever asks was let in
            if self._sessions is not None:
                self._sessions.use(connection, request)
            repeated = self._repeated(connection, request, thread_id, digest, now)
            if repeated is not None:
                if not _may_be_tried_again(repeated, runs.newest(connection, thread_id)):
                    return Accepted(row=repeated, is_joined=True, stopped={})
                runs.reopen(
                    connection,
                    repeated.run_id,
                    process=self._process.id,
                    alive_until=uptime() + self._ttl_s,
                    request=written,
                )
                return self._noted(connection, repeated.run_id, stopped={})
            position = runs.add(
                connection,
                run_id=run_id,
                thread_id=thread_id,
                process=self._process.id,
                alive_until=uptime() + self._ttl_s,
                digest=digest,
                idempotency_key=request.idempotency_key,
                request=written,
                user=request.scope.user,
                accepted_at=now.isoformat(),
            )
            ahead = runs.ahead_of(connection, thread_id, position)
            stopped: dict[str, Stop] = {}
            match on_busy:
                case "reject" if ahead:
                    raise ThreadBusyError(f"a run is under way on the thread {_name(thread_id)!r}; try again later")
                case "interrupt" | "rollback":
                    stopped = {row.run_id: on_busy for row in ahead}
                    runs.stop(connection, on_busy, stopped)
            if position % 16 == 0:
                since = (now - timedelta(seconds=self._retry_window_s)).isoformat()
                runs.forget_results(connection, thread_id, ended_before=since, keep=_ROWS_KEPT)
            return self._noted(connection, run_id, stopped=stopped)

        return await self._database.write(tenant_of_thread_key(thread_id), accept)

    async def begin(self, row: Row) -> Begun | Row | None:
        """Take the thread for a run whose turn it is.

        Returns:
            The run as begun; another run that has to be carried on first, because nobody does any more; or `None`
            where it has to wait.
        """

        def begin(saver: Saver) -> Begun | Row | None:
            return self._begun(saver.conn, row.run_id)

        return await self._database.write(tenant_of_thread_key(row.thread_id), begin)

    def may_begin(self, row: Row) -> bool:
        """Say whether `begin` is worth a write: no run is ahead, or one that nobody carries any more."""
        ahead = self._glance(row.thread_id, lambda saver: runs.ahead_of(saver.conn, row.thread_id, row.position))
        return not ahead or self.is_abandoned(ahead[0])

    async def adopt(self, row: Row) -> Begun | None:
        """Take over a run that nobody carries any more; `None` where somebody was faster, or it is not its turn."""

        def adopt(saver: Saver) -> Begun | None:
            current = runs.get(saver.conn, row.run_id)
            if current is None or not self.is_abandoned(current):
                return None
            found = self._begun(saver.conn, row.run_id)
            return found if isinstance(found, Begun) else None

        return await self._database.write(tenant_of_thread_key(row.thread_id), adopt)

    async def end(
        self,
        row: Row,
        held: Lease,
        status: Status,
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
        parent: str | None = None,
        last_message_id: str | None = None,
        live_messages: int | None = None,
        also: Callable[[Saver], object] | None = None,
    ) -> None:
        """Commit what a run has still to write, note how it ended, and let go of its thread: in one transaction.

        Args:
            row: The run.
            held: Its lease.
            status: How it ended.
            result: What came of it.
            error: Why it failed.
            parent: The checkpoint it went on from: not always where the thread stood.
            last_message_id: The last message of the thread now, where it is known.
            live_messages: How many messages its live window holds now, where that is known.
            also: Written in the same transaction.

        Raises:
            LeaseLostError: The thread is another's by now, who carries the run on; nothing was written.
        """
        ended_at = datetime.now(UTC).isoformat()

        def end(saver: Saver) -> None:
            if also is not None:
                also(saver)
            connection = saver.conn
            checkpoint_id = heads.head(connection, row.thread_id)
            runs.end(
                connection,
                row.run_id,
                status,
                ended_at=ended_at,
                parent_checkpoint_id=parent,
                checkpoint_id=checkpoint_id,
                last_message_id=last_message_id,
                result=result,
                error=error,
            )
            if self._sessions is not None:
                self._sessions.left(connection, row.thread_id, live=live_messages)
            lease.release(connection, held)

        await self._database.commit(row.thread_id, held.fence, end)
        self._database.close_lease(held)

    async def hold(self, thread_id: str) -> Lease | None:
        """Take a thread that no run is on, for a change that is no run; `None` where somebody has it."""

        def hold(saver: Saver) -> Lease | None:
            return lease.acquire(
                saver.conn,
                thread_id,
                holder=self._process.id,
                now=uptime(),
                ttl_s=self._ttl_s,
                is_alive=self._process.is_alive,
            )

        return await self._database.write(tenant_of_thread_key(thread_id), hold)

    async def let_go(self, held: Lease) -> None:
        """Let go of a thread."""
        await self._database.write(tenant_of_thread_key(held.thread_id), lambda saver: lease.release(saver.conn, held))

    def request_of(self, row: Row) -> RunRequest | None:
        """Return what a run was asked; `None` once it is final."""
        written = self._glance(row.thread_id, lambda saver: runs.request_of(saver.conn, row.run_id))
        return None if written is None else loads(written, self._database.serde)

    def get(self, tenant: str, run_id: str) -> Row | None:
        """Return a run as it is noted now."""
        if not self._database.has(tenant):
            return None
        return self._database.glance(tenant, lambda saver: runs.get(saver.conn, run_id))

    def of_thread(self, thread_id: str, *, limit: int) -> list[Row]:
        """Return a thread's runs, the newest first."""
        if not self._database.has(tenant_of_thread_key(thread_id)):
            return []
        return self._glance(thread_id, lambda saver: runs.of_thread(saver.conn, thread_id, limit=limit))

    def ended_with(self, thread_id: str, message_id: str) -> Row | None:
        """Return the run after which a thread ended with a message."""
        return self._glance(thread_id, lambda saver: runs.ended_with(saver.conn, thread_id, message_id))

    async def stop(self, tenant: str, run_id: str, how: Stop) -> Row | None:
        """Ask for a run to be ended, whoever carries it; return it as it was noted then."""

        def stop(saver: Saver) -> Row | None:
            row = runs.get(saver.conn, run_id)
            runs.stop(saver.conn, how, [run_id])
            return row

        return await self._database.write(tenant, stop) if self._database.has(tenant) else None

    async def give_up(self, row: Row) -> None:
        """Note that a run which waits for a person was cancelled, unless it waits no more."""

        def give_up(saver: Saver) -> None:
            current = runs.get(saver.conn, row.run_id)
            if current is None or current.status != "waiting":
                return
            result = {name: value for name, value in (current.result or {}).items() if name != "interrupts"}
            runs.end(
                saver.conn,
                row.run_id,
                "cancelled",
                ended_at=datetime.now(UTC).isoformat(),
                parent_checkpoint_id=current.parent_checkpoint_id,
                checkpoint_id=current.checkpoint_id,
                last_message_id=None,
                result={**result, "is_cancelled": True},
            )

        await self._database.write(tenant_of_thread_key(row.thread_id), give_up)

    def stops(self, tenant: str) -> dict[str, Stop]:
        """Return what is asked of this process's runs."""
        return self._database.glance(tenant, lambda saver: runs.stops_for(saver.conn, self._process.id))

    async def keep_alive(self, tenant: str, run_ids: Iterable[str], leases: Iterable[Lease]) -> None:
        """Say that this process still carries some of a tenant's runs, and prolong their leases."""

        def keep(saver: Saver) -> None:
            now = uptime()
            lease.renew(saver.conn, leases, now=now, ttl_s=self._ttl_s)
            runs.keep_alive(saver.conn, self._process.id, run_ids, alive_until=now + self._ttl_s)

        await self._database.write(tenant, keep)

    def abandoned(self, tenant: str) -> list[Row]:
        """Return a tenant's runs that nobody carries any more, in the order their threads take them."""
        return self._database.glance(
            tenant,
            lambda saver: runs.orphans(saver.conn, now=uptime(), ttl_s=self._ttl_s, is_alive=self._process.is_alive),
        )

    def tenants_with_open_runs(self) -> list[str]:
        """Return the tenants in whose threads something is under way. Blocking: it looks into every tenant's file."""
        return self._database.tenants_where(
            "SELECT DISTINCT substr(thread_id, 1, instr(thread_id, '/') - 1) FROM runs"
            " WHERE status IN ('queued', 'running')"
        )

    def _repeated(self, connection: Any, request: RunRequest, thread_id: str, digest: str, now: datetime) -> Row | None:
        if request.idempotency_key is not None:
            row = runs.by_key(connection, request.idempotency_key)
            if row is not None and (row.digest != digest or row.thread_id != thread_id):
                raise InvalidInputError(
                    "the idempotency key was used for another request; use a new one",
                    param="idempotency_key",
                    code="idempotency_key_reused",
                )
            return row
        if not request.is_retry:
            return None
        row = runs.by_digest(connection, thread_id, digest)
        if row is None:
            return None
        age_s = abs((now - datetime.fromisoformat(row.accepted_at)).total_seconds())
        return row if age_s <= self._retry_window_s else None

    def _noted(self, connection: Any, run_id: str, *, stopped: Mapping[str, Stop]) -> Accepted:
        begun = self._begun(connection, run_id)
        row = runs.get(connection, run_id)
        assert row is not None  # noqa: S101  it was written a moment ago
        return Accepted(row=row, begun=begun if isinstance(begun, Begun) else None, stopped=stopped)

    def _begun(self, connection: Any, run_id: str) -> Begun | Row | None:
        row = runs.get(connection, run_id)
        if row is None or not row.is_open:
            return None
        ahead = runs.ahead_of(connection, row.thread_id, row.position)
        if ahead:
            return ahead[0] if self.is_abandoned(ahead[0]) else None
        held = lease.acquire(
            connection,
            row.thread_id,
            holder=self._process.id,
            now=uptime(),
            ttl_s=self._ttl_s,
            # Two runs of one process never share a lease: the earlier one lets go of it as it ends.
            is_alive=self._process.is_alive,
        )
        if held is None:
            return None
        head = (row.parent_checkpoint_id if row.attempts else None) or heads.head(connection, row.thread_id)
        runs.start(connection, run_id, process=self._process.id, alive_until=uptime() + self._ttl_s, parent=head)
        before = runs.before(connection, row.thread_id, row.position)
        runs.resumed(connection, row.thread_id)
        return Begun(
            lease=held,
            head=head,
            before=before,
            stop=row.stop,
            is_carried_on=row.attempts > 0,
        )

    def is_abandoned(self, row: Row) -> bool:
        """Say whether nobody carries an open run any more."""
        return row.is_abandoned(now=uptime(), ttl_s=self._ttl_s, is_alive=self._process.is_alive)

    def _glance(self, thread_id: str, look: Callable[[Saver], T]) -> T:
        return self._database.glance(tenant_of_thread_key(thread_id), look)


def _may_be_tried_again(row: Row, newest: Row | None) -> bool:
    """Say whether a run failed and nothing was said on its thread since."""
    return row.status == "failed" and newest is not None and newest.run_id == row.run_id


def _name(thread_id: str) -> str:
    return thread_id.rpartition("/")[2]
