"""Identity is validated once and is the only speller of keys."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgraph.errors import InvalidInputError
from agentgraph.scope import MAX_ID_LENGTH, Scope, system_directory, tenant_directory, tenant_of_thread_key

BAD_IDS = [
    "",
    ".",
    "..",
    "a/b",
    "a\\b",
    "a:b",
    "a b",
    "a\0",
    "a\n",
    "é",
    "\ud800",
    "x" * (MAX_ID_LENGTH + 1),
    "%2e",
    "a|b",
    "~",
]
IDS = st.from_regex(r"[A-Za-z0-9_.@+\-]{1,20}", fullmatch=True).filter(lambda text: text not in {".", ".."})


@pytest.mark.parametrize("bad", BAD_IDS)
@pytest.mark.parametrize("field", ["tenant", "user", "session", "agent"])
def test_bad_ids_are_refused_in_every_field(field: str, bad: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Scope(**{"tenant": "acme", field: bad})
    assert caught.value.param == field


@pytest.mark.parametrize("bad", [b"acme", 7, None, ["acme"]])
def test_ids_of_another_type_are_refused(bad: object) -> None:
    with pytest.raises(InvalidInputError):
        Scope(tenant=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("session", ["+15551234567", "user@email.com", "chat_session_123"])
def test_a_session_is_read_from_the_tenants_url_form(session: str) -> None:
    scope = Scope.parse(f"acme:{session}")
    assert (scope.tenant, scope.session) == ("acme", session)


def test_a_colon_without_a_session_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="session is empty"):
        Scope.parse("acme:")


def test_a_one_off_run_has_no_thread_key() -> None:
    assert Scope(tenant="acme").thread_key is None


@given(IDS, IDS, IDS, IDS)
def test_no_two_scopes_share_a_thread_key(tenant: str, thread: str, other_tenant: str, other_thread: str) -> None:
    one, other = Scope(tenant=tenant, thread=thread), Scope(tenant=other_tenant, thread=other_thread)
    assert (one.thread_key == other.thread_key) == ((tenant, thread) == (other_tenant, other_thread))
    assert one.thread_key is not None
    assert tenant_of_thread_key(one.thread_key) == tenant
    assert one.thread_key != Scope(tenant=tenant, session=thread).thread_key


@pytest.mark.parametrize("key", ["", "acme", "acme/", "/thread/x", "../thread/x", "a b/thread/x"])
def test_a_thread_key_without_a_tenant_is_refused(key: str) -> None:
    with pytest.raises(InvalidInputError):
        tenant_of_thread_key(key)


@given(IDS, IDS)
def test_directories_stay_apart_where_file_systems_ignore_case(one: str, other: str) -> None:
    first, second = (tenant_directory(Path("/data"), name).name.lower() for name in (one, other))
    assert (first == second) == (one == other)


@given(IDS)
def test_a_directory_is_a_direct_visible_child(tenant: str) -> None:
    directory = tenant_directory(Path("/data"), tenant)
    assert directory.parent == Path("/data")
    assert not directory.name.startswith(".")
    assert not directory.name.endswith(".")
    assert len(directory.name) < 255


@pytest.mark.parametrize("name", ["con", "NUL", "com1", "lpt9.txt"])
def test_names_windows_reserves_are_spelt_otherwise(name: str) -> None:
    assert tenant_directory(Path("/data"), name).name.lower() != name.lower()


def test_namespaces_are_leaves_and_none_is_another_tenants_prefix() -> None:
    scope = Scope(tenant="acme", user="ana", session="s1")
    spaces = scope.read_namespaces(include_global=True)
    assert len(spaces) == 4
    for one in spaces:
        for other in spaces:
            assert one is other or one != other[: len(one)]
    assert scope.write_namespace == ("acme", "memory", "session", "s1")


def test_global_memory_is_read_only_where_it_is_enabled() -> None:
    assert all(space[0] == "acme" for space in Scope(tenant="acme").read_namespaces())


def test_no_tenant_has_the_systems_directory(tmp_path):
    names = (".system", "system", ".System", "SYSTEM", "_system", ".system.", "-system", "@.system", "..system")
    assert system_directory(tmp_path) not in {tenant_directory(tmp_path, name) for name in names}
