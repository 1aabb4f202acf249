"""Learn the facts of one message: look up what is known, ask the model once, merge, and note that it was done."""

from __future__ import annotations

import logging
from typing import Final

from langchain_core.language_models import BaseChatModel
from langgraph.store.base import BaseStore

from agentgraph.errors import is_retryable
from agentgraph.memory.extract import extract
from agentgraph.memory.known import related_to
from agentgraph.memory.ledger import Entry, digest_of_telling, entries_of, note
from agentgraph.memory.merge import merge
from agentgraph.memory.record import Owed
from agentgraph.memory.tombstones import digest_of_message, forgotten

__all__ = ["learn", "put_off"]

logger = logging.getLogger(__name__)
_MOST_FAILURES: Final = 3
_MOST_PASSING_FAILURES: Final = 6  # rate limits, time-outs, a vendor that is away: with the worker's pauses, minutes


async def learn(store: BaseStore, model: BaseChatModel, owed: Owed) -> None:
    """Extract the facts of `owed` and write them with the ledger's note, in one batch.

    Nothing happens if that was done before. The model is not shown what was forgotten meanwhile.

    Raises:
        InvalidAnswerError: The model's answer is not what was asked for.
        langchain_core.exceptions.ModelError: The model failed.
        StoreError: The store did.
    """
    entry, leaf = await _entry(store, owed), tuple(owed["namespace"])
    if entry.facts != "owed" or await forgotten(store, leaf, [digest_of_message(owed["message_id"], leaf)]):
        return
    changes = await extract(model, owed, await related_to(store, owed))
    done = note(store, owed, Entry(facts="learned", failures=entry.failures, error=entry.error))
    await store.abatch([*await merge(store, owed, changes), done])


async def put_off(store: BaseStore, owed: Owed, error: Exception) -> bool:
    """Note that the model failed over `owed`; say whether to try again, or it is given up and its episodes must do."""
    failures = (await _entry(store, owed)).failures + 1
    is_passing = is_retryable(error) or isinstance(error, TimeoutError)
    goes_on = failures < (_MOST_PASSING_FAILURES if is_passing else _MOST_FAILURES)
    entry = Entry(facts="owed" if goes_on else "given up", failures=failures, error=type(error).__name__)
    await store.abatch([note(store, owed, entry)])
    # No text of the error's: vendors quote the request, which is what somebody said.
    logger.warning(
        "the memory model failed over message %s of tenant %r (%s, time %d): %s",
        *(owed["message_id"], owed["namespace"][0], entry.error, failures),
        "it is asked again later" if goes_on else "given up, its episodes are kept",
    )
    return goes_on


async def _entry(store: BaseStore, owed: Owed) -> Entry:
    digest = digest_of_telling(owed)
    return (await entries_of(store, {digest: owed})).get(digest, Entry(facts="owed"))
