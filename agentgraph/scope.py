"""Who a run is for, validated once; the only file that spells namespaces, thread ids and paths.

Whatever is kept belongs to exactly one tenant, and every key begins with it. Building keys anywhere else is a bug.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agentgraph.errors import InvalidInputError

__all__ = [
    "GLOBAL_TENANT",
    "MAX_ID_LENGTH",
    "Scope",
    "history_namespace",
    "ledger_namespace",
    "system_directory",
    "tenant_directory",
    "tenant_of_thread_key",
]

MAX_ID_LENGTH: Final = 128
GLOBAL_TENANT: Final = "_global"
"""The tenant whose memories every tenant may read where that is enabled, and only an admin may write."""

# Letters and digits of any script would make two spellings of one name; ASCII keeps ids, paths and headers one thing.
_ID: Final = re.compile(r"[A-Za-z0-9_.@+\-]+")
# Thread ids are minted by other people's programs too ("thread_abc", UUIDs, "chat:7"), so they may hold a colon.
_THREAD: Final = re.compile(r"[A-Za-z0-9_.@+\-:]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The identity of a run: tenant first, always.

    Attributes:
        tenant: Whose data this is. Nothing is ever shared between two tenants, except `_global`'s memories.
        user: A person within the tenant; `None` means the tenant's shared memory only.
        session: A short-lived thread with its own ephemeral memory (`tenant:session` in a URL).
        thread: A persisted conversation; `None` means a one-off run that leaves no conversation behind.
        agent: The named agent that runs.

    Raises:
        InvalidInputError: Any part is empty, too long, `.` or `..`, or holds a character outside `[A-Za-z0-9_.@+-]`
            (a thread may also hold `:`).
    """

    tenant: str
    user: str | None = None
    session: str | None = None
    thread: str | None = None
    agent: str = "default"

    def __post_init__(self) -> None:
        _check("tenant", self.tenant, _ID)
        _check("agent", self.agent, _ID)
        for name, value in (("user", self.user), ("session", self.session)):
            if value is not None:
                _check(name, value, _ID)
        if self.thread is not None:
            _check("thread", self.thread, _THREAD)

    @classmethod
    def parse(cls, tenant: str, *, user: str | None = None, thread: str | None = None, agent: str = "default") -> Scope:
        """Read the `tenant` or `tenant:session` form that URLs and model names use."""
        name, colon, session = tenant.partition(":")
        return cls(tenant=name, session=session if colon else None, user=user, thread=thread, agent=agent)

    def with_thread(self, thread: str) -> Scope:
        """Return this scope on another thread."""
        return replace(self, thread=thread)

    @property
    def thread_key(self) -> str | None:
        """The id a checkpointer sees: it always begins with the tenant. `None` for a one-off run.

        `/` cannot occur in an id, so no choice of tenant and thread spells another's key.
        """
        if self.session is not None:
            return f"{self.tenant}/session/{self.session}"
        if self.thread is None:
            return None
        return f"{self.tenant}/thread/{self.thread}"

    @property
    def required_thread_key(self) -> str:
        """`thread_key`, where there has to be one.

        Raises:
            InvalidInputError: Neither a thread nor a session is named.
        """
        if (key := self.thread_key) is None:
            raise InvalidInputError("name a thread, or a session as tenant:session", param="thread")
        return key

    @property
    def shared_namespace(self) -> tuple[str, ...]:
        """Where memories of the whole tenant live."""
        return (self.tenant, "memory", "shared")

    @property
    def write_namespace(self) -> tuple[str, ...]:
        """Where this run's own memories go: the narrowest of session, user, tenant."""
        if self.session is not None:
            return (self.tenant, "memory", "session", self.session)
        if self.user is not None:
            return (self.tenant, "memory", "user", self.user)
        return self.shared_namespace

    @property
    def notes_namespace(self) -> tuple[str, ...]:
        """Where key-value notes a caller writes live: the user's, else the tenant's."""
        return (self.tenant, "notes", "user", self.user) if self.user is not None else (self.tenant, "notes", "shared")

    def read_namespaces(self, *, include_global: bool = False) -> list[tuple[str, ...]]:
        """List every leaf this run may read, the widest first.

        They are leaves, never prefixes of one another: LangGraph's namespace search is by prefix.
        """
        namespaces = [self.shared_namespace]
        if self.user is not None:
            namespaces.append((self.tenant, "memory", "user", self.user))
        if self.session is not None:
            namespaces.append((self.tenant, "memory", "session", self.session))
        if include_global and self.tenant != GLOBAL_TENANT:
            namespaces.insert(0, (GLOBAL_TENANT, "memory", "shared"))
        return namespaces

    def read_notes_namespaces(self, *, include_global: bool = False) -> list[tuple[str, ...]]:
        """List every leaf of notes this run may read, the widest first."""
        namespaces: list[tuple[str, ...]] = [(self.tenant, "notes", "shared")]
        if self.user is not None:
            namespaces.append((self.tenant, "notes", "user", self.user))
        if include_global and self.tenant != GLOBAL_TENANT:
            namespaces.insert(0, (GLOBAL_TENANT, "notes", "shared"))
        return namespaces


def history_namespace(namespace: tuple[str, ...]) -> tuple[str, ...]:
    """Return the leaf that keeps what was superseded in a leaf of memories, so that current recall never reads it."""
    return (namespace[0], "memory_history", *namespace[2:])


def ledger_namespace(namespace: tuple[str, ...]) -> tuple[str, ...]:
    """Return the leaf that notes, by digests alone, what was learned and what was forgotten in a leaf of memories."""
    return (namespace[0], "memory_ledger", *namespace[2:])


def tenant_of_thread_key(thread_key: str) -> str:
    """Return the tenant a checkpointer's thread id belongs to.

    Raises:
        InvalidInputError: The id was not spelt by `Scope.thread_key`.
    """
    tenant, slash, rest = thread_key.partition("/")
    if not slash or not rest:
        raise InvalidInputError(
            f"thread id {thread_key!r} does not begin with its tenant; build it with Scope.thread_key", param="thread"
        )
    _check("tenant", tenant, _ID)
    return tenant


def tenant_directory(storage_dir: Path, tenant: str) -> Path:
    """Return the one directory that holds everything of `tenant`.

    Lower-case names are spelt as they are, so that a person finds them. Others get their lower-case form plus a digest,
    so that `Acme` and `acme` stay two tenants on file systems that ignore case; a trailing dot, which Windows drops,
    and a leading one, which hides, count as "others" too.
    """
    _check("tenant", tenant, _ID)
    plain = tenant == tenant.lower() and "~" not in tenant and not tenant.startswith(".") and not tenant.endswith(".")
    if plain and tenant.partition(".")[0] not in _RESERVED_ON_WINDOWS:
        return storage_dir / tenant
    digest = hashlib.sha256(tenant.encode()).hexdigest()[:16]
    return storage_dir / f"{tenant.lower().strip('.')}~{digest}"


def system_directory(storage_dir: Path) -> Path:
    """Return the directory of what belongs to no tenant: theirs never begin with a dot."""
    return storage_dir / ".system"


_RESERVED_ON_WINDOWS: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(1, 10))}
)


def _check(name: str, value: object, pattern: re.Pattern[str]) -> None:
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} must be a string, not {type(value).__name__}", param=name)
    if not value:
        raise InvalidInputError(f"{name} is empty", param=name)
    if len(value) > MAX_ID_LENGTH:
        raise InvalidInputError(f"{name} is {len(value)} characters long; at most {MAX_ID_LENGTH} fit", param=name)
    if pattern.fullmatch(value) is None or value in {".", ".."}:
        raise InvalidInputError(
            f"{name} {value!r} is not allowed: use letters, digits and _ . @ + - only, and not '.' or '..'", param=name
        )
