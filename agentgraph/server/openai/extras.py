"""What OpenAI's requests have no field for: it rides in headers, or under like names in `metadata`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from starlette.datastructures import Headers

from agentgraph.errors import InvalidInputError
from agentgraph.run import OnBusy, OnDisconnect

__all__ = ["EXTRA_HINTS", "Extras"]

_HEADERS: Final[Mapping[str, str]] = {
    "thread_id": "x-thread-id",
    "user_id": "x-user-id",
    "timezone": "x-timezone",
    "include_memories": "x-include-memories",
    "on_busy": "x-on-busy",
    "on_disconnect": "x-on-disconnect",
    "receipts": "x-receipts",
}
EXTRA_HINTS: Final[Mapping[str, str]] = {
    **{name: f"send it as the header {header!r} or within 'metadata'" for name, header in _HEADERS.items()},
    "idempotency_key": "send it as the header 'Idempotency-Key'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """The extras of one request; see `RunRequest` for what they mean.

    Attributes:
        wants_receipts: Whether the answer is to tell which memories and tools were used, and why.
    """

    thread: str | None
    user: str | None
    timezone: str | None
    include_memories: bool
    on_busy: OnBusy | None
    on_disconnect: OnDisconnect | None
    idempotency_key: str | None
    is_retry: bool
    wants_receipts: bool

    @classmethod
    def of(cls, headers: Headers, metadata: Mapping[str, str] | None) -> Extras:
        """Read the extras; a header wins over `metadata`.

        Raises:
            InvalidInputError: What must be true or false is neither.
        """
        given = {name: headers.get(header) or (metadata or {}).get(name) for name, header in _HEADERS.items()}
        return cls(
            thread=given["thread_id"],
            user=given["user_id"],
            timezone=given["timezone"],
            include_memories=_truth("include_memories", given["include_memories"], default=True),
            on_busy=cast("OnBusy | None", given["on_busy"] or None),  # checked by `RunRequest.of`
            on_disconnect=cast("OnDisconnect | None", given["on_disconnect"] or None),
            idempotency_key=headers.get("idempotency-key"),
            is_retry=_is_retry(headers),
            wants_receipts=_truth("receipts", given["receipts"], default=False),
        )

    def options(self, tenant: str) -> dict[str, Any]:
        """Return them as `RunRequest.of` takes them.

        Raises:
            InvalidInputError: The URL names a session, and they a thread.
        """
        if ":" in tenant and self.thread is not None:
            raise InvalidInputError(
                "the URL names a session and the request a thread; a run is on one of them", param="thread_id"
            )
        return {
            "tenant": tenant,
            "user": self.user,
            "thread": self.thread,
            "timezone": self.timezone,
            "include_memories": self.include_memories,
            "on_busy": self.on_busy,
            "on_disconnect": self.on_disconnect,
            "idempotency_key": self.idempotency_key,
            "is_retry": self.is_retry,
        }


def _is_retry(headers: Headers) -> bool:
    """Say whether the client sends this again: the official ones count, and name the request in no other way."""
    count = headers.get("x-stainless-retry-count", "")
    return count.isdecimal() and int(count[:9]) > 0


def _truth(name: str, value: str | None, *, default: bool) -> bool:
    if value is None:
        return default
    known: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}
    if (truth := known.get(value.lower())) is None:
        raise InvalidInputError(f"{name} is {value!r}; it must be true or false", param=name)
    return truth
