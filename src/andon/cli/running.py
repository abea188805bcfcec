"""What the commands that ask a target share: their options, a live table, runs by id or file."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from andon.cli.screen import now_us, plain, who
from andon.errors import InputError
from andon.evals import FORMS, Baseline, EvalRun, Progress, Tally, make_target
from andon.evals import run as evals
from andon.evals.records import Target
from andon.evals.scorers import scorers_for
from andon.evals.targets import CallableTarget, file_of
from andon.golden import Case
from andon.golden import run as golden
from andon.golden.files import read_set
from andon.loop import Loop
from andon.loop.evaluating import refresh as refresh_baseline
from andon.loop.evaluating import revision_of
from andon.traffic import format_time

__all__ = [
    "App",
    "Asker",
    "Budget",
    "Cache",
    "GoldenFile",
    "PerMinute",
    "Resume",
    "Retries",
    "TargetSpec",
    "Timeout",
    "Workers",
    "apart",
    "cases_of",
    "find_run",
    "left_out",
    "refresh",
    "take_of",
    "watching",
]

TargetSpec = Annotated[str, typer.Option("--target", help=f"What is tested: {', '.join(FORMS)}.")]
App = Annotated[str | None, typer.Option(help="Only cases of this application.")]
GoldenFile = Annotated[
    Path | None,
    typer.Option("--golden", help="A golden set on disk instead of the store's.", exists=True, dir_okay=False),
]
Workers = Annotated[int, typer.Option(min=1, max=256, help="Questions that are asked at the same time.")]
PerMinute = Annotated[float | None, typer.Option(min=0.001, help="Most questions a minute.")]
Budget = Annotated[float | None, typer.Option("--budget-usd", min=0.0001, help="Ask nothing more once this is spent.")]
Retries = Annotated[
    int, typer.Option(min=0, max=20, help="How often a question that could not be asked is asked again.")
]
Timeout = Annotated[
    float | None, typer.Option(min=0.001, help="Seconds for one question; 60 unless the target says so.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was broken off.")]
Cache = Annotated[bool, typer.Option("--cache", help="Take answers of earlier runs of the same target and version.")]

_err = Console(stderr=True, highlight=False, soft_wrap=True)

_PAUSE_S = 5.0
"""Between two lines about a run that no terminal shows."""


@dataclass(slots=True)
class Asker:
    """Asks targets within the limits of one command."""

    loop: Loop
    app: str | None = None
    workers: int = 4
    per_minute: float | None = None
    budget_usd: float | None = None
    retries: int = 2
    timeout_s: float | None = None

    def target(self, spec: str) -> Target:
        """The target that a spec names."""
        return make_target(spec, timeout_s=self.timeout_s)

    def run(self, cases: Sequence[Case], target: Target, *, repeats: int, take: evals.Take = "nothing") -> EvalRun:
        """Ask every case, with answers kept in the home as they come.

        Raises:
            InputError: there is no run to go on with; the cache is asked for, and the target is code whose other modules, prompts and data may have changed.
        """
        if take == "cache" and isinstance(target, CallableTarget):
            raise InputError(
                f"{plain(target.name)} is code on this machine, and what it imports or reads may have changed since its earlier"
                " answers; run without the cache"
            )
        kept = evals.open_kept(self.loop.settings.place / "evals", target, take=take)
        if take == "resume" and (kept is None or not kept.resumed):
            raise InputError(f"no run of {plain(target.name)} was broken off; run without --resume")
        if kept is not None and kept.since_us is not None:
            what = "goes on with" if kept.resumed else "may take"
            since = format_time(kept.since_us)[:16]
            _err.print(Text(f"{what} {kept.answers} kept answers, the oldest of a run of {since} UTC"))
        found = self._ask(cases, target, repeats, kept, "asking the target")
        assert found is not None
        return found

    def again(self, cases: Sequence[Case], target: Target, repeats: int) -> EvalRun | None:
        """Ask lost cases again; nothing that is kept is taken, for these attempts have to be new."""
        return self._ask(cases, target, repeats, None, f"asking what was lost again: {plain(target.name)}")

    def _ask(
        self, cases: Sequence[Case], target: Target, repeats: int, kept: evals.Kept | None, title: str
    ) -> EvalRun | None:
        if self.budget_usd is not None and self.budget_usd <= 0:
            return None
        spent = [0.0]
        with watching(title) as tell:

            def report(p: Progress) -> None:
                spent[0] = p.spent_usd or 0.0
                if p.stopping is not None:
                    _err.print(Text(f"stopping: {p.stopping} questions are on their way and are waited for"))
                    return
                tell(p)

            run = evals.run_evals(
                cases,
                target,
                scorers_for(cases, self.loop.scorers, self.loop.settings),
                self.loop.embedder,
                now_us=now_us(),
                repeats=repeats,
                workers=self.workers,
                per_minute=self.per_minute,
                budget_usd=self.budget_usd,
                retries=self.retries,
                kept=kept,
                report=report,
                app=self.app,
                versions=revision_of(target),
            )
        if self.budget_usd is not None:
            self.budget_usd -= spent[0]
        return run


def refresh(loop: Loop, app: str) -> str | None:
    """Run the baseline of an application on what its golden set has gained; says what became of it, None without a baseline."""
    if loop.ledger.get(Baseline, app) is None:
        return None
    with watching("asking the version in place") as tell:
        return refresh_baseline(loop, app, by=who(), now_us=now_us(), report=tell)


def take_of(*, resume: bool, cache: bool) -> evals.Take:
    """Which kept answers a command takes.

    Raises:
        InputError: both were asked for.
    """
    if resume and cache:
        raise InputError("--resume and --cache exclude each other; the cache holds what a broken run has asked, too")
    return "resume" if resume else "cache" if cache else "nothing"


def cases_of(loop: Loop, path: Path | None, app: str | None) -> list[Case]:
    """The cases that are tested: of a file, else of the store; retired ones are not.

    Raises:
        InputError: none is of this application, although there are others; or the file cannot be read.
    """
    each = golden.load_set(loop.ledger) if path is None else read_set(path, app=app or "default")
    active = [c for c in each if c.retired is None]
    found = [c for c in active if app in (None, c.app)]
    if active and not found:
        known = ", ".join(sorted({plain(c.app)[:80] for c in active})[:10])
        raise InputError(f"no golden case is of application {plain(app)[:80]!r}; there are cases of {known}")
    return found


def left_out(path: Path | None, app: str | None, cases: Sequence[Case]) -> set[str]:
    """The cases of a file that are not tested, because they are retired or of another application."""
    each = [] if path is None else read_set(path, app=app or "default")
    return {c.id for c in each} - {c.id for c in cases}


def apart(written: Sequence[Path | None], read: Sequence[Path | None], *targets: str | None) -> None:
    """Refuse to write over what a command reads, or two things into one file; devices and pipes may take both.

    Raises:
        InputError: one of them would be lost.
    """
    taken = {path.resolve() for path in (*read, *(file_of(t) for t in targets if t)) if path is not None}
    for path in written:
        if path is None or (path.exists() and not path.is_file()):
            continue
        if path.resolve() in taken:
            raise InputError(
                f"{path} is read or written by this command already, and would be written over; give another file"
            )
        taken.add(path.resolve())


def find_run(loop: Loop, name: str) -> EvalRun:
    """The run that a file holds, or that was kept under an id; the beginning of an id will do.

    Raises:
        InputError: there is none, or several begin so.
    """
    if Path(name).is_file():
        return evals.load_run(Path(name))
    if (run := loop.ledger.get(EvalRun, name)) is not None:
        return run
    found = [i for _, i in loop.ledger.ids(EvalRun) if i.startswith(name)]
    run = loop.ledger.get(EvalRun, found[0]) if len(found) == 1 else None
    if run is None:
        what = "no kept run and no file is called" if not found else f"{len(found)} kept runs begin with"
        raise InputError(f"{what} {plain(name)[:80]!r}; `andon eval list` has the ids")
    return run


@contextmanager
def watching(title: str) -> Iterator[Callable[[Progress], None]]:
    """How far a run is, on stderr: a table that lives on a terminal, else a line every few seconds."""
    begun = time.monotonic()
    if not _err.is_terminal:
        told = [begun]

        def line(p: Progress) -> None:
            now = time.monotonic()
            if now - told[0] >= _PAUSE_S:
                told[0] = now
                _err.print(Text(f"{title}: {_said(p, now - begun)}"))

        yield line
        return
    with Live(console=_err, transient=True, refresh_per_second=8) as live:
        yield lambda p: live.update(_table(title, p, time.monotonic() - begun))


def _table(title: str, p: Progress, elapsed_s: float) -> Table:
    table = Table(title=Text(title), caption=Text(_said(p, elapsed_s)), box=None, pad_edge=False, header_style="bold")
    for name in ("risk category", "asked", "pass", "fail", "could not run"):
        table.add_column(name, justify="left" if name == "risk category" else "right")
    for name, tally in (*p.categories.items(), ("all", p.whole)):
        cells = (f"{tally.done} of {tally.all}", tally.passed, tally.failed, tally.errors)
        table.add_row(Text(plain(name) or "(none)"), *map(str, cells))
    return table


def _said(p: Progress, elapsed_s: float) -> str:
    t: Tally = p.whole
    parts = [f"{t.done} of {t.all}, {t.passed} pass, {t.failed} fail, {t.errors} could not run"]
    if p.reused:
        parts.append(f"{p.reused} kept from before")
    if p.spent_usd is not None:
        parts.append(f"spent ${p.spent_usd:.2f}")
    asked = t.done - p.reused
    if asked > 0 and t.done < t.all:
        left_s = elapsed_s / asked * (t.all - t.done)
        parts.append(f"about {left_s:.0f} s left" if left_s < 120 else f"about {left_s / 60:.0f} min left")
    return ", ".join(parts)
