"""Cut a message into passages: stretches, verbatim, that speak of one time; without what asks and what was pasted.

What becomes of them is `write.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

from agentgraph.stores.lexical import words
from agentgraph.temporal import Window, main_window, resolve

__all__ = ["Passage", "passages_of", "sentences_of"]

_LONGEST_PASSAGE: Final = 500  # characters; an embedder reads about twice as many
_LONGEST_SENTENCE: Final = 2_000
_MOST_PASSAGES: Final = 64
_FEW_CHARACTERS: Final = 4  # with their pairs: three characters make five words

# A sentence ends at its mark or at a line's end; an abbreviation's full stop is followed by a small letter.
_SENTENCE: Final = re.compile(
    r"[^\n.!?。！？]*(?:[.!?](?!\s+[A-Z\"'(]|\s*$|\n)[^\n.!?。！？]*)*[.!?。！？]*", re.UNICODE
)
_ABBREVIATED: Final = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|approx|e\.g|i\.e|[A-Z])\.$")

# "I am based in Bath, so can you recommend a school?": the speaker says a thing of themselves, then asks.
_ASKS: Final = re.compile(r"[?？]\s*[\"')\]]*\s*$")
_STATES: Final = re.compile(
    r"""\W*(?:(?:hmm+|ok(?:ay)?|so|well|hi|hey|hello|oh|cool|great|thanks|and|but|also|actually)\b\W*)*
    (?:i|my|we|our)\b
    (?!['’]?\w*\s(?:wonder|(?:\w+\ )?wondering|(?:\w+\ )?curious|(?:want|need|(?:would\ )?like)\ to\ know))""",
    re.IGNORECASE | re.VERBOSE,
)
_THEN_ASKS: Final = re.compile(
    r"""(?:[,;:]|\s[-–—])\s*(?:(?:so|and|but|then)\s+)?
    (?:(?:what|how|why|please|any)\b
    |(?:where|when|which|who)\ (?:do|does|did|should|can|could|would|will)\b
    |(?:can|could|would|will|do|does|did|should|shall|may|might|am|is|are|was|were|have|has)
     \ (?:you|i|we|it|he|she|they|there|that|this|the|my)\b
    |(?:i['’]m|i\ am)\ (?:\w+\ )?wondering\b)
    |[,;]?\s*¿""",
    re.IGNORECASE | re.VERBOSE,
)

# What was pasted: between fences, or lines a machine wrote, several in a row. They are stamped, of a severity, of a
# traceback, or end as code does.
_FENCED: Final = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_MACHINE_LINE: Final = re.compile(
    r"\s*[\[(]?(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\d\d:\d\d:\d\d|(?:DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL|TRACE)\b)"
    r'|Traceback |\s+File "|\s+at \S+\(|[$>#] \S|.*[{};]\s*$|(?: {4}|\t)\S'
)
_PASTED_LINES: Final = 4


@dataclass(slots=True)
class Passage:
    """What is said of one time, verbatim; `window` is that time, `None` where none is named."""

    text: str
    window: Window | None = None

    def takes(self, sentence: str, window: Window | None) -> bool:
        """Say whether a sentence, and the time it names, belong here too."""
        if len(self.text) + 1 + len(sentence) > _LONGEST_PASSAGE:
            return False
        return window is None or (
            self.window is not None and (window.start, window.end) == (self.window.start, self.window.end)
        )


def passages_of(text: str, *, said_at: datetime, zone: str) -> Iterator[Passage]:
    """Yield the passages of a message, the first 64 at the most.

    Sentences that follow one another stay together while they speak of one time: one without a time joins the passage
    before it; another time begins a new passage, and so does a passage's length. Questions hold nothing to remember,
    and keeping them would answer later questions with earlier ones; what somebody says of themselves before they ask
    is kept without the asking. What was pasted (code, logs) is one passage, cut short and without a time: its stamps
    are not what the speaker speaks of.
    """
    passages = (passage for block in _blocks(text) for passage in _passages_in(block, said_at, zone))
    yield from islice(passages, _MOST_PASSAGES)


def sentences_of(text: str) -> list[str]:
    """Split `text` into its sentences, questions and all, without those that carry nothing alone."""
    sentences: list[str] = []
    begun = ""
    for match in _SENTENCE.finditer(text):
        sentence = begun + match.group().strip()
        if _ABBREVIATED.search(sentence) and match.end() < len(text) and text[match.end()] != "\n":
            begun = f"{sentence} "
            continue
        begun = ""
        if _says_something(sentence):
            sentences.append(sentence[:_LONGEST_SENTENCE])
    return sentences


@dataclass(frozen=True, slots=True)
class _Block:
    """A stretch of a message: prose, line by line, or something pasted."""

    is_pasted: bool
    lines: list[str] = field(default_factory=list)


def _passages_in(block: _Block, said_at: datetime, zone: str) -> Iterator[Passage]:
    if block.is_pasted:
        text = "\n".join(block.lines).strip()
        if len(text) > _LONGEST_PASSAGE:
            text = text[:_LONGEST_PASSAGE].rpartition("\n")[0] or text[:_LONGEST_PASSAGE]
        yield Passage(text)
        return
    passage: Passage | None = None
    for line in block.lines:
        separator = "\n"
        for sentence in sentences_of(line):
            if _ASKS.search(sentence) and not (sentence := _stated(sentence)):
                continue
            window = main_window(resolve(sentence, now=said_at, zone=zone))
            if passage is not None and passage.takes(sentence, window):
                passage.text += separator + sentence
            else:
                if passage is not None:
                    yield passage
                passage = Passage(sentence, window)
            separator = " "
    if passage is not None:
        yield passage


def _blocks(text: str) -> Iterator[_Block]:
    """Cut a message into what was said and what was pasted."""
    at = 0
    for fenced in _FENCED.finditer(text):
        yield from _runs(text[at : fenced.start()])
        yield _Block(is_pasted=True, lines=fenced.group().splitlines())
        at = fenced.end()
    yield from _runs(text[at:])


def _runs(text: str) -> Iterator[_Block]:
    prose = _Block(is_pasted=False)
    run: list[str] = []
    for line in [*text.splitlines(), None]:
        if line is not None and _MACHINE_LINE.match(line):
            run.append(line)
            continue
        if len(run) >= _PASTED_LINES:
            yield prose
            yield _Block(is_pasted=True, lines=run)
            prose = _Block(is_pasted=False)
        else:
            prose.lines.extend(run)
        run = []
        if line is not None:
            prose.lines.append(line)
    yield prose


def _stated(question: str) -> str:
    """Return what a question says before it asks, or an empty string."""
    asks = _THEN_ASKS.search(question)
    if asks is None or not (_STATES.match(question) or "¿" in asks.group()):
        return ""
    stated = question[: asks.start()].rstrip()
    return stated if _says_something(stated) else ""


def _says_something(sentence: str) -> bool:
    """Tell a sentence from one word or a bare number, which carries nothing without the question before it."""
    if len(sentence.split()) > 1 or len(sentence) > 12:
        return True
    return not sentence.isascii() and len(words(sentence)) > _FEW_CHARACTERS  # scripts without spaces
