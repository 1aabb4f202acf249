"""Each language's words for time, as data; `vocabulary` joins them into one table the lexer looks words up in."""

from agentgraph.temporal.lexicon.vocabulary import Entry, Vocabulary, vocabulary

__all__ = ["Entry", "Vocabulary", "vocabulary"]
