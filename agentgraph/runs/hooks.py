"""Functions of the deployment's own, called at the edges of a request to the server; what they are and may return.

Each may be a plain function, called on a thread, or a coroutine function. The server's part is `server/hooks.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Hook", "Hooks"]

Hook: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The functions that were given.

    Attributes:
        auth_hook: `(request, tenant)`, before anything is done for a tenant. Whatever it raises refuses the request:
            an `HTTPException` or an error of ours as it says. May set `request.state.user_id`, the run's user.
        usage_hook: `(tenant, tokens, duration)`, after each run: tokens of input and output together, and seconds.
        on_thinking: `(tenant, state)`: `"thinking"` before memory is read, where it is, and `"ready"` just before the
            answer. `tenant` is `tenant:session` within a session.
        manager_fn: `(request, tenant, conversation)`, before each run, with the request's messages as OpenAI spells
            them. Returns messages to go on with instead, a LangChain runnable or graph that answers instead, or `None`.
        extract_text: `(path, mime)`, for each file within a message; `path` is a temporary copy under a name of ours.
            Returns its text, LangChain documents, or `None` to have it read as usual.
    """

    auth_hook: Hook | None = None
    usage_hook: Hook | None = None
    on_thinking: Hook | None = None
    manager_fn: Hook | None = None
    extract_text: Hook | None = None
