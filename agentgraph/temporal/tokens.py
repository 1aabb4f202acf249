"""Text to typed tokens: numbers, dates as written, clock times and every word a language's vocabulary knows.

One pass, each character looked at a bounded number of times. What the tokens mean together is `grammar.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from agentgraph.temporal.lexicon import Entry, vocabulary

__all__ = ["Reading", "Token", "tokenize"]

Raw: TypeAlias = tuple[str, str, int, int]


@dataclass(slots=True, kw_only=True)
class Token:
    """One typed piece of the text.

    Attributes:
        kind: What the grammar matches on; `other` is a word without meaning here.
        value: Depends on the kind.
        start: Offset of its first character; `end` of the first one after it.
        text: Lower case.
        is_definite: An article or possessive stood before it ("the 21st").
    """

    kind: str
    value: Any
    start: int
    end: int
    text: str = ""
    is_definite: bool = False


# (?<!...) and (?!...) keep phone numbers, versions, IP addresses and identifiers out.
_BEFORE: Final = r"(?<![^\W_])(?<![.:/])(?<!\d[-,])"
_AFTER: Final = r"(?![\d])(?![-/.:,]\d)"
_DATE: Final = rf"""
    (?P<iso>{_BEFORE}\d{{4}}-\d\d-\d\d[T\ ]\d\d:\d\d(?::\d\d(?:\.\d{{1,6}})?)?(?:Z|[+-]\d\d:?\d\d)?(?![\d:]))
  | (?P<ymd>{_BEFORE}\d{{4}}(?P<ymd_sep>[-/.])\d{{1,2}}(?P=ymd_sep)\d{{1,2}}(?!\d)(?![-/.]\d))
  | (?P<dmy>{_BEFORE}\d{{1,2}}(?P<dmy_sep>[-/.])\d{{1,2}}
      (?:(?P=dmy_sep)|(?<=/\d\d),\ ?|(?<=/\d),\ ?)(?:\d{{4}}|\d{{2}}){_AFTER})
  | (?P<dmy_dots>(?<![\d.:/])\d{{1,2}}\.\d{{1,2}}\.\d{{4}}{_AFTER})
  | (?P<ymd8>(?:(?<![\w.,:/])|(?<=[a-z]-))(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?![\d,:/]))
  | (?P<yspace>{_BEFORE}(?:19|20)\d\d\ (?:0?[1-9]|1[0-2])\ (?:0[1-9]|[12]\d|3[01])(?![\d\w:.,/-]\d))
  | (?P<ym>{_BEFORE}(?:1[5-9]|20)\d\d\ ?[-/]\ ?(?:0?[1-9]|1[0-2])(?!\d)(?!\ ?[-/:.,]\ ?\d)(?!\ +[^\W\d]))
  | (?P<my>(?<![\d.:/,-])(?:0?[1-9]|1[0-2])[-/](?:1[5-9]|20)\d\d(?!\d)(?!\ ?[-/:.]\d))
  | (?P<cjk>\d{{4}}年(?:\ ?\d{{1,2}}月(?:\ ?\d{{1,2}}[日号號])?)?|(?<!\d)\d{{1,2}}月(?:\d{{1,2}}[日号號])?)
  | (?P<slash_md>(?:(?<![\w.:/-])|(?<=/\d-)|(?<=/\d\d-))\d{{1,2}}/\d{{1,2}}(?![\d\w/:])(?![.]\d)(?!%))
  | (?P<dot_md>(?<![\w.:/-])\d{{1,2}}\.(?:0?[1-9]|1[0-2])\.(?![\d\w]))
  | (?P<clock>(?<![\w.:/,-])(?:[01]?\d|2[0-4])(?:
          (?::[0-5]\d(?::[0-5]\d)?)?\ ?(?:[ap]\.\ ?m\.|[ap]\.?m\b)
        | (?:[ap]|h)\b(?![.'’])
        | :[0-5]\d(?::[0-5]\d(?:\.\d{{1,6}})?)?(?:Z|[+-]\d\d:?\d\d)?(?![\d:])
        | h[0-5]\d\b
      ))
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
    # Words and marks are most of any text, so they come first; only "q3" and "h1" begin like a word and are none.
    first = r"""
    (?P<word>(?:[ap]\.m\.?|a\.d\.)(?!\w)
      |(?![qh][1-4](?!\w))[^\W\d_\u3040-\u30ff\u3400-\u9fff]+(?:['’][^\W\d_\u3040-\u30ff\u3400-\u9fff]+)*['’]?)
  | (?P<mark>[^\w\s'’<>=]|_)
  |"""
    last = rf"""
  | (?P<unspaced>{unspaced})
  | (?P<unspaced_other>[\u3040-\u30ff\u3400-\u9fff])
  | (?P<other_mark>[^\w\s])
"""
    return re.compile(first + _DATE + last, re.VERBOSE | re.IGNORECASE)


_MARKS: Final = {
    ",": "comma",
    "-": "dash",
    "–": "dash",
    "—": "dash",
    "~": "dash",
    "/": "slash",
    ".": "dot",
    "&": "and",
    "+": "plus",
    "〜": "dash",
    "～": "dash",
    "(": "comma",
    ")": "close",
    "，": "comma",
    "、": "comma",
    "。": "dot",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A text as tokens.

    Attributes:
        tokens: In the order of the text; words without meaning here are runs of kind `other`.
        words: Every word of the text, lower case.
    """

    tokens: list[Token]
    words: frozenset[str]


def tokenize(text: str, locale_language: str) -> Reading:
    """Split `text` into typed tokens, its words read in the language they speak for."""
    raw = [_raw(match) for match in _lexer().finditer(text)]
    language = _language(raw, locale_language)
    tokens = _without_dots(list(_typed(raw, language, text)))
    return Reading(tokens=tokens, words=frozenset([word for _, word, _, _ in raw]))


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


def _raw(match: re.Match[str]) -> Raw:
    kind = match.lastgroup or "mark"
    if kind == "other_mark":
        kind = "mark"
    word = match.group().lower().replace("’", "'")
    # A closing quotation mark is no part of the mention; a possessive one ("weeks' time") is no loss to it.
    return kind, word, match.start(), match.end() - (kind == "word" and word.endswith("'"))


# Words of English that other languages spell alike and that name no time.
_FUNCTION_WORDS: Final = frozenset(
    {"in", "of", "to", "the", "and", "article", "filler", "number", "until", "from", "era"}
)


def _language(words: list[Raw], locale_language: str) -> str:
    known = vocabulary()
    score: dict[str, float] = {}
    hints: dict[str, int] = {}
    for at, (kind, word, _, _) in enumerate(words):
        if kind == "word":
            for code in _spoken_by_phrase(words, at):
                score[code] = score.get(code, 0) + 2
            for code in known.cues.get(word, ()):
                score[code] = score.get(code, 0) + 2
            entries = known.words.get(word, ())
            telling = [entry for entry in entries if entry.kind not in _FUNCTION_WORDS or entry.language != "en"]
            for code in dict.fromkeys(entry.language for entry in telling if not entry.is_weak):
                score[code] = score.get(code, 0) + 1
            for code in dict.fromkeys(entry.language for entry in telling if entry.is_weak):
                hints[code] = hints.get(code, 0) + 1
        elif kind in {"unspaced", "unspaced_other", "cjk"}:
            is_kana = "\u3040" <= word[0] <= "\u30ff"
            for code, points in (("zh", 1), ("ja", 3 if is_kana else 1)):
                score[code] = score.get(code, 0) + points
            for entry in known.words.get(word, ()):
                score[entry.language] = score.get(entry.language, 0) + 1
    for code, count in hints.items():
        # One such word proves nothing ("Mars", "fin"); two of the same language do, if no other speaks up.
        score[code] = score.get(code, 0) + (0.4 * count if count > 1 or code in score else 0)
    if not any(score.values()):
        return locale_language
    best = max(score.values())
    leaders = [code for code, points in score.items() if points == best]
    if locale_language in leaders:
        return locale_language
    return "en" if "en" in leaders else leaders[0]


def _spoken_by_phrase(raw: list[Raw], at: int) -> Iterator[str]:
    """Yield the languages that alone know the phrase or the elided word at `at`: "il y a", "fin de semana", "l'été"."""
    known = vocabulary()
    word = raw[at][1]
    if word[1:2] == "'" and word[0] in "ld" and any(e.language == "fr" for e in known.words.get(word[2:], ())):
        yield "fr"
    if at + 1 < len(raw):
        for parts, entries in known.phrases.get((word, raw[at + 1][1]), ()):
            if entries[0].language != "en" and not entries[0].is_weak and _phrase_length(raw, at, parts):
                yield from dict.fromkeys(entry.language for entry in entries)
                return


def _typed(raw: list[Raw], language: str, text: str) -> Iterator[Token]:
    index, count = 0, len(raw)
    is_definite = counted = in_noise = False
    before = ""
    while index < count:
        kind, word, start, end = raw[index]
        index += 1
        if kind in _WORD_KINDS:
            meanings, taken, skipped = _meanings(raw, index - 1, language, text, counted=counted)
            if taken > 1:
                index += taken - 1
                end = raw[index - 1][3]
            start += skipped
            written = word if taken == 1 and not skipped else text[start:end].lower().replace("’", "'")
            token = _word(meanings, kind, written, start, end)
        elif kind == "mark":
            token = Token(kind=_MARKS.get(word, "mark"), value=word, start=start, end=end, text=word)
        elif kind == "number":
            token = _number(word, start, end, text)
        elif kind == "clock" and word[-1] == "h" and _is_length(before, raw, index):
            # "Within 2h", "2h ago": hours counted, where "at 2h" is an hour of the day.
            yield Token(kind="number", value=int(word[:-1]), start=start, end=end - 1, text=word[:-1])
            token = Token(kind="short_unit", value="hour", start=end - 1, end=end, text="h")
        else:
            token = Token(kind=kind, value=word, start=start, end=end, text=word)
        before = token.text if token.kind == "in" else token.kind
        if token.kind == "the":
            is_definite = True
            continue
        if _is_another_word(token, raw, index, text, language):
            token.kind = "other"
        if token.kind == "filler":
            continue
        if token.kind in _NOISE:
            # One token stands for a run of them: no rule looks at the second.
            if not in_noise:
                yield token
            in_noise, is_definite, counted = True, False, False
            continue
        token.is_definite = is_definite
        is_definite = in_noise = False
        counted = token.kind == "number"
        yield token


def _is_another_word(token: Token, raw: list[Raw], following: int, text: str, language: str) -> bool:
    """Say whether what looks like time is something else here, which only capitals or the words beside it tell."""
    before = raw[following - 2][1] if following > 1 else ""
    if token.kind == "month" and token.text in {"may", "march"} and text[token.start] == "m":
        # "This may include", "we want to march" are verbs; "this May we went", "February to march" name months.
        if before == "this":
            return following < len(raw) and raw[following][0] == "word"
        return before == "to" and not (following > 2 and _is_date_like(raw[following - 3]))
    if token.kind == "abbreviation":
        is_shouted = text[token.start : token.end].isupper()
        return token.text in {"boy", "bom", "cob"} and not (is_shouted and before in _BEFORE_ABBREVIATION)
    earlier = raw[following - 3][0] if following > 2 else ""
    if token.kind == "dot_md" and language == "en" and before and before != "on" and earlier != "dot_md":
        # "A rating of 8.5. Then …": the second dot ends the sentence.
        rest = text[token.end : token.end + 2].strip()
        return not rest or rest[0].isupper()
    # "In 3D" is no length of time.
    return token.kind == "short_unit" and text[token.start] == "D" and text[token.start - 1].isdigit()


_BEFORE_LENGTH: Final = frozenset(
    {"shift", "shift_either", "coming", "within", "more_than", "ahead", "ago_before"}
    | {"in", "for", "over", "dans", "pendant", "en", "em", "dentro de", "daqui a", "durante"}
)


def _is_length(before: str, raw: list[Raw], following: int) -> bool:
    if before in _BEFORE_LENGTH:
        return True
    after = [word for _, word, _, _ in raw[following : following + 2]]
    if len(after) == 2 and after[0].isdigit() and after[1] in {"m", "min"}:
        return True
    return bool(after) and any(entry.kind in {"ago", "later"} for entry in vocabulary().words.get(after[0], ()))


def _is_date_like(raw: Raw) -> bool:
    kind, word, _, _ = raw
    return kind not in {"word", "mark"} or any(entry.kind == "month" for entry in vocabulary().words.get(word, ()))


_BEFORE_ABBREVIATION: Final = frozenset({"at", "before", "by", "the", "till", "until"})
_WORD_KINDS: Final = frozenset({"word", "unspaced", "ordinal_digits", "unspaced_other"})
_NOISE: Final = frozenset({"other", "mark"})


def _meanings(raw: list[Raw], at: int, language: str, text: str, *, counted: bool) -> tuple[list[Entry], int, int]:
    """Look up the longest phrase or the word at `at`; return its meanings, the words it takes, letters to skip."""
    known = vocabulary()
    kind, word, start, end = raw[at]
    bare = word[:-2] if word.endswith("'s") else word.rstrip("'")
    if at + 1 < len(raw) and kind == "word":
        following = raw[at + 1][1]
        if following == "-" and at + 2 < len(raw):
            following = raw[at + 2][1]
        for parts, entries in known.phrases.get((bare, following.removesuffix("'s")), ()):
            taken = _phrase_length(raw, at, parts)
            # "2 days before yesterday" is no "day before yesterday".
            if taken and not (counted and parts[0] == "day"):
                chosen = _chosen(entries, language)
                if chosen:
                    return chosen, taken, 0
    entries = known.words.get(word) or known.words.get(bare) or ()
    if not entries and word[1:2] == "'" and word[0] in "ld":
        # French elision: l'année, d'août.
        elided = _chosen(known.words.get(word[2:], ()), language)
        return elided, 1, 2 if elided else 0
    if kind == "word" and text[start - 1 : start].isdigit():
        if text[end : end + 1].isdigit():
            # Letters amid digits are an identifier: "3am3ioY".
            return [], 1, 0
        glued = [entry for entry in entries if entry.kind == "short_unit"]
        if glued:
            return glued, 1, 0
    return _chosen(entries, language), 1, 0


def _word(meanings: list[Entry], kind: str, written: str, start: int, end: int) -> Token:
    if meanings:
        return Token(kind=meanings[0].kind, value=meanings[0].value, start=start, end=end, text=written)
    if kind == "ordinal_digits":
        digits = written.rstrip("stndrhºªe")
        return Token(kind="ordinal", value=int(digits), start=start, end=end, text=written)
    return Token(kind="other", value=None, start=start, end=end, text=written)


def _chosen(entries: tuple[Entry, ...], language: str) -> list[Entry]:
    own = [entry for entry in entries if entry.language == language]
    return own or [entry for entry in entries if not entry.is_weak]


def _phrase_length(raw: list[Raw], at: int, parts: tuple[str, ...]) -> int:
    """Count the raw words that spell the phrase, 0 if they do not; a hyphen may stand for a space."""
    place = at + 1
    for part in parts[1:]:
        if place < len(raw) and raw[place][1] == "-":
            place += 1
        if place >= len(raw) or raw[place][1].removesuffix("'s") != part.removesuffix("'s"):
            return 0
        place += 1
    return place - at


def _number(word: str, start: int, end: int, text: str) -> Token:
    before = text[start - 1] if start else " "
    is_glued = before.isalpha() and before < "\u3040"
    if (
        is_glued
        or before in "_$€£#"
        or text[max(start - 2, 0) : start] in {"$ ", "€ ", "£ "}
        or word.count(".") > 1
        or len(word) > 9
        or "%" in text[end : end + 1]
    ):
        glued = is_glued and len(word) <= 4
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
