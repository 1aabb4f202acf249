"""`python -m agentgraph` is the `agentgraph` command."""

from __future__ import annotations

import sys

from agentgraph.cli import main

if __name__ == "__main__":
    sys.exit(main())
