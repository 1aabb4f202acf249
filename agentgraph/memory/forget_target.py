"""What is to be forgotten, and whether a given memory, message or recalled copy is part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentgraph.errors import InvalidInputError
from agentgraph.memory.kept import own_leaves
from agentgraph.memory.stored import Namespace
from agentgraph.scope import Scope, history_namespace

__all__ = ["ForgetTarget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetTarget:
    """The narrowest thing that is named.

    Attributes:
        scope: The tenant; with a user, what belongs to that person; with a session, the session and its conversation;
            with a thread, the conversation and what was learned in it.
        key: One memory of that scope.
        source: What came from a message, a thread or an import of this name, within that scope.

    Raises:
        InvalidInputError: More than one of key, source and thread.
    """

    scope: Scope
    key: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.key, self.source, self.scope.thread)) > 1:
            raise InvalidInputError("forget one of a memory, a source and a thread at a time", param="source")
        if self.scope.thread is not None and self.scope.session is not None:
            raise InvalidInputError("a session is a thread of its own; name one of them", param="thread")

    @property
    def is_whole_leaf(self) -> bool:
        """Whether everything of the tenant, the user or the session goes."""
        return self.key is None and self.source is None and self.scope.thread is None

    @property
    def is_whole_tenant(self) -> bool:
        """Whether everything of the tenant goes."""
        return self.is_whole_leaf and self.scope.user is None and self.scope.session is None

    @property
    def thread_keys(self) -> set[str]:
        """The conversation that is itself the target, if one is."""
        thread = self.scope.thread_key
        is_target = self.scope.thread is not None or (self.is_whole_leaf and self.scope.session is not None)
        return {thread} if is_target and thread is not None else set()

    @property
    def leaves(self) -> set[Namespace]:
        """The leaves of exactly this scope, with those of what was superseded in them."""
        own = own_leaves(self.scope)
        return {*own, *map(history_namespace, own)}

    def takes(self, namespace: Sequence[str], key: str, source: Mapping[str, Any]) -> bool:
        """Say whether the memory `key` of `namespace`, or a message owed to it, is to be forgotten.

        Args:
            namespace: The leaf it is in, or is owed to.
            key: The memory's; empty for a message, which becomes a memory only later.
            source: Its `thread`, `message_id` and `import`, each where there is one.
        """
        if namespace[0] != self.scope.tenant:
            return False
        is_own = tuple(namespace) in self.leaves
        if self.key is not None:
            return is_own and key == self.key
        if self.is_whole_leaf:
            return is_own or self.is_whole_tenant
        return self._is_from(source) and (is_own or (self.scope.user is None and self.scope.session is None))

    def as_record(self) -> dict[str, str]:
        """Return what was named, as a JSON object."""
        scope = self.scope
        named = {"tenant": scope.tenant, "user": scope.user, "session": scope.session, "thread": scope.thread}
        return {name: part for name, part in (named | {"memory": self.key, "source": self.source}).items() if part}

    def _is_from(self, source: Mapping[str, Any]) -> bool:
        if self.source is None:
            return source.get("thread") in self.thread_keys
        tenant = self.scope.tenant
        threads = {self.source, f"{tenant}/thread/{self.source}", f"{tenant}/session/{self.source}"}
        return self.source in {source.get("message_id"), source.get("import")} or source.get("thread") in threads
