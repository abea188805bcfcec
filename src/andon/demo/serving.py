"""Serve the pages over a fresh store into which the stories are played live."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from markupsafe import Markup

from andon.access.run import add_person, invite
from andon.demo.staging import CAUGHT_UP_US, LEVER, LIVE_S, LIVE_US
from andon.demo.tell import empty_folder
from andon.incidents import duration
from andon.server.background import now_us
from andon.server.crank import Crank
from andon.server.serving import serve
from andon.settings import Settings
from andon.store import open_ledger

__all__ = ["play"]

WHO = "Demo"
WINDOW_S = 900
HOURS = LIVE_US // 3_600_000_000

PLAYED = Markup(
    "Demo: {} hours of simulated traffic are played in {} minutes; {} to go. "
    'An incident stands on <a href="/">Home</a> as soon as a chart notices it: open it.'
)
CAUGHT_UP = Markup(
    "Demo: simulated traffic, now at the clock's own pace. "
    'Read an <a href="/incidents">incident</a>, then stop that of support: hold <a href="/levers/{}">its lever</a>.'
)


def play(out: Path, settings: Settings, *, port: int | None, say: Callable[[str], None]) -> None:
    """Play the stories live until a signal ends it.

    Args:
        out: folder of the demo; what an earlier one left there goes.
        settings: where is listened, and the embedder.
        port: instead of that of the settings.
        say: tells the user where to go.

    Raises:
        InputError: `out` holds something else.
        ConfigError: the settings do not allow a start.
    """
    empty_folder(out)
    chosen = settings.apart(
        out / "live", window_s=WINDOW_S, port=settings.port if port is None else port, grpc_port=0, channels="", inbox="",
        sample=1.0, tables={},
    )  # fmt: skip
    crank = Crank(chosen, "andon.demo.playing:turned", lag_us=LIVE_US)
    with closing(open_ledger(chosen)) as ledger:
        begin_us = now_us() - LIVE_US
        add_person(ledger, WHO, "owner", by="andon demo", now_us=begin_us)
        secret = invite(ledger, WHO, by="andon demo", now_us=begin_us)
    say("Starting ...")
    serve(chosen, crank=crank, note=lambda: _note(crank), ready=lambda: _welcome(chosen, secret, say))


def _welcome(settings: Settings, secret: str, say: Callable[[str], None]) -> None:
    """Say where to go, once somebody answers there."""
    say("Three incidents are played live. Come in by this link, which works once:")
    say(f"  http://{settings.host}:{settings.port}/join/{secret}")
    say(
        f"First the past is learned, which takes about a minute; then {HOURS} hours are played in {LIVE_S / 60:g} minutes, "
        "and after that it goes on at the clock's own pace. Ctrl-C ends it."
    )


def _note(crank: Crank) -> str:
    """What every page says of the clock, and where to look meanwhile."""
    if crank.lag_us >= LIVE_US:
        return (
            "Demo: two weeks of simulated traffic are being learned, which takes about a minute. Then three incidents are played live, "
            "and this page fills by itself."
        )
    if crank.lag_us > CAUGHT_UP_US:
        return PLAYED.format(HOURS, f"{LIVE_S / 60:g}", duration(crank.lag_us / 1e6))
    return CAUGHT_UP.format(LEVER)
