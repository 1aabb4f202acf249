"""Words as search sees them: folded, split, stemmed and hashed; the same for what is stored and what is asked.

Scripts written without spaces are cut into characters and pairs of characters. Ranking is left to `postings.py`.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from agentgraph.stores.function_words import FUNCTION_WORDS

__all__ = ["Terms", "count_terms", "query_terms", "stem", "telling_words", "words"]

Terms = npt.NDArray[np.uint32]

# Thai to Burmese, Khmer, Hangul, kana and Han: no spaces, or words that change at their end.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
# Vowel signs of Indic, Hebrew and Arabic scripts are marks, which `\w` leaves out, yet they are inside words.
_MARKS: Final = "\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0dff"
_TOKEN: Final = re.compile(rf"([{_UNSPACED}]+)|((?:[^\W_]|[{_MARKS}])+?(?=[{_UNSPACED}]|[^\w{_MARKS}]|_|$))")
_ASCII_TOKEN: Final = re.compile(r"[a-z0-9]+")
_ACCENTS: Final = re.compile("[\u0300-\u036f]+")


def words(text: str) -> list[str]:
    """Split `text` into folded words, in order: no case, no accents, no punctuation, stemmed if they look English."""
    if text.isascii():
        return [stem(token) for token in _ASCII_TOKEN.findall(text.lower())]
    folded = unicodedata.normalize("NFKD", text.casefold())
    folded = unicodedata.normalize("NFC", _ACCENTS.sub("", folded))
    found: list[str] = []
    for unspaced, word in _TOKEN.findall(folded):
        if word:
            found.append(stem(word))
        else:
            found.extend(unspaced)
            found.extend(unspaced[at : at + 2] for at in range(len(unspaced) - 1))
    return found


def telling_words(text: str) -> set[str]:
    """Return the distinct words of a question without those that only make it one.

    "When did", "what is", "of the" tell nothing of what is asked about; a question of nothing else keeps them.
    """
    found = set(words(text))
    return found - _function_words(found) or found


def query_terms(text: str) -> Terms:
    """Return the distinct terms of a question, its `telling_words`, as sorted 32-bit hashes.

    Two words in a hundred thousand share a hash, at most: it costs a wrong match among the weakest, never an answer.
    """
    return np.array(sorted(_hash(word) for word in telling_words(text)), dtype=np.uint32)


def _function_words(found: AbstractSet[str]) -> frozenset[str]:
    """Return the function words of the language that `found` holds most of; English where none stands out.

    One word is too little to go by: German's "die" and French's "on" are words of other languages too.
    """
    best = max(_FUNCTION_WORDS.values(), key=lambda known: len(known & found))
    return best if len(best & found) > 1 else _FUNCTION_WORDS["en"]


def count_terms(text: str) -> bytes:
    """Return the terms of `text` as they are stored: n sorted uint32 hashes, then n uint8 counts (255 at most)."""
    counts: dict[int, int] = {}
    for word in words(text):
        term = _hash(word)
        counts[term] = counts.get(term, 0) + 1
    terms = sorted(counts)
    return np.array(terms, dtype="<u4").tobytes() + bytes(min(counts[term], 255) for term in terms)


@lru_cache(maxsize=65_536)
def _hash(word: str) -> int:
    return zlib.crc32(word.encode())


_C: Final = "[^aeiou][^aeiouy]*"
_V: Final = "[aeiouy][aeiou]*"
_MEASURE_ABOVE_0: Final = re.compile(f"^({_C})?{_V}{_C}")
_MEASURE_IS_1: Final = re.compile(f"^({_C})?{_V}{_C}({_V})?$")
_MEASURE_ABOVE_1: Final = re.compile(f"^({_C})?{_V}{_C}{_V}{_C}")
_HAS_VOWEL: Final = re.compile(f"^({_C})?[aeiouy]")
_ENDS_SHORT: Final = re.compile(f"^{_C}[aeiouy][^aeiouwxy]$")
_DOUBLED: Final = re.compile(r"([^aeiouylsz])\1$")
_STEP_2_TO: Final = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble", "logi": "log",
}  # fmt: skip
_STEP_2: Final = re.compile(f"^(.+?)({'|'.join(_STEP_2_TO)})$")
_STEP_3: Final = re.compile("^(.+?)(icate|ative|alize|iciti|ical|ful|ness)$")
_STEP_3_TO: Final = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_STEP_4: Final = re.compile(
    "^(.+?)(al|ance|ence|er|ic|able|ible|ant|ement|ment|ent|ou|ism|ate|iti|ous|ive|ize|(?<=[st])ion)$"
)


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return the Porter stem of an English word; other words and numbers come back as they are.

    Source: M.F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980.
    """
    if len(word) < 3 or not word.isascii() or not word.isalpha():
        return word
    # A `y` that begins a word or follows a vowel counts as a consonant; only the first case matters to the patterns.
    first_is_y = word[0] == "y"
    if first_is_y:
        word = "Y" + word[1:]
    word = _without_plural(word)
    word = _without_past(word)
    if word.endswith("y") and _HAS_VOWEL.match(word[:-1]):
        word = word[:-1] + "i"
    for pattern, to in ((_STEP_2, _STEP_2_TO), (_STEP_3, _STEP_3_TO)):
        found = pattern.match(word)
        if found and _MEASURE_ABOVE_0.match(found[1]):
            word = found[1] + to[found[2]]
    found = _STEP_4.match(word)
    if found and _MEASURE_ABOVE_1.match(found[1]):
        word = found[1]
    if word.endswith("e"):
        body = word[:-1]
        if _MEASURE_ABOVE_1.match(body) or (_MEASURE_IS_1.match(body) and not _ENDS_SHORT.match(body)):
            word = body
    if word.endswith("ll") and _MEASURE_ABOVE_1.match(word):
        word = word[:-1]
    return "y" + word[1:] if first_is_y else word


def _without_plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _without_past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _MEASURE_ABOVE_0.match(word[:-3]) else word
    body = word[:-2] if word.endswith("ed") else word[:-3] if word.endswith("ing") else None
    if body is None or not _HAS_VOWEL.match(body):
        return word
    if body.endswith(("at", "bl", "iz")):
        return body + "e"
    if _DOUBLED.search(body):
        return body[:-1]
    return body + "e" if _ENDS_SHORT.match(body) else body


# English first: it wins where no language holds more of a question. They are compared as `words` spells them.
_FUNCTION_WORDS: Final = {language: frozenset(words(text)) for language, text in FUNCTION_WORDS.items()}
