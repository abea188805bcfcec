"""A real browser: Debian's Chromium through Playwright. Where there is none, tests in it are skipped, and say so."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

__all__ = ["PAGE_SIZES", "Tab", "open_browser"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
PAGE_SIZES = {"wide": (1360, 900), "zoomed to 200 %": (680, 450), "phone": (390, 844)}
"""A window of 1360 by 900 zoomed to 200 % has 680 by 450 CSS pixels."""


@contextmanager
def open_browser() -> Iterator[Any]:
    """A browser without a window."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(
            "NO BROWSER: none of chromium, chromium-browser, google-chrome is installed; sh scripts/install_browser.sh does it"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A tab that remembers what went wrong in it: errors of scripts, refusals of the CSP, requests to other hosts."""

    browser: Any
    address: str
    secret: str = ""
    size: tuple[int, int] = PAGE_SIZES["wide"]
    theme: str = "light"
    script: bool = True
    wrong: list[str] = field(default_factory=list)
    page: Any = None

    def __enter__(self) -> "Tab":
        """Open it."""
        self._context = self.browser.new_context(
            viewport={"width": self.size[0], "height": self.size[1]}, color_scheme=self.theme, timezone_id="UTC",
            java_script_enabled=self.script, base_url=self.address, reduced_motion="reduce",
        )  # fmt: skip
        host = urlsplit(self.address).hostname or ""
        cookies = {"andon_zone": "UTC", **({"andon_session": self.secret} if self.secret else {})}
        self._context.add_cookies([{"name": k, "value": v, "domain": host, "path": "/"} for k, v in cookies.items()])
        self.page = self._context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.wrong.append(f"a script failed: {error}"))
        self.page.on("request", self._asked)
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._context.close()

    def goto(self, path: str) -> Any:
        """Go to a page of the site; returns its answer."""
        return self.page.goto(path, wait_until="load")

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"the console says at {self.page.url}: {message.text}")

    def _asked(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != urlsplit(self.address).netloc:
            self.wrong.append(f"{self.page.url} asked another host: {request.url}")
