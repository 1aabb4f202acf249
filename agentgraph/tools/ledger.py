"""Tools once: a call is claimed before its effect and settled after it, so a run that is resumed knows what it did.

What happened between the two when a process stops cannot be known from here. A call that may be repeated is; of another
the model, or a person first, is told that nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Protocol, TypeVar

from agentgraph.stores.threads.sql import Connection
from agentgraph.stores.threads.tool_calls import Call, Claim, claim, claim_again, claims_of, settle
from agentgraph.tools.approval import Outcome

__all__ = ["Claims", "Database", "ToolLedger", "Wanted"]

T = TypeVar("T")

_UNKNOWN: Final = (
    "The outcome is unknown: the process stopped while this tool ran. It must not be assumed that it was done, nor that"
    " it was not. Find out before you call it again."
)
_DONE: Final = "A person found out that this was done; what came of it is not known."


class Database(Protocol):
    """Where a thread's checkpoints and its ledger are kept together."""

    async def guarded(self, thread_key: str, fence: int | None, job: Callable[[Connection], T]) -> T:
        """Commit the thread's buffered checkpoint writes and what `job` does, in one transaction that fence allows.

        Raises:
            LeaseLostError: Somebody else has the thread by now; nothing was written.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A call to be made, and what to do if it may have been made before."""

    call: Call
    on_unknown: Literal["repeat", "tell", "ask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What came of a claim.

    Attributes:
        known: By position: one that is `claimed` is to be run now, any other has its output. Empty while a person must
            be asked: then nothing was claimed.
        to_ask: Positions of the calls whose outcome a person must find out.
        asked: How often that was asked, and answered, of this message before.
    """

    known: Mapping[int, Claim]
    to_ask: tuple[int, ...] = ()
    asked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLedger:
    """The calls of one run, on one thread.

    Attributes:
        database: Where it is kept.
        thread_key: As the checkpointer knows the thread.
        run_id: Who claims.
        fence: The fence of the run's lease; `None` where it holds none.
        clock: Tells when a call was begun, aware.
    """

    database: Database
    thread_key: str
    run_id: str
    fence: int | None
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    async def claim(
        self, message_id: str, wanted: Sequence[Wanted], *, outcomes: Mapping[int, Outcome] | None = None
    ) -> Claims:
        """Claim calls of one message, in one transaction.

        Args:
            message_id: The message that makes them.
            wanted: The calls.
            outcomes: By position, what a person found out of those that an earlier `Claims` asked for.
        """
        return await self.database.guarded(
            self.thread_key,
            self.fence,
            lambda connection: self._claimed(connection, message_id, wanted, outcomes or {}),
        )

    async def settle(
        self, message_id: str, position: int, *, output: str, output_status: Literal["success", "error"]
    ) -> None:
        """Keep what a call gave."""
        await self.database.guarded(
            self.thread_key,
            self.fence,
            lambda connection: settle(
                connection, self.thread_key, message_id, position, output=output, output_status=output_status
            ),
        )

    def _claimed(
        self, connection: Connection, message_id: str, wanted: Sequence[Wanted], outcomes: Mapping[int, Outcome]
    ) -> Claims:
        known = claims_of(connection, self.thread_key, message_id)
        in_doubt = [each for each in wanted if _is_in_doubt(each, known.get(each.call.position))]
        asked = max((row.asked for row in known.values()), default=0)
        to_ask = tuple(
            each.call.position for each in in_doubt if each.on_unknown == "ask" and each.call.position not in outcomes
        )
        if to_ask:
            return Claims(known={}, to_ask=to_ask, asked=asked)
        claimed_at = self.clock().isoformat()
        for each in in_doubt:
            self._resolve(connection, message_id, each.call, outcomes.get(each.call.position), asked + 1, claimed_at)
        calls = [each.call for each in wanted]
        return Claims(
            known=claim(connection, self.thread_key, message_id, calls, run_id=self.run_id, claimed_at=claimed_at)
        )

    def _resolve(
        self, connection: Connection, message_id: str, call: Call, found: Outcome | None, asked: int, claimed_at: str
    ) -> None:
        """Act on what is known of a call that may have been made."""
        of_call = (connection, self.thread_key, message_id, call.position)
        match found.outcome if found is not None else "unknown":
            case "done":
                settle(*of_call, output=(found and found.output) or _DONE, output_status="success")
            case "not_done":
                # Should it be interrupted once more, the answer is of an earlier time and is not acted upon again.
                claim_again(
                    connection,
                    self.thread_key,
                    message_id,
                    call,
                    asked=asked,
                    run_id=self.run_id,
                    claimed_at=claimed_at,
                )
            case "unknown":
                settle(*of_call, output=_UNKNOWN, output_status="error", status="unknown")


def _is_in_doubt(wanted: Wanted, known: Claim | None) -> bool:
    """Say whether a call was begun, is not known to have ended, and may not simply be made again."""
    if known is None or known.status != "claimed":
        return False
    # A key belongs to its arguments: with others, it would be a second call and no repetition.
    return wanted.on_unknown != "repeat" or known.arguments_digest != wanted.call.arguments_digest
