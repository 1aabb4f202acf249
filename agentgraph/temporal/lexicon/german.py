"""German words for time."""

from __future__ import annotations

from typing import Final

from agentgraph.temporal.lexicon.vocabulary import Words

CODE: Final = "de"
WORDS: Final[Words] = {}
CUES: Final = ""
WEAK: Final = ""
