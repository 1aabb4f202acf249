"""Requests made up from the server's description: none fails on the server's side, none is answered as is not told.

`AGENTGRAPH_FUZZ_EACH=120` sends so many to every route instead of a few: about 10,000.
"""

from __future__ import annotations

import os

import pytest

from tests.server.conftest import Serve
from tests.server.rest.conftest import ADMIN, started
from tests.server.rest.fuzzing import fuzz

pytestmark = pytest.mark.integration

EACH = int(os.environ.get("AGENTGRAPH_FUZZ_EACH", "2"))


# Schemathesis, not these tests, draws with `random` where some schemas are negated.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
def test_the_server_is_as_it_says_it_is(serve: Serve) -> None:
    served = started(serve, lambda messages, tools: "Yes.", enable_functions=True)
    figures = fuzz(
        served.url, each=EACH, seed=20261121, headers={"authorization": f"Bearer {ADMIN}", "x-tenant-id": "acme"}
    )
    assert figures.failures == []
    assert figures.cases >= 80 * EACH
    assert figures.statuses[200] + figures.statuses[201] >= figures.cases / 10, "hardly anything was there to be found"
