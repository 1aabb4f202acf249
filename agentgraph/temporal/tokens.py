"""Text to typed tokens: numbers, dates as written, clock times and every word a language's vocabulary knows.

One pass, each character looked at a bounded number of times. What the tokens mean together is `grammar.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from agentgraph.temporal.lexicon import Entry, vocabulary

__all__ = ["Token", "tokenize"]


@dataclass(slots=True, kw_only=True)
class Token:
    """One typed piece of the text.

    Attributes:
        kind: What the grammar matches on; `other` is a word without meaning here.
        value: Depends on the kind.
        start: Offset of its first character; `end` of the first one after it.
        text: Lower case.
        is_definite: An article or possessive stood before it ("the 21st").
        weak: Why it may not count alone: a word with everyday meanings too ("may", "sat", "second").
    """

    kind: str
    value: Any
    start: int
    end: int
    text: str = ""
    is_definite: bool = False
    also: tuple[tuple[str, Any], ...] = ()


# (?<!...) and (?!...) keep phone numbers, versions, IP addresses and identifiers out.
_BEFORE: Final = r"(?<![\d.:/])(?<!\d[-,])"
_AFTER: Final = r"(?![\d])(?![-/.:,]\d)"
_DATE: Final = rf"""
    (?P<ymd>{_BEFORE}\d{{4}}(?P<ymd_sep>[-/.])\d{{1,2}}(?P=ymd_sep)\d{{1,2}}(?:T(?=\d\d:))?(?!\d)(?![-/.]\d))
  | (?P<dmy>{_BEFORE}\d{{1,2}}(?P<dmy_sep>[-/.])\d{{1,2}}(?:(?P=dmy_sep)|(?<=/\d\d),\ ?|(?<=/\d),\ ?)(?:\d{{4}}|\d{{2}}){_AFTER})
  | (?P<dmy_dots>(?<![\d.:/])\d{{1,2}}\.\d{{1,2}}\.\d{{4}}{_AFTER})
  | (?P<ymd8>(?<![\w.,:/])(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?![\d,:/])|(?<=[a-z]-)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?![\d,:/]))
  | (?P<yspace>{_BEFORE}(?:19|20)\d\d\ (?:0?[1-9]|1[0-2])\ (?:0[1-9]|[12]\d|3[01])(?![\d\w:.,/-]\d))
  | (?P<ym>{_BEFORE}(?:1[5-9]|20)\d\d\ ?[-/]\ ?(?:0?[1-9]|1[0-2])(?!\d)(?!\ ?[-/:.,]\ ?\d)(?!\ +[^\W\d]))
  | (?P<my>(?<![\d.:/,-])(?:0?[1-9]|1[0-2])[-/](?:1[5-9]|20)\d\d(?!\d)(?!\ ?[-/:.]\d))
  | (?P<cjk>\d{{4}}年(?:\ ?\d{{1,2}}月(?:\ ?\d{{1,2}}[日号號])?)?|(?<!\d)\d{{1,2}}月\d{{1,2}}[日号號])
  | (?P<slash_md>(?:(?<![\w.:/-])|(?<=/\d-)|(?<=/\d\d-))\d{{1,2}}/\d{{1,2}}(?![\d\w/:])(?![.]\d)(?!%))
  | (?P<dot_md>(?<![\w.:/-])\d{{1,2}}\.(?:0?[1-9]|1[0-2])\.(?![\d\w]))
  | (?P<clock>(?<![\w.:/,-])(?:[01]?\d|2[0-4])(?:(?::[0-5]\d(?::[0-5]\d)?)?\ ?(?:[ap]\.\ ?m\.|[ap]\.?m\b)|(?:[ap]|h)\b(?![.'’])|:[0-5]\d(?::[0-5]\d(?:\.\d{{1,6}})?)?(?:Z|[+-]\d\d:?\d\d)?(?![\d:])|h[0-5]\d\b)
      |(?<=\dT)\d\d:\d\d(?::\d\d(?:\.\d{{1,6}})?)?(?:Z|[+-]\d\d:?\d\d)?(?![\d:]))
  | (?P<decade>(?<![\w.,-])(?:(?:1[5-9]|20)\d0['’]?s|['’]?[2-9]0['’]?s)\b)
  | (?P<quarter>(?<!\w)(?:\d{{4}}|\d{{2}})?[qh][1-4](?:[/-]?\d{{4}})?(?!\w))
  | (?P<ordinal_digits>(?<![\w.,:/])\d{{1,3}}(?:st|nd|rd|th|º|ª|er)\b)
  | (?P<short_year>(?<!\w)['’]\d\d(?![\w'’]))
  | (?P<number>\d+(?:[.,]\d+)*)
  | (?P<comparison>[<>]\ ?=?|=)
"""


@cache
def _lexer() -> re.Pattern[str]:
    unspaced = "|".join(map(re.escape, vocabulary().unspaced)) or "(?!)"
    rest = rf"""
  | (?P<unspaced>{unspaced})
  | (?P<unspaced_other>[\u3040-\u30ff\u3400-\u9fff])
  | (?P<word>(?:[ap]\.m\.?|a\.d\.)(?!\w)|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+(?:['’][^\W\d_\u3040-\u30ff\u3400-\u9fff]+)*['’]?)
  | (?P<mark>[^\w\s]|_)
"""
    return re.compile(_DATE + rest, re.VERBOSE | re.IGNORECASE)


_MARKS: Final = {",": "comma", "-": "dash", "–": "dash", "—": "dash", "~": "dash", "/": "slash", ".": "dot", "&": "and", "+": "plus",
                 "〜": "dash", "～": "dash", "(": "comma", ")": "close", "，": "comma", "、": "comma", "。": "dot"}


def tokenize(text: str, locale_language: str) -> tuple[list[Token], str]:
    """Return the tokens of `text` and the language its words speak for."""
    words = [_raw(match) for match in _lexer().finditer(text)]
    language = _language(words, locale_language)
    return _without_dots(list(_typed(words, language, text))), language


def _without_dots(tokens: list[Token]) -> list[Token]:
    """Drop the full stops of "Dec. 31" and "16. Nov.", which end no sentence."""
    kept: list[Token] = []
    for index, token in enumerate(tokens):
        if token.kind == "dot" and kept:
            last, following = kept[-1], tokens[index + 1] if index + 1 < len(tokens) else None
            is_short = last.kind in {"month", "weekday"} and len(last.text) <= 4
            is_day = last.kind == "number" and following is not None and following.kind in _AFTER_DAY
            if (is_short or is_day) and following is not None and following.kind in _AFTER_DOT:
                continue
        kept.append(token)
    return kept


_AFTER_DAY: Final = frozenset({"month", "to", "dash", "until"})
_AFTER_DOT: Final = frozenset({"number", "year", "ordinal", "month", "comma", "dash", "to", "until", "slash_md"})


def _raw(match: re.Match[str]) -> tuple[str, str, int, int]:
    kind = match.lastgroup or "mark"
    return kind, match.group().lower().replace("’", "'"), match.start(), match.end()


def _language(words: list[tuple[str, str, int, int]], locale_language: str) -> str:
    known = vocabulary()
    score: dict[str, int] = {}
    for kind, word, _, _ in words:
        if kind == "word":
            for code in known.cues.get(word, ()):
                score[code] = score.get(code, 0) + 2
            entries = known.words.get(word, ())
            for code in {entry.language for entry in entries if not entry.is_weak}:
                score[code] = score.get(code, 0) + 1
    if not score:
        return locale_language
    best = max(score.values())
    leaders = [code for code, points in score.items() if points == best]
    if locale_language in leaders:
        return locale_language
    return "en" if "en" in leaders else leaders[0]


def _typed(words: list[tuple[str, str, int, int]], language: str, text: str) -> Iterator[Token]:
    known = vocabulary()
    index = 0
    definite_at: int | None = None
    counted = False
    while index < len(words):
        kind, word, start, end = words[index]
        index += 1
        token: Token
        in_identifier = kind == "word" and text[start - 1 : start].isdigit() and text[end : end + 1].isdigit()
        if kind == "word" or kind == "unspaced" or kind == "ordinal_digits":
            meanings: tuple[Entry, ...] = ()
            bare = word[:-2] if word.endswith("'s") else word.rstrip("'")
            for parts, entries in known.phrases.get(bare, known.phrases.get(word, ())) if kind == "word" else ():
                if _follows(words, index, parts) and not (parts[0] == "day" and counted) and _chosen(entries, language):
                    meanings, index = entries, index + _extra(words, index, parts)
                    end = words[index - 1][3]
                    break
            else:
                meanings = known.words.get(word) or known.words.get(bare) or ()
            chosen = [] if in_identifier else _chosen(meanings, language)
            if not chosen and kind == "ordinal_digits":
                value = int(re.match(r"\d+", word).group())  # type: ignore[union-attr]
                token = Token(kind="ordinal", value=value, start=start, end=end, text=word)
            elif not chosen:
                token = Token(kind="other", value=None, start=start, end=end, text=word)
            else:
                token = Token(kind=chosen[0].kind, value=chosen[0].value, start=start, end=end, text=text[start:end].lower(),
                              also=tuple((e.kind, e.value) for e in chosen[1:]))
        elif kind == "mark":
            token = Token(kind=_MARKS.get(word, "other"), value=word, start=start, end=end, text=word)
        elif kind == "number":
            token = _number(word, start, end, text)
        else:
            token = Token(kind=kind, value=word, start=start, end=end, text=word)
        if token.kind == "the":
            definite_at = start
            continue
        if token.kind == "filler":
            continue
        if definite_at is not None:
            token.is_definite = True
            definite_at = None
        counted = token.kind == "number"
        yield token


def _chosen(entries: tuple[Entry, ...], language: str) -> list[Entry]:
    own = [entry for entry in entries if entry.language == language]
    return own or [entry for entry in entries if not entry.is_weak]


def _follows(words: list[tuple[str, str, int, int]], index: int, parts: tuple[str, ...]) -> bool:
    return _extra(words, index, parts) > 0


def _extra(words: list[tuple[str, str, int, int]], index: int, parts: tuple[str, ...]) -> int:
    """Count the words after the first that spell the rest of the phrase; a hyphen may stand for a space."""
    used = 0
    for part in parts[1:]:
        if index + used < len(words) and words[index + used][1] == "-" and used + 1 < 12:
            used += 1
        if index + used >= len(words):
            return 0
        word = words[index + used][1]
        if word != part and (not word.endswith("'s") or word[:-2] != part):
            return 0
        used += 1
    return used


def _number(word: str, start: int, end: int, text: str) -> Token:
    before = text[start - 1] if start else " "
    if before.isalpha() or before in "_$€£#" or text[max(start - 2, 0) : start] in {"$ ", "€ ", "£ "} or word.count(".") > 1 or len(word) > 9 or "%" in text[end : end + 1]:
        glued = before.isalpha() and len(word) <= 4
        return Token(kind="glued_number" if glued else "other", value=word, start=start, end=end, text=word)
    if word.isdigit():
        kind = "year" if len(word) == 4 and 1000 <= int(word) <= 2999 else "number"
        return Token(kind=kind, value=int(word), start=start, end=end, text=word)
    if "," in word:
        whole, _, rest = word.partition(",")
        if len(rest) == 3 or "." in rest or "," in rest:
            return Token(kind="other", value=word, start=start, end=end, text=word)
        return Token(kind="number", value=float(f"{whole}.{rest}"), start=start, end=end, text=word)
    return Token(kind="number", value=float(word), start=start, end=end, text=word)
