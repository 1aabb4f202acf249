"""A conversation is put together in its order, wherever its archive stands."""

from langchain_core.messages import BaseMessage, HumanMessage

from agentgraph.threads.history import archive_gap, departure, whole_history


def said(ids: str) -> list[BaseMessage]:
    return [HumanMessage("text", id=name) for name in ids]


def test_the_archive_stands_before_what_is_live() -> None:
    assert whole_history(said("cd"), said("ab"), None) == said("abcd")


def test_the_archive_stands_between_a_head_that_was_kept_and_the_rest() -> None:
    assert whole_history(said("ad"), said("bc"), "a") == said("abcd")


def test_the_archive_comes_first_where_the_head_is_gone() -> None:
    assert whole_history(said("cd"), said("b"), "a") == said("bcd")
    assert archive_gap(said("cd"), "b", "a") == 0


def test_there_is_no_gap_where_nothing_is_archived() -> None:
    assert archive_gap(said("ab"), None, None) is None


def test_what_follows_the_archive_names_its_newest_message() -> None:
    gone = departure(said("cde"), range(2), tail="b", after=None)
    assert [(row["previous"], row["message"].id) for row in gone.archived] == [("b", "c"), ("c", "d")]
    assert (gone.tail, gone.after) == ("d", None)


def test_a_head_that_leaves_alone_stands_before_the_archive() -> None:
    gone = departure(said("ad"), range(1), tail="c", after="a")
    assert [(row["previous"], row["message"].id) for row in gone.archived] == [(None, "a")]
    assert (gone.tail, gone.after) == ("c", None)


def test_a_head_that_leaves_with_the_rest_stands_around_the_archive() -> None:
    gone = departure(said("ade"), range(2), tail="c", after="a")
    assert [(row["previous"], row["message"].id) for row in gone.archived] == [(None, "a"), ("c", "d")]
    assert (gone.tail, gone.after) == ("d", None)


def test_the_middle_leaves_after_the_head() -> None:
    gone = departure(said("abcd"), range(1, 3), tail=None, after=None)
    assert [(row["previous"], row["message"].id) for row in gone.archived] == [("a", "b"), ("b", "c")]
    assert (gone.tail, gone.after) == ("c", "a")
