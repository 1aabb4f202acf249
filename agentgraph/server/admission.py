"""What a run needs before it begins, and what becomes of it at its end: rates, a fair share, budgets, usage."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final, TypeAlias

from agentgraph.app import AgentGraph
from agentgraph.errors import StoreError
from agentgraph.events import Usage
from agentgraph.run import RunRequest
from agentgraph.server.auth import Caller
from agentgraph.server.budgets import Budgets
from agentgraph.server.fairness import FairShare
from agentgraph.server.hooks import HookCalls
from agentgraph.server.rates import Account, Rates
from agentgraph.server.usage import UsageBook, UsageRow
from agentgraph.settings import Limits
from agentgraph.stores.database.database import Database

__all__ = ["Admission", "Settle"]

logger = logging.getLogger(__name__)

Settle: TypeAlias = Callable[[str, str, Usage, float], Awaitable[None]]
"""Takes a run's id, its model, what it used, and how many seconds it took."""

_UNLIMITED: Final = Limits()
_USUAL_ANSWER_TOKENS: Final = 1_000
_SIZES_KEPT: Final = 16
_MOST_SIZES: Final = 4_096
_MOST_PAID: Final = 4_096


class Admission:
    """Lets the runs of one application in. Belongs to one event loop.

    Args:
        app: Whose settings say how much each may.
        database: Where budgets and usage are.
        hooks: Told what runs used.
    """

    def __init__(self, app: AgentGraph, database: Database, hooks: HookCalls) -> None:
        settings = app.settings
        self._app = app
        self._database = database
        self._hooks = hooks
        self.rates = Rates()
        self.fairness = FairShare()
        self.usage = UsageBook(database)
        self._budgets = Budgets(settings.model_prices, lasts_s=settings.model_timeout_s * settings.max_turns)
        self._sizes: OrderedDict[str, deque[Usage]] = OrderedDict()
        self._paid: OrderedDict[str, None] = OrderedDict()

    def take_key(self, caller: Caller) -> None:
        """Count a request for its key.

        Raises:
            RateLimitedError: There were too many in the last minute.
        """
        if (account := self._of_key(caller)) is not None:
            self.rates.take_request(account)

    def take_tenant(self, tenant: str) -> None:
        """Count a request for its tenant.

        Raises:
            RateLimitedError: There were too many in the last minute.
        """
        self.rates.take_request(self._of_tenant(tenant))

    async def hold(self, held: AsyncExitStack, caller: Caller, asked: RunRequest, *, estimate: Usage) -> Settle:
        """Wait until a run may begin, and hold what it takes until `held` is closed; await what is returned before.

        Raises:
            RateLimitedError: Too many runs are under way, or too many tokens were used in the last minute.
            BudgetExceededError: A budget is used up.
            ConfigurationError: A budget is in dollars and the model has no price.
        """
        tenant = asked.scope.tenant
        accounts = [self._of_tenant(tenant)]
        if (of_key := self._of_key(caller)) is not None:
            accounts.append(of_key)
        likely = self._likely(tenant, asked, estimate)
        settle_rates = held.enter_context(self.rates.run(accounts, likely.total_tokens))
        await held.enter_async_context(self.fairness.slot(tenant))
        rooms = self._budgets.rooms(accounts)
        reservation = ""
        if rooms:
            cost = self._budgets.needed_cost(asked.model or self._app.default_model, likely, rooms)
            reservation = await self._budgets.reserve(self._database, rooms, tokens=likely.total_tokens, microusd=cost)

        async def settle(run_id: str, model: str, used: Usage, duration_s: float) -> None:
            if self._is_paid(run_id):  # a client that repeated its request was told the run it had begun
                used = Usage()
            cost = self._budgets.cost_microusd(model, used) or 0
            settle_rates(used.total_tokens)
            if used.total_tokens:
                self._remember(tenant, used)
                self.usage.note(
                    tenant=tenant,
                    key_id=caller.key_id,
                    user=asked.scope.user,
                    model=model,
                    used=UsageRow(
                        runs=1,
                        input_tokens=used.input_tokens,
                        output_tokens=used.output_tokens,
                        cost_microusd=cost,
                    ),
                )
                self._hooks.tell("usage_hook", tenant, used.total_tokens, duration_s)
            if not reservation:
                return
            try:
                await self._budgets.settle(self._database, reservation, rooms, tokens=used.total_tokens, microusd=cost)
            except StoreError as error:  # the run has ended; what it reserved is held until that is void
                logger.error("%d tokens of %r are in no budget: %s", used.total_tokens, tenant, error.message)  # noqa: TRY400

        return settle

    async def aclose(self) -> None:
        """Write down what is only remembered."""
        self.fairness.aclose()
        await self.usage.aclose()

    def _of_key(self, caller: Caller) -> Account | None:
        if caller.key_id is None:
            return None
        own = caller.limits if caller.limits != _UNLIMITED else self._app.settings.key_limits
        return f"key:{caller.key_id}", own or _UNLIMITED

    def _of_tenant(self, tenant: str) -> Account:
        limits = self._app.settings.tenant_limits
        return f"tenant:{tenant}", limits.get(tenant) or limits.get("*") or _UNLIMITED

    def _likely(self, tenant: str, asked: RunRequest, estimate: Usage) -> Usage:
        """Return about what a run will use: as much as the largest of the tenant's last ones, at the least."""
        if sizes := self._sizes.get(tenant):
            return Usage(
                input_tokens=max(estimate.input_tokens, *(size.input_tokens for size in sizes)),
                output_tokens=max(size.output_tokens for size in sizes),
            )
        settings = self._app.settings
        more = settings.mem_max_tokens if settings.enable_memory and asked.include_memories else 0
        more += settings.live_window_tokens if asked.scope.thread_key is not None else 0
        return Usage(
            input_tokens=estimate.input_tokens + more, output_tokens=estimate.output_tokens or _USUAL_ANSWER_TOKENS
        )

    def _remember(self, tenant: str, used: Usage) -> None:
        self._sizes.setdefault(tenant, deque(maxlen=_SIZES_KEPT)).append(used)
        self._sizes.move_to_end(tenant)
        while len(self._sizes) > _MOST_SIZES:
            self._sizes.popitem(last=False)

    def _is_paid(self, run_id: str) -> bool:
        if not run_id:
            return False
        is_paid = run_id in self._paid
        self._paid[run_id] = None
        while len(self._paid) > _MOST_PAID:
            self._paid.popitem(last=False)
        return is_paid
