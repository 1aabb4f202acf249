"""How the languages' word lists become one look-up table; it knows no language itself.

A language module holds:

- `CODE`: its ISO 639-1 code.
- `WORDS`: kind of word -> value -> the words, separated by `|`. A word may be a phrase.
- `CUES`: common words that tell the language apart; they mean no time.
- `PAST` and `FUTURE`: verbs that tell whether the speaker looks back or ahead.
- `EVERYDAY`: words with another meaning, and people's names: alone they name no time.
- `WEAK`: words of `WORDS` that other languages use too: they count only in a text of this language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Final, TypeAlias

__all__ = ["Entry", "Vocabulary", "Words", "vocabulary"]

Value: TypeAlias = str | int | float | tuple[str, int]
Words: TypeAlias = Mapping[str, Mapping[Value, str]]

_LANGUAGES: Final = ("english", "spanish", "french", "portuguese", "dutch", "german", "chinese", "japanese")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one word means in one language."""

    kind: str
    value: Value
    language: str
    is_weak: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Every word of every language.

    Attributes:
        words: Lower-case word -> its meanings, English first.
        phrases: First two words of a phrase -> (the whole phrase's words, meanings), the longest first.
        cues: Common word -> the languages it speaks for.
        unspaced: Words of languages written without spaces, the longest first.
        past: Words by which a speaker looks back; `not_past`: words in -ed by which none does.
        future: Words by which a speaker looks ahead.
        everyday: Words that name no time alone.
    """

    words: Mapping[str, tuple[Entry, ...]]
    phrases: Mapping[tuple[str, str], tuple[tuple[tuple[str, ...], tuple[Entry, ...]], ...]]
    cues: Mapping[str, tuple[str, ...]]
    unspaced: tuple[str, ...]
    past: frozenset[str]
    future: frozenset[str]
    everyday: frozenset[str]
    not_past: frozenset[str]


@cache
def vocabulary() -> Vocabulary:
    """Join all languages; built once, on the first text."""
    meanings: dict[str, list[Entry]] = {}
    cues: dict[str, list[str]] = {}
    past: set[str] = set()
    future: set[str] = set()
    everyday: set[str] = set()
    for name in _LANGUAGES:
        module = import_module(f"agentgraph.temporal.lexicon.{name}")
        code: str = module.CODE
        words: Words = module.WORDS
        weak = frozenset(module.WEAK.split("|"))
        past.update(module.PAST.split())
        future.update(module.FUTURE.split())
        everyday.update(module.EVERYDAY.split())
        for cue in module.CUES.split():
            cues.setdefault(cue, []).append(code)
        for kind, by_value in words.items():
            for value, spellings in by_value.items():
                for word in filter(None, spellings.split("|")):
                    entry = Entry(kind=kind, value=value, language=code, is_weak=word in weak)
                    # The lexer splits at hyphens, and one may stand wherever a phrase has a space.
                    meanings.setdefault(word.replace("-", " "), []).append(entry)
    phrases: dict[tuple[str, str], list[tuple[tuple[str, ...], tuple[Entry, ...]]]] = {}
    for word, entries in meanings.items():
        parts = tuple(word.split())
        if len(parts) > 1:
            phrases.setdefault((parts[0].removesuffix("'s"), parts[1].removesuffix("'s")), []).append(
                (parts, tuple(entries))
            )
    return Vocabulary(
        words={word: tuple(entries) for word, entries in meanings.items() if " " not in word},
        phrases={first: tuple(sorted(found, key=lambda f: -len(f[0]))) for first, found in phrases.items()},
        cues={cue: tuple(codes) for cue, codes in cues.items()},
        unspaced=tuple(sorted((w for w in meanings if _is_unspaced(w)), key=len, reverse=True)),
        past=frozenset(past),
        future=frozenset(future),
        everyday=frozenset(everyday),
        not_past=frozenset(import_module(f"{__package__}.english").NOT_PAST.split()),
    )


def _is_unspaced(word: str) -> bool:
    return any("\u3040" <= character <= "\u9fff" for character in word)
