"""Find what a request means for the thread it goes to, whichever part of the history its client resends.

Both histories are read as turns: a question, and the answers it was given. What the client sends is laid along the
thread, its end upon the thread's end first, because most requests go on from there; from the thread's start next, which
finds what was edited or is to be answered again; as a window inside it last. A client may leave out any answer and any
run of old turns. What it changed, it meant to change.

Some requests read the same and mean two things. Then what loses nothing is chosen:

- One message alone is always new, also where it repeats an old one, unless the thread waits for an answer to just that.
- A repetition that fits the end of the thread and also an earlier place goes on from the end.
- Turns left out just before the last question look like an edit of what came after them, and are taken for one.
- An answer cut short is what the client saw of it, not an edit; a longer or different one is an edit.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

__all__ = ["Reconciled", "new_messages", "reconcile"]

# Where the vendors' and LangChain's content parts hold what makes one picture, sound or file another.
_PAYLOADS: Final = ("image_url", "input_audio", "file", "source", "base64", "data", "url", "file_data", "file_id", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What a request does to its thread.

    Attributes:
        keep: How many of the stored messages, from the first, stay on the branch; all of them where nothing is forked.
        new: The messages to append after those, oldest first. Empty where the model is asked again: its answer was
            forked away, or never came.
        asks_nothing: Whether the branch then ends in an answer, so that there is nothing to ask a model.
    """

    keep: int
    new: list[BaseMessage]
    asks_nothing: bool


def reconcile(stored: Sequence[BaseMessage], sent: Sequence[BaseMessage]) -> Reconciled:
    """Return what `sent` means for the thread that holds `stored`.

    A tool's result is known by its call's id alone. A result whose call nobody knows is kept like any other: it is
    sent back every turn and must be recognised then, and `repaired` never shows it to a model.

    Args:
        stored: The whole branch, oldest first, with the tool calls and results the client never saw. Only its end is
            read where `sent` is a single message.
        sent: What the client sent, oldest first. System messages and empty answers in it are passed over.
    """
    told = [message for message in sent if not isinstance(message, SystemMessage) and not _is_blank(message)]
    if sum(not isinstance(message, ToolMessage) for message in told) <= 1 and not any(map(_is_assistant, told)):
        return _appended(stored, told)
    head, theirs = _turns(told)
    _, ours = _turns(stored)
    if not ours:  # what came before the first question is a greeting of the client's
        return _settled(stored, told, len(stored), theirs[0].first if theirs else len(told))
    place = _Alignment(stored, told, ours, theirs, head).place() if theirs else None
    if place is None:
        last_answer = max((at for at, message in enumerate(told) if _is_assistant(message)), default=-1)
        return _appended(stored, told[last_answer + 1 :])
    return _settled(stored, told, *place)


def new_messages(stored: Sequence[BaseMessage], sent: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the messages of `sent` that `stored` does not hold yet, for a caller that can only append."""
    found = reconcile(stored, sent)
    if found.keep == len(stored) and (found.new or found.asks_nothing):
        return found.new
    last_answer = max((at for at, message in enumerate(sent) if _is_assistant(message)), default=-1)
    return list(sent[last_answer + 1 :])


@dataclass(frozen=True, slots=True)
class _Turn:
    """A question and its answers, each with its index in the history it was read from; the results are left out."""

    first: int
    question: Hashable
    answers: list[tuple[int, AIMessage]]


@dataclass(frozen=True, slots=True)
class _Alignment:
    """Two histories laid along each other; neither is empty. `head` is what the client sent before its first question.

    A place is a pair: how many of `stored` stay, and from which of `told` on all is new.
    """

    stored: Sequence[BaseMessage]
    told: Sequence[BaseMessage]
    ours: Sequence[_Turn]
    theirs: Sequence[_Turn]
    head: _Turn | None

    def place(self) -> tuple[int, int] | None:
        """Return where the client's history joins the thread; `None` where they have nothing in common."""
        return self._at_the_end() or self._from_the_start() or self._inside()

    def _at_the_end(self) -> tuple[int, int] | None:
        ours, theirs = self.ours, self.theirs
        is_open = _open_question(self.stored) is not None
        if is_open and self._fits(0):
            return self._append(0)
        depth = self._depth()
        # Part of an answer that the thread never kept proves little where the thread's start explains all of it.
        if self._fits(1) and (depth < len(theirs) - 1 or self._unkept(1) is None):
            return self._append(1)
        again = self._run(0)
        if is_open and again and depth < len(theirs):
            return self._append(0)
        # A question alone cannot mean that it be answered again: people say "yes" thrice.
        is_proven = again > 1 or bool(theirs[-1].answers) or (len(ours) > 1 and self._head_fits(ours[-2]))
        if again and is_proven and not self._is_edited_before(again) and (again == len(theirs) or not self._run(1)):
            return self._again(ours[-1])
        # More than one new turn is rare; a mere question that both have does not prove it.
        answered = next((at for at, turn in enumerate(theirs) if turn.answers), len(theirs))
        for count in range(2, len(theirs) - depth + 1):
            old = len(theirs) - count
            is_proven = old == len(ours) or (old > answered and self._unkept(count) is None)
            if is_proven and self._fits(count):
                return self._append(count)
        # Turns left out of the middle, or a summary in place of the oldest; as many turns as ours mean an edit instead.
        is_edit = len(theirs) - 1 == len(ours) and (depth > 0 or theirs[0].question == ours[0].question)
        # So does another answer to an old question, where the end agrees only in one that nobody answered.
        if depth < min(len(ours), len(theirs)) and self._unkept(1) is not None:
            is_edit = is_edit or theirs[depth].question == ours[depth].question
        if depth < len(theirs) - 1 and not is_edit and self._run(1):
            return self._append(1)
        return None

    def _from_the_start(self) -> tuple[int, int] | None:
        ours, theirs, depth = self.ours, self.theirs, self._depth()
        if depth == len(theirs) and (depth > 1 or theirs[0].answers):
            return self._again(ours[depth - 1])
        if depth >= min(len(theirs), len(ours)):
            return None
        if ours[depth].question == theirs[depth].question:
            return _divergence(ours[depth], theirs[depth])
        # Somebody who says "hi" and then more has not edited what followed the first "hi" long ago.
        if depth > 1 or any(turn.answers for turn in theirs[:depth]):
            return ours[depth].first, theirs[depth].first
        return None

    def _inside(self) -> tuple[int, int] | None:
        ours, theirs, known = self.ours, self.theirs, len(self.theirs) - 1
        if not any(turn.answers for turn in theirs[:known]):
            return None
        window = range(len(ours) - known, len(ours))
        if known <= len(ours) and all(
            ours[at].question == turn.question for at, turn in zip(window, theirs[:known], strict=True)
        ):
            edits = (_divergence(ours[at], turn) for at, turn in zip(window, theirs, strict=False))
            return next((edit for edit in edits if edit is not None and edit[0] < len(self.stored)), None)
        starts = [
            start
            for start in range(1, len(ours) - known)
            if all(_agree(ours[start + at], theirs[at]) for at in range(known))
        ]
        if len(starts) != 1:  # which of them was meant cannot be told
            return None
        mine, last = ours[starts[0] + known], theirs[known]
        return self._again(mine) if _agree(mine, last) else (mine.first, last.first)

    def _run(self, new: int) -> int:
        """Return how many turns agree, from the thread's end back, if the client's last `new` are new."""
        old = len(self.theirs) - new
        longest = min(len(self.ours), old)
        for back in range(1, longest + 1):
            if not _agree(self.ours[-back], self.theirs[old - back]):
                return back - 1
        return max(longest, 0)

    def _is_edited_before(self, agreeing: int) -> bool:
        """Tell whether the turn before the last `agreeing` ones has our question and another answer."""
        if agreeing >= min(len(self.ours), len(self.theirs)):
            return False
        return self.ours[-agreeing - 1].question == self.theirs[-agreeing - 1].question

    def _fits(self, new: int) -> bool:
        """Tell whether all that the client sent but its last `new` turns is how the thread ends."""
        old = len(self.theirs) - new
        return self._run(new) == old if old > 0 else old == 0 and self._head_fits(self.ours[-1])

    def _depth(self) -> int:
        """Return how many turns agree from the thread's start on."""
        depth = 0
        for mine, yours in zip(self.ours, self.theirs, strict=False):
            if mine.question != yours.question or _divergence(mine, yours) is not None:
                break
            depth += 1
        return depth

    def _head_fits(self, turn: _Turn) -> bool:
        return self.head is not None and bool(turn.answers) and _divergence(turn, self.head) is None

    def _append(self, new: int) -> tuple[int, int]:
        """Keep everything; the client's last `new` turns are new, and what it alone saw of the answer before them."""
        unkept = self._unkept(new)
        if unkept is None:
            unkept = self.theirs[-new].first if new else len(self.told)
        return len(self.stored), unkept

    def _unkept(self, new: int) -> int | None:
        """Return from where on the client has answers to the thread's last question that the thread has not."""
        old = len(self.theirs) - new
        divergence = _divergence(self.ours[-1], self.theirs[old - 1]) if old else None
        return None if divergence is None else divergence[1]

    def _again(self, turn: _Turn) -> tuple[int, int]:
        """Keep the thread up to where `turn` is to be answered again, after the client's last message."""
        if _is_assistant(self.told[-1]):
            return len(self.stored), len(self.told)
        keep = turn.first + 1
        given = {m.tool_call_id for m in self.told[self.theirs[-1].first :] if isinstance(m, ToolMessage)}
        for at, message in turn.answers:
            if given.intersection(_call_ids(message)):
                keep = at + 1
                while keep < len(self.stored) and isinstance(self.stored[keep], ToolMessage):
                    keep += 1
        return keep, len(self.told)


def _settled(stored: Sequence[BaseMessage], told: Sequence[BaseMessage], keep: int, first_new: int) -> Reconciled:
    """Return the result for a place; results of tools are new or known whatever comes before or after them."""
    new = list(told[first_new:])
    if any(isinstance(message, ToolMessage) for message in told):
        # Models count their calls anew in every answer: an id that was answered may be called, and wait, again.
        known, waiting = _results(stored[:keep])
        new = []
        for at, message in enumerate(told):
            if isinstance(message, ToolMessage):
                call_id = message.tool_call_id
                if call_id not in known or (call_id in waiting and not _is_called(told[at:], call_id)):
                    known.add(call_id)
                    waiting.discard(call_id)
                    new.append(message)
            elif at >= first_new:
                new.append(message)
    last = new[-1] if new else stored[keep - 1] if keep else None
    return Reconciled(keep=keep, new=new, asks_nothing=last is None or _is_answer(last))


def _appended(stored: Sequence[BaseMessage], told: Sequence[BaseMessage]) -> Reconciled:
    """Return the result for messages that stand for themselves, reading no more of `stored` than it takes."""
    new = [m for m in told if not (isinstance(m, ToolMessage) and _has_result(stored, m.tool_call_id))]
    if len(new) == 1 and _is_question(new[0]) and _open_question(stored) == _question(new[0]):
        new = []
    return _settled(stored, new, len(stored), 0)


def _is_called(messages: Sequence[BaseMessage], tool_call_id: str) -> bool:
    return any(isinstance(message, AIMessage) and tool_call_id in _call_ids(message) for message in messages)


def _results(stored: Sequence[BaseMessage]) -> tuple[set[str], set[str]]:
    """Return the ids that results were given for, and those of them that were called once more since."""
    known: set[str] = set()
    waiting: set[str] = set()
    for message in stored:
        if isinstance(message, ToolMessage):
            known.add(message.tool_call_id)
            waiting.discard(message.tool_call_id)
        elif isinstance(message, AIMessage):
            waiting |= known.intersection(_call_ids(message))
    return known, waiting


def _has_result(stored: Sequence[BaseMessage], tool_call_id: str) -> bool:
    for message in reversed(stored):
        if isinstance(message, ToolMessage) and message.tool_call_id == tool_call_id:
            return True
        if isinstance(message, AIMessage) and tool_call_id in _call_ids(message):
            return False
    return False


def _open_question(stored: Sequence[BaseMessage]) -> Hashable | None:
    """Return the question that the thread ends in, unless it was answered; calls of tools are no answer yet."""
    for message in reversed(stored):
        if _is_question(message):
            return _question(message)
        if _is_answer(message) and not _is_blank(message):
            return None
    return None


def _turns(messages: Sequence[BaseMessage]) -> tuple[_Turn | None, list[_Turn]]:
    """Return what was said before the first question, and the turns from there on."""
    head = turn = _Turn(0, None, [])
    turns: list[_Turn] = []
    for at, message in enumerate(messages):
        if isinstance(message, AIMessage):
            if not _is_blank(message):
                turn.answers.append((at, message))
        elif _is_question(message):
            turn = _Turn(at, _question(message), [])
            turns.append(turn)
    return (head if head.answers else None), turns


def _agree(ours: _Turn, theirs: _Turn) -> bool:
    """Tell whether they may be one turn, of whose answer the client saw less than there is, or which failed here."""
    if ours.question != theirs.question:
        return False
    divergence = _divergence(ours, theirs)
    return divergence is None or all(message.tool_calls for _, message in ours.answers)


def _divergence(ours: _Turn, theirs: _Turn) -> tuple[int, int] | None:
    """Return where the client's answers leave ours: before which of ours, and from which of theirs on.

    `None` where all it has is part of what was said. Where ours has no answer yet, theirs comes after all of it.
    """
    if not theirs.answers:
        return None
    if len(theirs.answers) == 1 and ours.answers:
        last, only = ours.answers[-1][1], theirs.answers[0][1]
        if last.content == only.content and not last.tool_calls and not only.tool_calls:
            return None
    called = {call_id for _, message in ours.answers for call_id in _call_ids(message)}
    foreign = [each for each in theirs.answers if not (each[1].tool_calls and called.issuperset(_call_ids(each[1])))]
    if not foreign:
        return None
    seen = {call_id for _, message in theirs.answers for call_id in _call_ids(message)}
    unseen = [each for each in ours.answers if not seen.intersection(_call_ids(each[1]))]
    answers = [each for each in unseen if not each[1].tool_calls]
    if not any(message.tool_calls for _, message in foreign):
        # What is said between calls of server tools is streamed to some clients, in one piece with the answer.
        said = _squeezed(foreign)
        if _squeezed(answers).startswith(said) or _squeezed(unseen).startswith(said):
            return None
    return (answers[0][0] if answers else _end(ours)), foreign[0][0]


def _end(turn: _Turn) -> int:
    return (turn.answers[-1][0] if turn.answers else turn.first) + 1


def _squeezed(answers: Sequence[tuple[int, AIMessage]]) -> str:
    return "".join("".join(_text(message.content).split()) for _, message in answers)


def _question(message: BaseMessage) -> Hashable:
    """Return what tells one question from another, whatever became of its white space and the form of its parts."""
    text = " ".join(_text(message.content).split())
    if isinstance(message.content, str):
        return text
    media = [_payload(part) for part in message.content if isinstance(part, Mapping) and "text" not in part]
    return (text, *media) if media else text


def _text(content: str | Sequence[str | Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part if isinstance(part, str) else str(part.get("text", "")) for part in content)


def _payload(part: Any) -> str:
    """Return the bytes, address or id that a part brings, without its wrapping."""
    while isinstance(part, Mapping):
        part = next((part[name] for name in _PAYLOADS if part.get(name)), repr(part))
    text = str(part)
    return text.partition(",")[2] if text.startswith("data:") else text


def _call_ids(message: AIMessage) -> list[str]:
    return [call["id"] or "" for call in message.tool_calls]


def _is_assistant(message: BaseMessage) -> bool:
    return isinstance(message, AIMessage)


def _is_answer(message: BaseMessage) -> bool:
    return isinstance(message, AIMessage) and not message.tool_calls


def _is_question(message: BaseMessage) -> bool:
    return isinstance(message, HumanMessage) or not isinstance(message, AIMessage | ToolMessage | SystemMessage)


def _is_blank(message: BaseMessage) -> bool:
    """Tell whether a message is an answer that says nothing, as some clients send for one that never came."""
    if not isinstance(message, AIMessage) or message.tool_calls:
        return False
    return not message.content or (isinstance(message.content, str) and message.content.isspace())
