import pytest


@pytest.mark.parametrize("fixture", ["stack", "settings", "storage", "api_database"])
def test_fixture_that_needs_a_server_fails_in_unit_tests(request: pytest.FixtureRequest, fixture: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="tests/unit starts no server"):
        request.getfixturevalue(fixture)
