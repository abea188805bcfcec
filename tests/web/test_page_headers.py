"""What pages tell browsers beside themselves."""

from browsing import House


def test_a_browser_may_name_its_own_origin(house: House) -> None:
    """A page lets a browser say which origin its forms come from: with `no-referrer` it says `null`, and the guard refuses all forms."""
    visitor = house.visitor("owner")
    for path in ("/", "/settings", "/no-such-page"):
        assert visitor.get(path).headers["referrer-policy"] == "same-origin"
