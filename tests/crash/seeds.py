"""How the fault tests are made longer or different from outside, and repeated exactly.

Read when imported: `conftest.py` hides every setting from the tests themselves.
"""

import os

__all__ = ["scaled", "seed"]

_SEED = int(os.environ.get("AGENTGRAPH_TEST_SEED", "20261121"))
_SCALE = float(os.environ.get("AGENTGRAPH_TEST_SCALE", "1"))


def seed() -> int:
    """Return what every random choice of these tests follows from."""
    return _SEED


def scaled(n: int) -> int:
    """Return how many rounds, writes or kills to do where `n` would do on an ordinary run; at least one."""
    return max(1, round(n * _SCALE))
