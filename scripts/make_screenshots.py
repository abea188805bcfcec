"""Take the pictures of docs/pages.md: `.venv/bin/python scripts/make_screenshots.py [NAME ...]`.

Every page of the site, light and dark, over the store in which the tests in a browser live: its clock stands still at the
end of its story, so a picture differs only where the page does. It needs Chromium (`sh scripts/install_browser.sh`). Where
Pillow is installed, each picture is stored with 256 colours; else as the browser makes it, cut off below `LARGEST`.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "web"))

import numpy as np
from chromium import PAGE_SIZES, Tab, open_browser
from lived_in import live_in
from served import Served, place_of, serve_pages

from andon.settings import Settings


__all__ = ["FOLDER", "SHOTS", "Shot", "take"]

FOLDER = ROOT / "docs" / "images" / "pages"
LARGEST = 250_000
"""Bytes of one picture."""
EXACT = 128
"""Colours that are kept as they are."""
PORT = Settings().port
"""The pages are served where `andon serve` serves them, because some show their own address."""
WIDE, SHORT, TALL = 1360, 900, 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture: of which page, and how much of it."""

    name: str
    place: str
    """A path, or the word of `_about` for a page about something in the store."""
    height: int = SHORT
    """At most so many pixels are shown; a shorter page makes a shorter picture."""
    phone: bool = False
    role: str = "owner"
    """Who looks; empty for nobody."""
    empty: bool = False
    """Over a store in which nothing has happened."""


def _shots() -> Iterator[Shot]:
    for name, place in {
        "home": "/",
        "incident": "/incidents/INC-0002",
        "monitor": "monitor",
        "interaction": "interaction",
        "postmortem": "/postmortems/INC-0002",
        "lever": "/levers/support.campaign",
    }.items():
        yield Shot(name=name, place=place, height=TALL)
    for name, place in {
        "traffic": "/traffic",
        "agent": "agent",
        "compare": "compare",
        "monitors": "/monitors",
        "changes": "/changes",
        "change": "change",
        "incidents": "/incidents",
        "timeline": "/incidents/INC-0002/timeline",
        "levers": "/levers",
        "lever-versions": "/levers/support.prompt/versions",
        "lever-new": "/levers/new",
        "postmortems": "/postmortems",
        "learning": "/postmortems/learning",
        "postmortem-edit": "/postmortems/INC-0002/edit",
        "actions": "/actions",
        "action": "action",
        "labels": "/labels",
        "golden": "/golden",
        "case": "case",
        "evals": "/evals",
        "run": "run",
        "runs": "runs",
        "rollouts": "/rollouts",
        "rollout": "/rollouts/EXP-0001",
        "rollout-new": "plan",
        "settings": "/settings",
        "people": "/settings/people",
        "tokens": "/settings/tokens",
        "channels": "/settings/channels",
        "budget": "/settings/budget",
        "health": "/settings/health",
        "audit": "/settings/audit",
    }.items():
        yield Shot(name=name, place=place)
    yield Shot(name="sign-in", place="/sign-in", role="")
    yield Shot(name="first", place="/", empty=True)
    for name, place in {"home": "/", "incident": "/incidents/INC-0002", "label": "failure"}.items():
        yield Shot(name=f"phone-{name}", place=place, phone=True)


SHOTS = tuple(_shots())


@contextmanager
def _served(*, empty: bool) -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "store"
        home.mkdir()
        if not empty:
            live_in(home)
        with serve_pages(home, PORT) as served:
            yield served


def take(shot: Shot, served: Served, browser: Any, folder: Path = FOLDER) -> list[Path]:
    """Take one picture in light and dark.

    Returns:
        The two files.

    Raises:
        RuntimeError: the page did not come, or something in it went wrong.
    """
    made = []
    place = shot.place if shot.place.startswith("/") else place_of(served, shot.place)
    width, height = PAGE_SIZES["phone"] if shot.phone else (WIDE, shot.height)
    for theme in ("light", "dark"):
        secret = served.secrets[shot.role] if shot.role else ""
        with Tab(browser, served.address, secret, size=(width, 600), theme=theme) as tab:
            answer = tab.goto(place)
            if answer.status != 200 or tab.wrong:
                raise RuntimeError(
                    f"{place} answered {answer.status}: {'; '.join(tab.wrong) or 'no error in its scripts'}"
                )
            tab.page.evaluate("document.documentElement.style.scrollbarGutter = 'auto'")
            full = tab.page.evaluate("document.documentElement.scrollHeight")
            path = folder / f"{shot.name}-{theme}.png"
            _shoot(tab.page, path, width, height if shot.phone else max(700, min(height, full)))
            made.append(path)
    return made


def _shoot(page: Any, path: Path, width: int, height: int) -> None:
    """Take what is in the window into a file that is no larger than `LARGEST`."""
    while True:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(150)
        page.screenshot(path=path, animations="disabled")
        _fewer_colours(path)
        if path.stat().st_size <= LARGEST or height <= 700:
            return
        height -= 150


def _fewer_colours(path: Path) -> None:
    """Store a picture with a palette: its most frequent colours as they are, so that surfaces look alike in all, and a choice of the rest."""
    try:
        from PIL import Image
    except ImportError:
        return
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB")).astype(np.uint32)
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    values, which, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1).astype(np.uint8)
    often = np.argsort(counts)[::-1][:EXACT]
    palette = colours[often]
    if len(colours) > EXACT:
        rest = np.delete(colours, often, axis=0)[None]
        few = Image.fromarray(rest).quantize(256 - EXACT, method=Image.Quantize.MAXCOVERAGE)
        palette = np.vstack([palette, np.array(few.getpalette(), dtype=np.uint8).reshape(-1, 3)])[:256]
    far = ((colours[:, None].astype(np.int32) - palette[None].astype(np.int32)) ** 2).sum(axis=2)
    picture = Image.fromarray(far.argmin(axis=1).astype(np.uint8)[which.reshape(packed.shape)], "P")
    picture.putpalette(palette.tobytes())
    picture.save(path, optimize=True)


def main(names: list[str]) -> int:
    """Take the pictures of these names, or all of them."""
    wanted = [s for s in SHOTS if s.name in names or not names]
    if unknown := set(names) - {s.name for s in SHOTS}:
        print(f"there is no picture {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in SHOTS)}")
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open_browser() as browser:
        for empty in (False, True):
            some = [s for s in wanted if s.empty == empty]
            if not some:
                continue
            with _served(empty=empty) as served:
                for shot in some:
                    for path in take(shot, served, browser):
                        print(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
