"""Keys: what is kept of them, who is let in by one, and for how long."""

from datetime import timedelta
from pathlib import Path

import pytest

from agentgraph.errors import InvalidInputError, NotFoundError
from agentgraph.server.api_key import Secret
from agentgraph.server.keys import Keys
from agentgraph.settings import Limits
from agentgraph.stores.database.database import Database
from agentgraph.testing import FrozenClock


@pytest.fixture
async def database(tmp_path: Path):
    opened = Database(None, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def keys(database: Database, clock: FrozenClock) -> Keys:
    return Keys(database, clock=clock)


async def test_a_key_is_known_again_and_nothing_else_is(keys: Keys) -> None:
    made, key = await keys.create(scope="tenant", tenant="acme", limits=Limits(requests_per_min=5))
    assert await keys.find(made) == key
    other, _ = await keys.create(scope="admin")
    secret, foreign = Secret.read(made), Secret.read(other)
    assert secret is not None
    assert foreign is not None
    swapped = Secret(key_id=secret.key_id, value=foreign.value)
    for wrong in (str(swapped), made[:-1], made + "x", made.upper(), "", "ag_", "ag__", "ag_\u00e9" + made[4:], "sk-x"):
        assert await keys.find(wrong) is None


async def test_the_secret_is_nowhere_on_disk(keys: Keys, tmp_path: Path) -> None:
    made, _ = await keys.create(scope="admin", name="ops")
    secret = Secret.read(made)
    assert secret is not None
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret.key_id.encode() in kept
    assert secret.value.encode() not in kept


async def test_without_the_pepper_a_key_is_none(database: Database) -> None:
    made, _ = await Keys(database, pepper="salty").create(scope="admin")
    assert await Keys(database, pepper="salty").find(made) is not None
    assert await Keys(database).find(made) is None


async def test_a_key_ends_when_it_expires(keys: Keys, clock: FrozenClock) -> None:
    made, _ = await keys.create(scope="admin", expires_in=timedelta(days=1))
    clock.advance(timedelta(hours=23))
    assert await keys.find(made) is not None
    clock.advance(timedelta(hours=1))
    assert await keys.find(made) is None


async def test_another_process_sees_a_revocation_with_the_next_request(keys: Keys, tmp_path: Path) -> None:
    made, key = await keys.create(scope="admin")
    assert await keys.find(made) is not None
    elsewhere = Database(None, tmp_path)
    await Keys(elsewhere).revoke(key.key_id)
    elsewhere.close()
    assert await keys.find(made) is None
    assert await keys.any(), "a server that had keys does not open when the last is gone"
    with pytest.raises(NotFoundError):
        await keys.revoke("nosuchkey123")


async def test_a_rotated_key_may_the_same_and_both_are_good_for_a_while(keys: Keys, clock: FrozenClock) -> None:
    limits = Limits(tokens_per_min=100)
    made, key = await keys.create(scope="user", tenant="acme", user="ann", name="phone", limits=limits)
    newer, heir = await keys.rotate(key.key_id, overlap=timedelta(hours=1))
    assert (heir.scope, heir.tenant, heir.user, heir.name, heir.limits) == ("user", "acme", "ann", "phone", limits)
    assert await keys.find(made) is not None
    assert await keys.find(newer) is not None
    clock.advance(timedelta(hours=1))
    assert await keys.find(made) is None
    assert await keys.find(newer) is not None
    with pytest.raises(InvalidInputError, match="revoked or expired"):
        await keys.rotate(key.key_id)


async def test_the_last_use_is_noted_without_a_query_a_request(keys: Keys, database: Database, clock) -> None:
    made, _ = await keys.create(scope="admin")
    await keys.find(made)
    queries = []
    read, write = database.read, database.write
    database.read = lambda job: queries.append("read") or read(job)  # type: ignore[method-assign]
    database.write = lambda job: queries.append("write") or write(job)  # type: ignore[method-assign]
    for _ in range(100):
        clock.advance(timedelta(milliseconds=10))
        assert await keys.find(made) is not None
    assert queries == []
    await keys.note_use()
    assert (await keys.list())[0].last_used_at == clock()


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "tenant"},
        {"scope": "user", "tenant": "acme"},
        {"scope": "admin", "tenant": "acme"},
        {"scope": "tenant", "tenant": "../acme"},
        {"scope": "root"},
        {"scope": "admin", "name": "a\nb"},
    ],
)
async def test_keys_that_make_no_sense_are_refused(keys: Keys, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        await keys.create(**wrong)  # type: ignore[arg-type]
    assert not await keys.any()


async def test_keys_are_listed_by_tenant(keys: Keys) -> None:
    await keys.create(scope="tenant", tenant="acme", name="a")
    await keys.create(scope="tenant", tenant="globex", name="b")
    assert [key.name for key in await keys.list(tenant="acme")] == ["a"]
    assert len(await keys.list()) == 2
