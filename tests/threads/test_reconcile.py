"""Whatever a client resends, a thread becomes the conversation that its client means."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from agentgraph.threads.reconcile import new_messages, reconcile


def say(*words: str | BaseMessage) -> list[BaseMessage]:
    """Spell a history: q is a question, a an answer, `a c1?` a call, `=c1` its result, anything else a question."""
    return [word if isinstance(word, BaseMessage) else _message(word) for word in words]


def _message(word: str) -> BaseMessage:
    if word.startswith("="):
        return ToolMessage("done", tool_call_id=word[1:])
    if word.endswith("?"):
        return AIMessage("", tool_calls=[{"id": name, "name": "act", "args": {}} for name in word[:-1].split()[1:]])
    return AIMessage(word) if word[:1] in ("a", "A") else HumanMessage(word)


def spell(message: BaseMessage) -> str:
    if isinstance(message, ToolMessage):
        return f"={message.tool_call_id}"
    if isinstance(message, AIMessage) and message.tool_calls:
        return f"a {' '.join(str(call['id']) for call in message.tool_calls)}?"
    return message.text


THREE = ("q1", "a1", "q2", "a2", "q3", "a3")
YES = ("yes", "aok", "yes", "aok", "yes", "aok")
SERVER_TOOL = ("q1", "a s1?", "=s1", "a1")
PICTURE = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
SAME_PICTURE = [{"type": "image", "base64": "AAAA", "mime_type": "image/png"}, {"type": "text", "text": " see "}]
OTHER_PICTURE = [{"type": "image", "base64": "BBBB", "mime_type": "image/png"}, {"type": "text", "text": "see"}]

# what the thread holds, what the client sends, how many messages stay, what is appended
CASES = {
    "1 everything resent": (THREE, (*THREE, "q4"), 6, ("q4",)),
    "1 on a new thread": ((), ("q1",), 0, ("q1",)),
    "1 everything resent, a question repeated": (YES, (*YES, "yes"), 6, ("yes",)),
    "1 everything resent over a server's tool": (SERVER_TOOL, ("q1", "a1", "q2"), 4, ("q2",)),
    "2 only what is new": (THREE, ("q4",), 6, ("q4",)),
    "2 only what is new, an old question again": (THREE, ("q1",), 6, ("q1",)),
    "2 only what is new, the last question again": (THREE, ("q3",), 6, ("q3",)),
    "2 two questions at once": (THREE, ("q4", "q5"), 6, ("q4", "q5")),
    "2 two questions at once, like the first": (THREE, ("q1", "q5"), 6, ("q1", "q5")),
    "3 a window of turns": (THREE, ("q2", "a2", "q3", "a3", "q4"), 6, ("q4",)),
    "3 a window from the middle of a turn": (THREE, ("a2", "q3", "a3", "q4"), 6, ("q4",)),
    "3 a window of an answer": (THREE, ("a3", "q4"), 6, ("q4",)),
    "3 a window of an answer, the question repeated": (THREE, ("a3", "q3"), 6, ("q3",)),
    "3 a window of repetitions": (YES, ("yes", "aok", "yes"), 6, ("yes",)),
    "3 a window of repetitions, from an answer": (YES, ("aok", "yes"), 6, ("yes",)),
    "3 a window without its answers": (THREE, ("q2", "q3", "q4"), 6, ("q4",)),
    "3 a foreign answer, the question repeated": (THREE, ("a x", "q3"), 6, ("q3",)),
    "4 an edited question": (THREE, ("q1", "a1", "edited"), 2, ("edited",)),
    "4 an edited last question": (THREE, ("q1", "a1", "q2", "a2", "edited"), 4, ("edited",)),
    "4 an edited question in a window": (THREE, ("q2", "a2", "edited"), 4, ("edited",)),
    "4 an edited question among repetitions": (("q0", "a0", *YES), ("q0", "a0", "yes", "aok", "no"), 4, ("no",)),
    "4 an edited question and what followed it": (THREE, ("q1", "a1", "edited", "a2", "q3", "a3", "q4"), 2, None),
    "4 an edited old answer before a question that failed": (
        ("q1", "a1", "yes", "aok", "yes", "ano", "yes"),
        ("q1", "a edited", "yes", "aok", "q5"),
        1,
        ("a edited", "yes", "aok", "q5"),
    ),
    "4 an edited later answer before a question that failed": (
        ("q0", "a0", "q1", "a1", "yes", "aok", "yes", "ano", "yes"),
        ("q0", "a0", "q1", "a edited", "yes", "aok", "q5"),
        3,
        ("a edited", "yes", "aok", "q5"),
    ),
    "3 part of the answer of a run that failed, the middle left out": (
        ("q1", "a1", "q2", "a2", "q3"),
        ("q1", "a1", "q3", "a part", "q4"),
        5,
        ("a part", "q4"),
    ),
    "5 regenerate": (THREE, THREE[:-1], 5, ()),
    "5 regenerate an older answer": (THREE, THREE[:3], 3, ()),
    "5 regenerate over a server's tool": (("q0", "a0", *SERVER_TOOL), ("q0", "a0", "q1"), 3, ()),
    "5 regenerate in a window": (THREE, ("a2", "q3"), 5, ()),
    "5 regenerate after a client's tool": (("q1", "a c1?", "=c1", "a1"), ("q1", "a c1?", "=c1"), 3, ()),
    "5 regenerate with a greeting": (THREE, ("a greeting", *THREE[:-1]), 5, ()),
    "5 nothing to ask": (THREE, THREE, 6, ()),
    "6 a result": (("q1", "a c1?"), ("=c1",), 2, ("=c1",)),
    "6 a result and its history": (("q1", "a c1?"), ("q1", "a c1?", "=c1"), 2, ("=c1",)),
    "6 a result resent with a question": (("q1", "a c1?", "=c1", "a1"), ("=c1", "q2"), 4, ("q2",)),
    "6 a result resent after its answer": (("q1", "a c1?", "=c1", "a1"), ("=c1",), 4, ()),
    "6 a result resent with its history": (
        ("q1", "a c1?", "=c1", "a1"), ("q1", "a c1?", "=c1", "a1", "q2"), 4, ("q2",),
    ),
    "6 a result resent, the run having failed": (("q1", "a c1?", "=c1"), ("q1", "a c1?", "=c1"), 3, ()),
    "6 results out of order": (("q1", "a c1 c2?"), ("q1", "a c1 c2?", "=c2", "=c1"), 2, ("=c2", "=c1")),
    "6 the second of two results": (("q1", "a c1 c2?", "=c1"), ("q1", "a c1 c2?", "=c1", "=c2"), 3, ("=c2",)),
    "6 a call of which the client knows a part": (("q1", "a s1 c1?", "=s1"), ("q1", "a c1?", "=c1"), 3, ("=c1",)),
    "6 a result nobody asked for": (THREE, ("=c9", "q4"), 6, ("=c9", "q4")),
    "6 a result nobody asked for, resent": ((*THREE, "=c9", "q4", "a4"), (*THREE, "=c9", "q4", "a4", "q5"), 9, ("q5",)),
    "6 calls and results left out": (("q1", "a c1?", "=c1", "a1"), ("q1", "a1", "q2"), 4, ("q2",)),
    "7 a failed question alone": ((*THREE, "q4"), ("q4",), 7, ()),
    "7 a failed question and its history": ((*THREE, "q4"), (*THREE, "q4"), 7, ()),
    "7 a failed question in a window": ((*THREE, "q4"), ("a3", "q4"), 7, ()),
    "7 a failed question behind a summary": ((*THREE, "q4"), ("so far", "a hm", "q3", "a3", "q4"), 7, ()),
    "7 a failed first question": (("q1",), ("q1",), 1, ()),
    "7 failed after its tools": (("q1", "a s1?", "=s1"), ("q1",), 3, ()),
    "7 failed among repetitions": ((*YES, "yes"), (*YES, "yes"), 7, ()),
    "7 failed among repetitions, in a window": ((*YES, "yes"), ("yes", "aok", "yes"), 7, ()),
    "7 another question after the failed one": ((*THREE, "q4"), (*THREE, "q4", "q5"), 7, ("q5",)),
    "7 another question instead of the failed one": ((*THREE, "q4"), (*THREE, "q5"), 6, ("q5",)),
    "7 a failed one that was never kept": (THREE, (*THREE, "q4", "q5"), 6, ("q4", "q5")),
    "8 white space": (THREE, (" q1\n", "a1 ", "q2", "a2\n", "q3", "a3", "q4"), 6, ("q4",)),
    "8 parts": (
        THREE, ("q1", "a1", "q2", "a2", HumanMessage([{"type": "text", "text": "q3"}]),
                AIMessage([{"type": "text", "text": "a3"}]), "q4"), 6, ("q4",),
    ),
    "8 empty answers": (THREE, (AIMessage(""), "q1", AIMessage(" "), "q2", "a2", "q3", "a3", AIMessage(""), "q4"), 6,
                        ("q4",)),
    "8 a system message": (THREE, (SystemMessage("be good"), *THREE, "q4"), 6, ("q4",)),
    "8 the middle left out": (THREE, ("q1", "a1", "q3", "a3", "q4"), 6, ("q4",)),
    "8 a greeting": (THREE, ("a greeting", *THREE, "q4"), 6, ("q4",)),
    "8 a greeting on a new thread": ((), ("a greeting", "q1"), 0, ("q1",)),
    "8 a greeting like the answers": (("hi", "ahello"), ("ahello", "hi", "ahello", "hi"), 2, ("hi",)),
    "8 a picture in another wrapping": (
        (HumanMessage(PICTURE), "a1"), (HumanMessage(SAME_PICTURE), "a1", "q2"), 2, ("q2",),
    ),
    "8 another picture": (
        ("q0", "a0", HumanMessage(PICTURE), "a1"), ("q0", "a0", HumanMessage(OTHER_PICTURE)), 2, None,
    ),
    "8 said between calls and streamed with the answer": (
        ("q1", AIMessage("Let me see. ", tool_calls=[{"id": "s1", "name": "look", "args": {}}]), "=s1", "A yes"),
        ("q1", AIMessage("Let me see. A yes"), "q2"), 4, ("q2",),
    ),
    "9 a part of an answer": (("q1", "a long answer"), ("q1", "a long", "q2"), 2, ("q2",)),
    "9 a part of an answer after a tool": (
        ("q1", AIMessage("Wait. ", tool_calls=[{"id": "s1", "name": "look", "args": {}}]), "=s1", "a long answer"),
        ("q1", "a long", "q2"), 4, ("q2",),
    ),
    "9 a part of an answer in a window": ((*THREE, "q4", "a long answer"), ("a long", "q5"), 8, ("q5",)),
    "9 a part of an answer that was not kept": ((*THREE, "q4"), (*THREE, "q4", "a part", "q5"), 7, ("a part", "q5")),
    "9 a part not kept, long ago": (("q1", "q2", "a2"), ("q1", "a part", "q2", "a2", "q3"), 3, ("q3",)),
    "10 an answer never received": (THREE, (*THREE[:-1], "q4"), 6, ("q4",)),
    "10 an answer never received, in a window": (THREE, ("q3", "q4"), 6, ("q4",)),
    "10 two answers never received": (THREE, ("q1", "a1", "q2", "q3", "q4"), 6, ("q4",)),
    "11 a summary as an answer": (THREE, ("a summary", "q3", "a3", "q4"), 6, ("q4",)),
    "11 a summary as a question": (THREE, ("so far", "a hm", "q3", "a3", "q4"), 6, ("q4",)),
    "11 a summary after the first turn": (
        (*THREE, "q4", "a4"), ("q1", "a1", "so far", "a hm", "q4", "a4", "q5"), 8, ("q5",),
    ),
    "11 a summary and regenerate": (THREE, ("so far", "a hm", "q2", "a2", "q3"), 5, ()),
    "12 an edited answer": (THREE, ("q1", "a1", "q2", "aha", "q4"), 3, ("aha", "q4")),
    "12 an edited first answer": (THREE, ("q1", "aha", "q4"), 1, ("aha", "q4")),
    "12 an edited last answer": (THREE, (*THREE[:-1], "aha", "q4"), 5, ("aha", "q4")),
    "12 an answer made longer": (THREE, (*THREE[:-1], "a3 and more", "q4"), 5, ("a3 and more", "q4")),
    "12 an edited answer and what followed it": (THREE, ("q1", "aha", *THREE[2:], "q4"), 1, ("aha", *THREE[2:], "q4")),
    "12 an edited answer in a window": (THREE, ("q3", "aha", "q4"), 5, ("aha", "q4")),
    "12 an edited answer keeps the tools' work": (SERVER_TOOL, ("q1", "aha", "q2"), 3, ("aha", "q2")),
    "13 nothing in common": (THREE, ("who", "ah", "what"), 6, ("what",)),
    "13 an answer in common with the middle": (THREE, ("a1", "what"), 6, ("what",)),
    "13 a history brought to a new thread": ((), ("q1", "a1", "q2"), 0, ("q1", "a1", "q2")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_request_is_understood(case: str) -> None:
    stored, sent, keep, new = CASES[case]
    found = reconcile(say(*stored), say(*sent))
    expected = tuple(map(spell, say(*sent)[keep:] if new is None else say(*new)))
    assert (found.keep, tuple(map(spell, found.new))) == (keep, expected)


def test_it_says_when_there_is_nothing_to_ask() -> None:
    assert reconcile(say(*THREE), say(*THREE)).asks_nothing
    assert reconcile([], []).asks_nothing
    assert not reconcile(say(*THREE), say(*THREE[:-1])).asks_nothing
    assert not reconcile(say("q1"), say("q1")).asks_nothing
    assert not reconcile(say("q1", "a c1?"), say("=c1")).asks_nothing


class _EndOnly(Sequence[BaseMessage]):
    """A history that may be read from its end, and not far."""

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, at):
        assert isinstance(at, int)
        assert -5 < at < 0 or at > 999_995, "read far from the end"
        return AIMessage("a") if at % 2 else HumanMessage("q")


def test_one_message_is_placed_without_reading_the_thread() -> None:
    assert reconcile(_EndOnly(), say("q2")).keep == 1_000_000


def test_a_caller_that_only_appends_gets_what_is_new() -> None:
    assert list(map(spell, new_messages(say(*THREE), say(*THREE, "q4")))) == ["q4"]
    assert list(map(spell, new_messages(say(*THREE), say("q1", "aha", "q4")))) == ["q4"]
    assert new_messages(say(*THREE), say(*THREE)) == []


@dataclass
class Exchange:
    """A turn as its client knows it. What it heard may be a part of the answer, or nothing."""

    question: str
    answer: str | None = None
    heard: str | None = None
    call_id: str | None = None


@dataclass
class Talk:
    """A thread, and a client that means a conversation and tells of it as clients do."""

    draw: st.DataObject
    stored: list[BaseMessage] = field(default_factory=list)
    meant: list[Exchange] = field(default_factory=list)
    answers: int = 0

    def pick(self, *options: str) -> str:
        return self.draw.draw(st.sampled_from(options))

    def count(self, low: int, high: int) -> int:
        return self.draw.draw(st.integers(low, high))

    def told(self, exchanges: Sequence[Exchange], *, calls: bool = True) -> list[BaseMessage]:
        """Spell exchanges as the client has them, in one of the forms it may have brought them to."""
        said: list[BaseMessage] = []
        for each in exchanges:
            said.append(self.form(HumanMessage(each.question)))
            if each.call_id is not None and calls:
                said += [_message(f"a {each.call_id}?"), _message(f"={each.call_id}")]
            if each.heard is not None:
                said.append(self.form(AIMessage(each.heard)))
        return said

    def form(self, message: BaseMessage) -> BaseMessage:
        text = message.text
        match self.pick("plain", "plain", "spaces", "parts"):
            case "spaces":
                text = f" {text.replace(' ', '  ')}\n"
            case "parts":
                return type(message)(content=[{"type": "text", "text": text}])
        return type(message)(content=text)

    def receive(self, sent: list[BaseMessage]) -> None:
        found = reconcile(self.stored, sent)
        self.stored = [*self.stored[: found.keep], *found.new]

    def run(self) -> None:
        """Answer the last exchange, or fail to; the client may miss the answer or cut it short."""
        last, number = self.meant[-1], self.answers
        self.answers += 1
        kind = self.pick("plain", "plain", "server tool", "client tool", "failed", "missed", "cut")
        last.answer = last.heard = None
        if kind == "failed":
            return
        text = f"{number} is what the model says"
        if kind == "client tool" and last.call_id is None:
            last.call_id = f"c{number}"
            self.stored.append(_message(f"a {last.call_id}?"))
            result = _message(f"={last.call_id}")
            for _ in range(self.count(1, 2)):  # the run may fail and be asked for again
                self.receive([result] if self.pick("alone", "all") == "alone" else self.told(self.meant))
        if kind == "server tool":
            call = AIMessage("Wait. ", tool_calls=[{"id": f"s{number}", "name": "look", "args": {}}])
            self.stored += [call, _message(f"=s{number}")]
        self.stored.append(AIMessage(text, id=f"msg-{number}"))
        last.answer = last.heard = text
        if kind == "server tool" and self.pick("final", "streamed") == "streamed":
            last.heard = "Wait. " + text
        if kind == "missed":
            last.heard = None
        if kind == "cut":
            last.heard = text[: self.count(len(f"{number} is"), len(text))]

    def ask(self) -> None:
        meant, last = self.meant, self.meant[-1] if self.meant else None
        is_open = last is not None and last.answer is None
        # Whether an answer was edited or belongs to another question in the same words cannot be told.
        words = Counter(each.question for each in meant)
        editable = [i for i, each in enumerate(meant) if each.heard and words[each.question] == 1]
        question = self.pick("yes", "go on", "what then", f"question {self.answers}")
        if not all(each.heard for each in meant):
            question = f"question {self.answers}"  # the same words again may be a second attempt
        ways = ["alone", "all", "all", "window", "greeting", "answer summary", "no calls"]
        if is_open:
            ways += ["retry alone", "retry all", "retry window", "instead"]
        if last is not None and last.heard is not None:
            ways += ["middle left out", "question summary"]
        # After nothing heard, the same words read like a question of their own.
        again = [i for i in range(1, len(meant)) if meant[i - 1].heard]
        if again:
            ways += ["regenerate"]
        if len(meant) > 1:
            if any(each.heard for each in meant):
                ways += ["edit"]
            if editable:
                ways += ["edit answer"]
        match way := self.pick(*ways):
            case "retry alone":
                sent = self.told([meant.pop()], calls=False)
                question = sent[0].text.strip().replace("  ", " ")
            case "retry all" | "retry window":
                question = meant.pop().question
                sent = [*self.told(meant), HumanMessage(question)]
                sent = sent if way == "retry all" else sent[-self.count(1, len(sent)) :]
            case "instead":
                meant.pop()
                # With nothing heard before it, this reads like two questions at once.
                sent = [*self.told(meant), HumanMessage(question)]
                if not meant or meant[-1].heard is None:
                    sent = [HumanMessage(last.question), HumanMessage(question)] if last else []
                    meant.append(last)
            case "regenerate":
                del meant[self.draw.draw(st.sampled_from(again)) + 1 :]
                question = meant.pop().question
                sent = [*self.told(meant), HumanMessage(question)]
            case "edit":
                at = self.draw.draw(st.sampled_from([i + 1 for i, each in enumerate(meant) if each.heard]))
                del meant[at:]
                question = f"edited {self.answers}"
                sent = [*self.told(meant), HumanMessage(question)]
            case "edit answer":
                at = self.draw.draw(st.sampled_from(editable))
                del meant[at + self.count(1, len(meant)) :]
                meant[at].answer = meant[at].heard = f"edited answer {self.answers}"
                for each in meant[at + 1 :]:
                    each.answer = each.heard  # the branch is the client's: it holds what the client has
                sent = [*self.told(meant), HumanMessage(question)]
            case _:
                sent = [*self.told(meant, calls=way != "no calls"), HumanMessage(question)]
                if way == "alone":
                    sent = sent[-1:]
                elif way == "window":
                    sent = sent[-self.count(1, len(sent)) :]
                elif way == "greeting":
                    sent = [AIMessage("Hello, what can I do for you?"), *sent]
                elif way == "answer summary":
                    tail = meant[self.count(0, len(meant)) :]
                    sent = [AIMessage("Summary of what was said"), *self.told(tail), HumanMessage(question)]
                elif way == "question summary":
                    head = self.told([Exchange("Summary of what was said", heard="I see")])
                    sent = [*head, *self.told(meant[self.count(1, len(meant)) - 1 :]), HumanMessage(question)]
                elif way == "middle left out":
                    tail = meant[max(1, self.count(1, len(meant)) - 1) :]
                    sent = [*self.told([*meant[:1], *tail]), HumanMessage(question)]
        meant.append(Exchange(question))
        self.receive(sent)

    def check(self) -> None:
        held = [
            m.text.split() for m in self.stored if not isinstance(m, ToolMessage) and not getattr(m, "tool_calls", 0)
        ]
        means = [text.split() for each in self.meant for text in (each.question, each.answer) if text is not None]
        assert held == means


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_clients_do_the_thread_is_the_conversation_they_mean(draw: st.DataObject) -> None:
    talk = Talk(draw)
    for _ in range(draw.draw(st.integers(1, 8))):
        talk.ask()
        talk.check()
        talk.run()
        talk.check()


@pytest.mark.parametrize(
    ("sent", "new"),
    [
        (["=c1"], ["=c1"]),
        (["a c1?", "=c1"], ["=c1"]),
        (["q1", "a c1?", "=c1", "a c1?", "=c1"], ["=c1"]),
        (["q1", "a c1?", "=c1", "a c1?", "q2"], ["q2"]),
    ],
)
def test_an_id_that_is_called_again_waits_again(sent: list[str], new: list[str]) -> None:
    found = reconcile(say("q1", "a c1?", "=c1", "a c1?"), say(*sent))
    assert [spell(message) for message in found.new] == new


def test_a_long_history_is_read_in_one_pass() -> None:
    words = [word for number in range(2_000) for word in (f"q{number}", f"a c{number}?", f"=c{number}", f"a{number}")]
    stored, sent = say(*words), say(*words, "new")
    began = time.process_time()
    found = reconcile(stored, sent)
    assert time.process_time() - began < 1.0  # a twentieth of it is usual; each result looked for by itself took four
    assert [spell(message) for message in found.new] == ["new"]
