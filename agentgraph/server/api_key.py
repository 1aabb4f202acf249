"""A key of the HTTP API: what it may, how its secret is spelt, and how it is known again without keeping it.

Secrets are 256 random bits, so nothing is gained by a slow hash: there is no list of likely ones to try. A keyed
BLAKE2b of one takes microseconds, which is what a check at every request can take.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal, TypeAlias

from agentgraph.errors import InvalidInputError
from agentgraph.scope import Scope
from agentgraph.settings import Limits

__all__ = ["PREFIX", "ApiKey", "Right", "Secret"]

Right: TypeAlias = Literal["admin", "tenant", "user"]
"""What a key may: everything, `_global` and the keys themselves included; all of one tenant's; one user's."""

PREFIX: Final = "ag"
"""Keys begin so, for whoever finds one in a log or a repository, and for programs that search them for keys."""

_ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_ID_LENGTH: Final = 12
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What a client sends, in its two parts: the id, which is no secret, and the secret.

    Attributes:
        key_id: Finds the key.
        value: Proves that it is the client's.
    """

    key_id: str
    value: str

    @classmethod
    def new(cls) -> Secret:
        """Make one up: 256 bits of the operating system's randomness."""
        key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
        return cls(key_id=key_id, value=secrets.token_urlsafe(32))

    @classmethod
    def read(cls, offered: str) -> Secret | None:
        """Take apart what a client sent; `None` where it is no key of this kind."""
        prefix, _, rest = offered.partition("_")
        key_id, _, value = rest.partition("_")
        if prefix != PREFIX or len(key_id) != _ID_LENGTH or not value or not key_id.isascii():
            return None
        return cls(key_id=key_id, value=value)

    def __str__(self) -> str:
        return f"{PREFIX}_{self.key_id}_{self.value}"

    def digest(self, pepper: str = "") -> str:
        """Return what is kept of it.

        Args:
            pepper: A secret of the deployment's that the database does not hold: without it, whoever can write there
                can still not make a key up.
        """
        key = hashlib.sha256(pepper.encode()).digest() if pepper else b""
        hashed = hashlib.blake2b(
            self.value.encode(), digest_size=32, key=key, salt=self.key_id.encode(), person=b"agentgraph-key"
        )
        return hashed.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as the database has it.

    Attributes:
        key_id: Its public part.
        digest: Of its secret, hexadecimal.
        name: What people call it.
        scope: What it may.
        tenant: Whose it is; `None` for administrators' keys.
        user: Which user's, of those with the scope `user`.
        limits: How much may be used with it.
        created_at: Aware, as all times here.
        expires_at: When it ends by itself.
        revoked_at: When it was ended.
        last_used_at: About when it was last sent, to the minute.
    """

    key_id: str
    digest: str
    name: str
    scope: Right
    tenant: str | None
    user: str | None
    limits: Limits
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.scope not in {"admin", "tenant", "user"}:
            raise InvalidInputError(f"scope is {self.scope!r}; choose admin, tenant or user", param="scope")
        if self.tenant is None and self.scope != "admin":
            raise InvalidInputError(f"a key with the scope {self.scope!r} is a tenant's: name it", param="tenant")
        if self.tenant is not None and self.scope == "admin":
            raise InvalidInputError("an administrator's key is of no tenant", param="tenant")
        if (self.user is not None) != (self.scope == "user"):
            raise InvalidInputError("a user is named for the scope 'user', and only there", param="user")
        if self.tenant is not None:
            Scope(tenant=self.tenant, user=self.user)
        if len(self.name) > _LONGEST_NAME or not self.name.isprintable():
            raise InvalidInputError(f"name is more than {_LONGEST_NAME} printable characters", param="name")

    def is_good(self, now: datetime) -> bool:
        """Say whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def is_proved_by(self, secret: Secret, pepper: str = "") -> bool:
        """Say whether `secret` is its secret; how long that takes tells nothing."""
        return hmac.compare_digest(self.digest, secret.digest(pepper))

    def succeeded_by(self, successor: ApiKey) -> ApiKey:
        """Return `successor` with what this key may."""
        return replace(
            successor,
            name=self.name,
            scope=self.scope,
            tenant=self.tenant,
            user=self.user,
            limits=self.limits,
            expires_at=self.expires_at,
        )
