"""What docs/how-to/get-paged.md shows works: its URLs are understood, and its figures are those of the code."""

import re
from pathlib import Path

from andon.incidents import open_channels
from andon.incidents.notices import LATE_US, MOST_ATTEMPTS, OLD_US, REMIND_US, RETRY_US, UNSURE_US

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "get-paged.md").read_text(encoding="utf-8")
MINUTE = 60_000_000
HOUR = 60 * MINUTE


def test_every_url_on_the_page_is_understood() -> None:
    """Each ANDON_CHANNELS that the page shows opens one channel, whose name holds none of its secrets."""
    shown = re.findall(r'ANDON_CHANNELS="([^"]+)"', PAGE)
    channels = [open_channels(url) for url in shown]
    names = [c.name for (c,) in channels]
    assert names == [
        "https://hooks.slack.com",
        "slack://…/#alerts",
        "mailtos://smtp.example.com:587",
        "pagerduty-events://…",
        "workflows://…",
        "webhooks://hooks.example.com",
    ]


def test_the_figures_on_the_page_are_those_of_the_code() -> None:
    """Waits and limits that the page states are the constants that decide."""
    assert (REMIND_US["P1"], REMIND_US["P2"], "P3" in REMIND_US) == (HOUR, 24 * HOUR, False)
    assert "P1 again after an hour, P2 after a day, P3 never" in PAGE
    assert [w / MINUTE for w in RETRY_US] == [0.5, 2, 10, 30, 60]
    assert "after 30 seconds, 2, 10 and 30 minutes, then every hour, up to 24 times" in PAGE
    assert MOST_ATTEMPTS == 24
    assert (LATE_US, OLD_US, UNSURE_US) == (6 * HOUR, 8 * 24 * HOUR, 15 * MINUTE)
    assert all(text in PAGE for text in ("six hours late", "eight days ago", "after 15 minutes"))
