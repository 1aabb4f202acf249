"""The same on either database: what an application changes, it sees at once."""

from tests.stores.database.conftest import server, url  # noqa: F401  fixtures


async def test_an_application_sees_its_own_changes_at_once(open_with_functions, adding, url: str) -> None:  # noqa: F811
    app, model = await open_with_functions(["One.", "Two."], database_url=url)
    assert await app.functions.list() == []
    await app.functions.register(**adding)
    assert [each.version for each in await app.functions.list()] == [1]
    assert (await app.functions.execute("add", {"a": 1}, tenant="acme")).value == 3
    await app.run("Hello?", tenant="acme")
    await app.functions.delete("add")
    assert await app.functions.list() == []
    await app.run("Hello?", tenant="acme")
    assert [[each["function"]["name"] for each in asked["tools"]] for asked in model.calls] == [["add"], []]
