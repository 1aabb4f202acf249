"""What the tests of crashes share: a place that processes come from."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.harness import Nursery, Processes


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Where processes are born quickly."""
    with Nursery(tmp_path_factory.mktemp("nursery") / "socket") as opened:
        yield opened


@pytest.fixture
async def processes(nursery: Nursery, tmp_path: Path) -> AsyncIterator[Any]:
    """Start processes on this test's directory; none outlives it."""
    async with Processes(nursery, tmp_path) as started:
        yield started
