"""Users and chats as they are registered; what belongs to them is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["Chat", "User"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person within a tenant.

    Attributes:
        number: Its place in lists.
        revision: Another after each change.
        is_leaving: Whether it is being deleted; nobody is shown it then.
    """

    number: int
    tenant: str
    user_id: str
    name: str
    metadata: Mapping[str, Any]
    revision: str
    is_leaving: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A thread of a user's, with a title; attributes as a `User`'s."""

    number: int
    tenant: str
    chat_id: str
    user_id: str
    title: str
    metadata: Mapping[str, Any]
    revision: str
    is_leaving: bool
    created_at: datetime
    updated_at: datetime
