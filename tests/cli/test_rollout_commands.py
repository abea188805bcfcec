"""The commands of rollouts: what a plan sees, what is written and when, and what a look prints and does."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import typer

import andon.cli
from andon.changes import Change
from andon.cli import rollouts
from andon.cli.rollout_plans import guardrail_of
from andon.errors import InputError
from andon.levers import Lever, Version
from andon.levers import run as levers
from andon.loop import Loop, open_loop
from andon.rollouts import Allocation, Decision, Experiment, Guardrail
from andon.scores import SCORERS, score_schema
from andon.settings import load
from andon.traffic import Interaction
from andon.traffic.rows import to_rows

Type = Callable[..., tuple[int, str, str]]
DAY = 86_400_000_000
PLAN = ("rollout", "plan", "--metric", "refusal", "--base", "0.05", "--effect", "0.005")


@pytest.fixture(autouse=True)
def _commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of rollouts, wherever else they are added."""
    app = typer.Typer(name="andon", rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    rollouts.add_to(app)
    monkeypatch.setattr(andon.cli, "app", app)


class Bot:
    """A home with a lever, an approved version, and traffic of an application."""

    def __init__(self, type_: Type) -> None:
        self.type_ = type_
        self.now = time.time_ns() // 1000
        self.loop = self.open()
        lever = Lever(id="prompt", kind="string", default="Hello.", safe="Ask a doctor.", app="bot")
        levers.declare(self.loop.ledger, lever, self.now - 40 * DAY, "ann")
        made = levers.add_version(
            self.loop.ledger, "prompt", "Hello!", why="kinder", by="ann", now_us=self.now - 39 * DAY
        )
        levers.approve_version(
            self.loop.ledger, "prompt", made.digest, why="read", by="bob", now_us=self.now - 38 * DAY
        )
        self.digest = made.digest

    def open(self) -> Loop:
        return open_loop(load())

    def traffic(self, start_days: float, days: float, per_day: int, seed: int, arms: str | None = None, environment: str = "production",
        risks: tuple[str, str] = ("low", "high"), **rates: tuple[float, float]) -> None:  # fmt: skip
        """Users with one interaction each, from so many days ago; rates of (control, treatment)."""
        rng, n = np.random.default_rng(seed), int(days * per_day)
        treated = rng.random(n) < (0.5 if arms else 0)
        columns: dict[str, Any] = {name: [None] * n for name in score_schema(SCORERS).names}
        columns["id"] = [f"{seed}-{i}" for i in range(n)]
        columns["time_us"] = np.sort(
            self.now - round(start_days * DAY) + rng.integers(0, round(days * DAY), n)
        ).tolist()
        columns.update(weight=[1.0] * n, app=["bot"] * n, environment=[environment] * n, user_id=[f"u{seed}-{i}" for i in range(n)])  # fmt: skip
        columns["risk_category"] = rng.choice(risks, n, p=[0.8, 0.2]).tolist()
        if arms:
            columns["arm"] = [f"{arms}-{'treatment' if t else 'control'}" for t in treated]
        for metric, (control, treatment) in rates.items():
            columns[metric] = (rng.random(n) < np.where(treated, treatment, control)).astype(float).tolist()
        self.loop.warehouse.append("scores", pa.table(columns, schema=score_schema(SCORERS)))
        self.loop.warehouse.commit()

    def ab(
        self, *more: str, effect: str = "0.02", hypothesis: str = "kinder words, fewer refusals"
    ) -> tuple[int, str, str]:
        return self.type_(
            "rollout", "ab", "--lever", "prompt", "--treatment", self.digest[:6], "--metric", "refusal", "--better", "down",
            "--effect", effect, "--hypothesis", hypothesis, *more,
        )  # fmt: skip

    def started(self, days_ago: float, monkeypatch: pytest.MonkeyPatch) -> Experiment:
        """An experiment that was written and started so many days ago."""
        monkeypatch.setattr("andon.cli.rollout_plans.now_us", lambda: self.now - round(days_ago * DAY))
        monkeypatch.setattr("andon.cli.rollouts.now_us", lambda: self.now - round(days_ago * DAY))
        code, out, err = self.ab("--base", "0.06", "--per-day", "1000", "--start")
        assert code == 0, out + err
        monkeypatch.setattr("andon.cli.rollouts.now_us", lambda: self.now)
        monkeypatch.setattr("andon.cli.rollout_plans.now_us", lambda: self.now)
        [found] = self.loop.ledger.all(Experiment)
        return found


@pytest.fixture
def bot(type_: Type, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bot]:
    """See `Bot`."""
    monkeypatch.setenv("ANDON_HOME", "home")
    bot = Bot(type_)
    yield bot
    bot.loop.close()


def test_a_plan_needs_no_store(type_: Type, tmp_path: Path) -> None:
    """From figures alone it says first whether it sees the change, then what each way of looking needs; nothing is written."""
    code, out, _ = type_(*PLAN, "--better", "down", "--per-day", "48000")
    assert code == 0
    assert out.startswith(
        "This plan can see it: a change of refusal from 5 % to 4.5 % is found with a power of above 0.99 in 14 days"
    )
    assert re.search(r"once, at the end +28,408 \+ 28,408 +7 days", out)
    assert '"1,000 per arm" alone has a power of 0.08' in out
    assert list(tmp_path.iterdir()) == []


def test_a_day_at_five_percent_is_told_as_it_is(type_: Type) -> None:
    """The usual canary, 5 % of 2,000 an hour for a day, is told to find 0.3 points with a power of 0.60 by one look."""
    words = ("--metric", "error", "--base", "0.005", "--effect", "0.003", "--per-day", "48000", "--canary")
    code, out, _ = type_("rollout", "plan", *words)
    assert code == 0
    assert out.startswith("This plan cannot see it")
    assert "with a power of 0.60." in out


def test_what_cannot_be_reached_is_said_in_the_first_sentence(type_: Type) -> None:
    """A plan that no 90 days reach names the offline gate and its golden cases before anything else."""
    first = type_(*PLAN, "--per-day", "300")[1].splitlines()[0]
    assert first.startswith("This traffic cannot show it")
    assert re.search(r"The offline gate can, with about [0-9,]+ golden cases\.", first)


def test_a_direction_that_nobody_knows_must_be_said(type_: Type) -> None:
    """A metric of a scorer goes away from its bad side; of one that no scorer knows, the direction is asked for."""
    words = ("rollout", "plan", "--base", "0.5", "--effect", "0.1", "--per-day", "5000")
    assert "from 50 % to 60 %" in type_(*words, "--metric", "citation_valid")[1]
    code, _, err = type_(*words, "--metric", "joy")
    assert code == 2
    assert "--better up or --better down" in err


def test_an_experiment_is_written_before_it_is_started(bot: Bot) -> None:
    """`ab` writes the hypothesis, what recent traffic says and the sample that the plan needs; nobody is served by that."""
    bot.traffic(7, 7, 1_000, 1, refusal=(0.06, 0.06), error=(0.01, 0.01))
    code, out, err = bot.ab("--guardrail", "error:0.01", "--guardrail", "high:error:0.05")
    assert code == 0, err
    [made] = bot.loop.ledger.all(Experiment)
    assert (made.id, made.hypothesis, made.treatment, made.control) == (
        "EXP-0001",
        "kinder words, fewer refusals",
        bot.digest,
        None,
    )
    assert made.base == pytest.approx(0.06, abs=0.01)
    assert made.planned[0] == made.planned[1] >= 1_000
    assert [g.risk_category for g in made.guardrails] == ["high", None]
    assert "From 7,000 interactions of bot in the last 7 days: refusal is" in out
    assert "7,000 users came" in out
    assert 'andon rollout start EXP-0001 --why "..."' in out
    assert not bot.loop.ledger.all(Allocation)
    assert bot.ab(effect="0.03")[0] == 0
    assert [e.id for e in bot.loop.ledger.all(Experiment)] == ["EXP-0001", "EXP-0002"]


def test_a_plan_that_cannot_see_its_effect_is_refused_unless_anyway(bot: Bot) -> None:
    """Exit code 2 and nothing written, after the plan was shown; --anyway writes it."""
    bot.traffic(7, 7, 1_000, 1, refusal=(0.06, 0.06))
    code, out, err = bot.ab(effect="0.002")
    assert code == 2
    assert out.startswith("This ")
    assert "--anyway" in err
    assert not bot.loop.ledger.all(Experiment)
    assert bot.ab("--anyway", effect="0.002")[0] == 0
    assert len(bot.loop.ledger.all(Experiment)) == 1


def test_without_traffic_the_figures_are_asked_for(bot: Bot) -> None:
    """Where nothing came, --base and --per-day are asked for, and with them it is planned."""
    code, _, err = bot.ab()
    assert code == 2
    assert "--base and --per-day" in err
    assert bot.ab("--base", "0.06", "--per-day", "1000")[0] == 0


def test_a_hypothesis_is_changed_before_the_start_only(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """--change writes the next version of a plan; once it is started it is refused, and the plan stays as it was."""
    figures = ("--base", "0.06", "--per-day", "1000")
    assert bot.ab(*figures)[0] == 0
    assert bot.ab(*figures, "--change", "1", hypothesis="shorter")[0] == 0
    assert [v.record.hypothesis for v in bot.loop.ledger.history(Experiment, "EXP-0001")] == [
        "kinder words, fewer refusals",
        "shorter",
    ]
    assert bot.type_("rollout", "start", "exp-0001", "--why", "go")[0] == 0
    code, out, err = bot.ab(*figures, "--change", "EXP-0001", hypothesis="what came out")
    assert (code, out) == (2, "")
    assert "was started" in err
    assert len(bot.loop.ledger.history(Experiment, "EXP-0001")) == 2
    assert "shorter" in bot.type_("rollout", "show", "1")[1]


def test_a_start_splits_and_a_stop_ends_it(bot: Bot) -> None:
    """Start serves the treatment and is a change; stop takes it out; neither is done twice, and what was never started cannot be looked at."""
    bot.ab("--base", "0.06", "--per-day", "1000")
    assert bot.type_("rollout", "look", "1")[0] == 2
    code, out, _ = bot.type_("rollout", "start", "1", "--why", "as planned")
    assert code == 0
    assert f"50 % of the users may be given version {bot.digest} of prompt in production until" in out
    assert "runs until" in bot.type_("rollout", "list")[1]
    assert bot.type_("rollout", "start", "1", "--why", "again")[0] == 2
    code, out, _ = bot.type_("rollout", "look", "1")
    assert (code, "no look is due" in out, "the next look is due" in out) == (0, True, True)
    code, out, _ = bot.type_("rollout", "stop", "1", "--why", "enough")
    assert out == "EXP-0001 is stopped: everybody is given the default of prompt in production again\n"
    assert bot.type_("rollout", "stop", "1", "--why", "enough")[0] == 2
    assert {c.id for c in bot.loop.ledger.all(Change)} == {"lever-prompt-EXP-0001-began", "lever-prompt-EXP-0001-ended"}
    assert "ended" in bot.type_("rollout", "list")[1]


def test_a_better_version_is_promoted_by_the_report(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A treatment that improves is decided by the looks; the report says so first, with the chart, as text, page and Markdown."""
    experiment = bot.started(9, monkeypatch)
    bot.traffic(9, 9, 1_500, 2, experiment.id.lower(), refusal=(0.08, 0.03))
    code, out, _ = bot.type_("rollout", "look", "1")
    assert code == 0
    assert any(line.startswith("EXP-0001@0007") and ": promote: " in line for line in out.splitlines())
    assert ": promote: " in out
    text = bot.type_("rollout", "show", "1")[1]
    assert text.splitlines()[1].startswith("Promote: the primary metric is better")
    code, out, _ = bot.type_("rollout", "show", "1", "--html", "r.html", "--markdown", "r.md")
    assert code == 0
    assert "<svg" in Path("r.html").read_text()
    assert Path("r.md").read_text().startswith("# EXP-0001")
    assert bot.type_("rollout", "look", "1")[1].startswith("no look is due. Promote")


def test_harm_takes_the_treatment_out_by_rule(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that shows harm ends the split at once, with the decision as its reason; twice changes nothing."""
    experiment = bot.started(3, monkeypatch)
    bot.traffic(3, 3, 2_000, 3, experiment.id.lower(), refusal=(0.06, 0.20))
    code, out, _ = bot.type_("rollout", "look", "1")
    assert code == 0
    assert out.strip().endswith("EXP-0001 is stopped: everybody has the control again")
    split = levers.allocation_of(bot.loop.ledger, "EXP-0001")
    last = bot.loop.ledger.all(Decision)[-1]
    assert split is not None
    assert last.outcome == "roll back"
    assert (split.ended_why or "").startswith(last.id)
    assert "is stopped" not in bot.type_("rollout", "look", "1")[1]
    assert "Roll back: " in bot.type_("rollout", "show", "1")[1]


def test_people_are_told_where_the_plan_says_tell(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --on-harm tell, harm ends nothing; the command that does is printed."""
    monkeypatch.setattr("andon.cli.rollouts.now_us", lambda: bot.now - 3 * DAY)
    assert bot.ab("--base", "0.06", "--per-day", "1000", "--on-harm", "tell", "--start")[0] == 0
    monkeypatch.setattr("andon.cli.rollouts.now_us", lambda: bot.now)
    bot.traffic(3, 3, 2_000, 3, "exp-0001", refusal=(0.06, 0.20))
    out = bot.type_("rollout", "look", "1")[1]
    assert 'The treatment is still served: andon rollout stop EXP-0001 --why "..." takes it out.' in out
    split = levers.allocation_of(bot.loop.ledger, "EXP-0001")
    assert split is not None
    assert split.ended_us is None


def test_what_is_over_is_not_said_to_be_served(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the look at the end shows harm, everybody has the control: no command is printed that would fail."""
    monkeypatch.setattr("andon.cli.rollouts.now_us", lambda: bot.now - 2 * DAY)
    words = (
        "rollout canary --lever prompt --metric citation_valid --margin 0.01 --for 1d --base 0.97 --per-day 1000 --share 0.5 "
        "--guardrail refusal:0.1 --anyway --start --treatment"
    )
    code, out, err = bot.type_(*words.split(), bot.digest[:6])
    assert code == 0, out + err
    monkeypatch.setattr("andon.cli.rollouts.now_us", lambda: bot.now)
    bot.traffic(2, 1, 2_000, 3, "exp-0001", citation_valid=(0.97, 0.80))
    out = bot.type_("rollout", "look", "1")[1]
    assert ": roll back: " in out
    assert out.strip().endswith("everybody has the control again")
    assert "still served" not in out
    assert "andon rollout stop" not in out
    text = bot.type_("rollout", "show", "1")[1]
    assert re.search(r"^harm of citation_valid  +[1-5](\.\d+)? %  +[12]\d", text, re.MULTILINE)
    assert "harm of refusal" not in text


def test_a_canary_is_guarded_by_the_risk_metrics_high_risk_first(bot: Bot) -> None:
    """Without guardrails named, those that the application is scored by guard it, high risk first; each with how surely it is shown."""
    bot.traffic(7, 7, 2_000, 1, refusal=(0.06, 0.06), error=(0.01, 0.01))
    words = ("rollout", "canary", "--lever", "prompt", "--treatment", bot.digest, "--margin", "0.05", "--share", "0.2")
    code, out, err = bot.type_(*words, "--for", "3d", "--anyway")
    assert code == 0, err
    [made] = bot.loop.ledger.all(Experiment)
    assert (made.kind, made.share, made.days, made.metric, made.better, made.effect) == (
        "canary",
        0.2,
        3.0,
        "error",
        "down",
        0.05,
    )
    assert [(g.metric, g.risk_category) for g in made.guardrails] == [
        ("error", "high"),
        ("refusal", "high"),
        ("refusal", None),
    ]
    assert "shown to hold in 3 days" in out
    assert "It takes the treatment out in 3 days" in out
    assert bot.type_(*words, "--shadow", "--guardrail", "error:0.1", "--anyway")[0] == 0
    assert bot.loop.ledger.all(Experiment)[1].kind == "shadow"


def test_recent_traffic_counts_each_user_once(bot: Bot) -> None:
    """Users who come back are one each, and interactions that resemble each other within a user count for less."""
    from andon.rollouts.run.planning import recent_traffic

    n, users = 6_000, 1_000
    columns: dict[str, Any] = {name: [None] * n for name in score_schema(SCORERS).names}
    columns.update(
        id=[str(i) for i in range(n)], time_us=[bot.now - 5 * DAY + i * 60_000_000 for i in range(n)], weight=[1.0] * n,
        app=["bot"] * n, environment=["production"] * n, user_id=[f"u{i % users}" for i in range(n)], error=[float(i % users < 100) for i in range(n)],
    )  # fmt: skip
    bot.loop.warehouse.append("scores", pa.table(columns, schema=score_schema(SCORERS)))
    bot.loop.warehouse.commit()
    found = recent_traffic(bot.loop.warehouse, "bot", "production", "error", bot.now)
    assert found is not None
    assert (found.users, found.interactions, found.mean, found.unnamed) == (1_000, 6_000, 0.1, 0)
    assert found.per_day == pytest.approx(200, rel=0.01)
    assert found.design_effect == pytest.approx(1, rel=0.01)  # six alike say what one does
    assert recent_traffic(bot.loop.warehouse, "bot", "production", "error", bot.now, risk="high") is None


def test_a_plan_reads_its_own_environment(bot: Bot) -> None:
    """What staging shows says nothing of production: neither the rate, nor the users, nor what guards it."""
    from andon.rollouts.run.planning import recent_traffic, risk_metrics

    bot.traffic(7, 7, 200, 1, refusal=(0.06, 0.06))
    bot.traffic(7, 7, 400, 2, environment="staging", refusal=(0.9, 0.9), error=(0.5, 0.5))
    found = [recent_traffic(bot.loop.warehouse, "bot", e, "refusal", bot.now) for e in ("production", "staging")]
    assert [(f.users, round(f.mean, 1)) for f in found if f is not None] == [(1_400, 0.1), (2_800, 0.9)]
    guards = [risk_metrics(bot.loop.warehouse, "bot", e, bot.now) for e in ("production", "staging")]
    assert guards == [(["refusal"], ["high"]), (["error", "refusal"], ["high"])]
    assert bot.ab("--effect", "0.05", "--environment", "staging", "--anyway")[0] == 0
    assert bot.loop.ledger.all(Experiment)[0].base == pytest.approx(0.9, abs=0.05)


def test_spellings_of_a_risk_category_are_one(bot: Bot) -> None:
    """``High`` and `` high`` are one category: one guardrail, which reads both, and none that is named twice."""
    from andon.rollouts.run.planning import recent_traffic, risk_metrics

    bot.traffic(7, 7, 200, 1, risks=("High", " high"), refusal=(0.06, 0.06))
    assert risk_metrics(bot.loop.warehouse, "bot", "production", bot.now)[1] == ["high"]
    found = recent_traffic(bot.loop.warehouse, "bot", "production", "refusal", bot.now, risk="HIGH")
    assert found is not None
    assert found.users == 1_400
    code, _, err = bot.ab("--guardrail", "high:error:0.1", "--guardrail", "High:error:0.2")
    assert (code, "stands twice" in err) == (2, True)


def by_field(bot: Bot, *more: str, kind: str = "canary", treatment: str = "exp-9-treatment") -> tuple[int, str, str]:
    """Plan an experiment on the field `arm`, whose values another system wrote."""
    words = ("rollout", kind, "--by", "arm", "--treatment", treatment, "--app", "bot")
    return bot.type_(*words, *more)


def test_a_version_that_another_system_serves_is_planned_looked_at_and_stopped(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """--by writes an experiment of a field: planned from its own traffic, looked at as any other, told and not taken out."""
    bot.traffic(7, 7, 2_000, 1, "exp-9", error=(0.02, 0.02))
    bot.traffic(7, 7, 500, 4, error=(1.0, 1.0))
    code, out, err = by_field(bot, "--control", "exp-9-control", "--margin", "0.01", "--for", "3d", "--anyway")
    assert code == 0, err
    [made] = bot.loop.ledger.all(Experiment)
    assert (made.lever, made.field, made.control, made.treatment) == (None, "arm", "exp-9-control", "exp-9-treatment")
    assert (made.share, made.on_harm) == (None, "tell")
    assert made.base == pytest.approx(0.02, abs=0.003)  # of the two arms alone
    assert re.search(r"Nobody planned a split \(--share\), so it is not checked; power is computed with (49|50)", out)
    assert made.hypothesis.startswith("arm exp-9-treatment does not harm error by more than")
    monkeypatch.setattr("andon.cli.rollouts.now_us", lambda: bot.now - DAY)
    code, out, err = bot.type_("rollout", "start", "1", "--why", "rolled out")
    assert code == 0, err
    assert out.startswith(
        "EXP-0001 is started: arm exp-9-treatment against exp-9-control is looked at in production until"
    )
    monkeypatch.setattr("andon.cli.rollouts.now_us", lambda: bot.now)
    bot.traffic(1, 1, 4_000, 5, "exp-9", error=(0.02, 0.2))
    out = bot.type_("rollout", "look", "1")[1]
    assert ": roll back: harm is shown" in out
    assert "Andon does not serve arm: take the treatment out" in out
    assert bot.type_("rollout", "show", "1")[1].startswith(
        "EXP-0001: arm exp-9-treatment against exp-9-control\nRoll back"
    )
    assert "  arm " in bot.type_("rollout", "list")[1]
    out = bot.type_("rollout", "stop", "1", "--why", "taken out")[1]
    assert out == "EXP-0001 is stopped: it is not looked at any more; arm is served as before, by what serves it\n"
    assert not bot.loop.ledger.all(Change)


def test_a_treatment_that_has_not_come_yet_may_be_planned(bot: Bot) -> None:
    """With the usual share for its power; with --share the split is checked."""
    bot.traffic(7, 7, 2_000, 1, "exp-9", error=(0.02, 0.02))
    words = ("--control", "exp-9-control", "--margin", "0.05", "--for", "7d", "--anyway")
    assert "with 5 % for the treatment, which has not come yet" in by_field(bot, *words, treatment="new")[1]
    words = (*words[:2], "--metric", "error", "--better", "down", "--effect", "0.01", "--hypothesis", "fewer")
    code, out, err = by_field(bot, *words, "--share", "0.3", kind="ab", treatment="new")
    assert code == 0, err
    assert "Nobody planned a split" not in out
    assert "harm is told and nothing is taken out" in out
    assert [e.share for e in bot.loop.ledger.all(Experiment)] == [None, 0.3]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ((), "--control, and --app"),
        (("--control", "exp-9-treatment"), "are both"),
        (("--control", "v0"), 'there came "exp-9-'),
        (("--control", "exp-9-control", "--shadow"), "a shadow is for a lever"),
        (("--control", "exp-9-control", "--on-harm", "roll back"), "takes nothing out"),
        (("--control", "exp-9-control", "--on-harm", "panic"), "'roll back' or 'tell'"),
        (("--control", "exp-9-control", "--lever", "prompt"), "by one of two options"),
        (("--control", "exp-9-control", "--by", "user_id"), "is not a field that tells versions apart; arm, provider"),
        (("--control", "exp-9-control", "--share", "1.5"), "the share is 1.5"),
        (("--control", "exp-9-control", "--change", "7"), "there is no experiment"),
    ],
)
def test_a_field_is_asked_for_with_all_that_it_needs(bot: Bot, more: tuple[str, ...], says: str) -> None:
    """Exit code 2, what is allowed, and nothing written."""
    bot.traffic(7, 7, 200, 1, "exp-9", error=(0.02, 0.02))
    code, _, err = by_field(bot, *more)
    assert code == 2
    assert says in err
    assert not bot.loop.ledger.all(Experiment)
    code, _, err = bot.type_("rollout", "canary", "--treatment", "v2")
    assert (code, "by one of two options" in err) == (2, True)


@pytest.mark.parametrize(("rate", "margin", "says"), [(0.02, 0.01, "half of the rate now as harm of error, 1 point"),
    (0.0, 0.001, "the least that is taken for half of a rate as harm of error, 0.1 points"), (0.4, 0.05, "the most that")])  # fmt: skip
def test_a_canary_accepts_half_of_the_harm_there_is(bot: Bot, rate: float, margin: float, says: str) -> None:
    """Unless --margin says otherwise, and the plan says it; each guardrail half of its own."""
    bot.traffic(7, 7, 2_000, 1, error=(rate, rate), refusal=(0.006, 0.006))
    words = ("rollout", "canary", "--lever", "prompt", "--treatment", bot.digest, "--anyway")
    given = () if rate else ("--base", "0.0000001")
    code, out, err = bot.type_(*words, *given)
    assert code == 0, err
    [made] = bot.loop.ledger.all(Experiment)
    assert made.effect == pytest.approx(margin, rel=0.15)
    assert says.partition(",")[0] in out
    refusal = next(g.margin for g in made.guardrails if g.metric == "refusal" and g.risk_category is None)
    assert refusal == pytest.approx(0.003, rel=0.2)


def test_the_cut_of_a_guarded_number_is_in_the_plan(bot: Bot) -> None:
    """What counts as harm of a number is said with its unit, and its rate now is what it was."""
    bot.traffic(7, 7, 1_000, 1, error=(0.02, 0.02), latency_s=(0.3, 0.3))
    words = ("rollout", "canary", "--lever", "prompt", "--treatment", bot.digest, "--guardrail", "latency_s:0.1", "--anyway")  # fmt: skip
    code, out, err = bot.type_(*words)
    assert code == 0, err
    assert re.search(r"latency_s +10 points +(29|30|31)[.0-9]* %", out)
    assert re.search(r"Harm of latency_s is what is above [.0-9]+ s, the worst (29|30|31) % of the last 7 days", out)


def test_traffic_that_nobody_scored_is_told_from_none(bot: Bot) -> None:
    """Where interactions came and none has a score yet, the error says how many, and what scores them."""
    rows = [Interaction(id=f"i{i}", app="bot", environment="production", time_us=bot.now - DAY, prompt_version="v1") for i in range(3)]  # fmt: skip
    bot.loop.warehouse.append("interactions", to_rows(rows))
    bot.loop.warehouse.commit()
    for code, _, err in (bot.ab(), by_field(bot, "--control", "v1")):
        assert code == 2
        assert "(3 came, and none is scored yet: run `andon tick`)" in err
    bot.traffic(1, 1, 20, 1, error=(0.0, 0.0))
    assert "is scored yet" not in bot.ab()[2]


def test_numbers_and_rates_are_not_mixed_up(bot: Bot, type_: Type) -> None:
    """A number is planned with its spread, a rate without; a number of which nothing came is not taken for a rate."""
    words = ("rollout", "plan", "--base", "0.3", "--effect", "0.05", "--per-day", "5000")
    for more, says in ((("--metric", "latency_s"), "give --spread"), (("--metric", "error", "--spread", "1"), "leave --spread out")):  # fmt: skip
        code, _, err = type_(*words, *more)
        assert code == 2
        assert says in err
    words = ("rollout", "canary", "--lever", "prompt", "--treatment", bot.digest, "--metric", "latency_s")
    code, _, err = bot.type_(*words, "--base", "0.3", "--per-day", "9000", "--margin", "0.1")
    assert (code, "is a number, and no interaction" in err) == (2, True)


def test_hostile_texts_stay_on_their_line(bot: Bot) -> None:
    """What people write moves no cursor and begins no line, in any command that prints it."""
    evil = "a\x1b[2J\nEXP-0009 is started\u202e"
    assert bot.ab("--base", "0.06", "--per-day", "1000", hypothesis=evil)[0] == 0
    bot.type_("rollout", "start", "1", "--why", evil)
    for words in (("list",), ("show", "1")):
        out = bot.type_("rollout", *words)[1]
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert not [line for line in out.splitlines() if line.startswith("EXP-0009")]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--guardrail", "error"), "RISK:METRIC:MARGIN"),
        (("--guardrail", "joy:0.1"), "is not a metric"),
        (("--guardrail", "error:0.1", "--guardrail", "error:0.2"), "stands twice"),
        (("--control", "ffff"), "is no version"),
        (("--environment", "moon"), "staging and production"),
        (("--share", "1.5"), "the share is 1.5"),
        (("--on-harm", "panic"), "'roll back' or 'tell'"),
        (("--change", "7"), "there is no experiment"),
    ],
)
def test_a_wrong_word_is_refused_and_nothing_is_written(bot: Bot, more: tuple[str, ...], says: str) -> None:
    """Exit code 2, a message with what is allowed, and no experiment."""
    code, _, err = bot.ab("--base", "0.06", "--per-day", "1000", *more)
    assert code == 2
    assert says in err
    assert not bot.loop.ledger.all(Experiment)


@pytest.mark.parametrize(("text", "days"), [("30m", 1 / 48), ("24h", 1.0), ("3d", 3.0), ("36h", 1.5)])
def test_a_canary_runs_for_minutes_hours_or_days(bot: Bot, text: str, days: float) -> None:
    """A time is written as everywhere else; anything else is refused."""
    words = (
        "rollout",
        "canary",
        "--lever",
        "prompt",
        "--treatment",
        bot.digest,
        "--base",
        "0.01",
        "--per-day",
        "9000",
        "--anyway",
    )
    assert bot.type_(*words, "--for", text)[0] == 0
    [made] = bot.loop.ledger.all(Experiment)
    assert made.days == pytest.approx(days)
    for wrong in ("3", "1w", "²d", "0m", "29m", "91d"):
        code, _, err = bot.type_(*words, "--for", wrong)
        assert code == 2
        assert "(30m), hours (24h)" in err


def test_a_guardrail_may_name_its_risk_category() -> None:
    """METRIC:MARGIN guards all traffic, RISK:METRIC:MARGIN one category; nothing else is a guardrail."""
    assert guardrail_of("error:0.002") == Guardrail(metric="error", margin=0.002)
    assert guardrail_of("high:refusal:0.01") == Guardrail(metric="refusal", margin=0.01, risk_category="high")
    for wrong in ("", ":0.1", "a:b:c:0.1", "error:0", "error:1", "error:nan", ":error:0.1", "error:-1"):
        with pytest.raises(InputError, match="is not a guardrail"):
            guardrail_of(wrong)


def test_the_version_that_is_asked_for_is_named_with_its_gate(bot: Bot) -> None:
    """The report says what the gate said of the treatment, or that nobody asked it."""
    bot.ab("--base", "0.06", "--per-day", "1000")
    assert f"{bot.digest} (treatment)  nobody asked it" in bot.type_("rollout", "show", "1")[1]
    assert bot.loop.ledger.get(Version, f"prompt@{bot.digest}") is not None


def test_an_application_without_errors_plans_a_canary(bot: Bot) -> None:
    """Nothing went wrong in the last week: half an event is assumed and said, of rates that are to rise as well."""
    bot.traffic(7, 7, 1_000, 1, error=(0.0, 0.0), language_match=(1.0, 1.0))
    words = ("rollout", "canary", "--lever", "prompt", "--treatment", bot.digest, "--share", "0.5")
    for metric, base in (("error", 0.5 / 7_000), ("language_match", 1 - 0.5 / 7_000)):
        code, out, err = bot.type_(*words, "--metric", metric, "--guardrail", "error:0.05", "--margin", "0.02")
        assert code == 0, out + err
        assert bot.loop.ledger.all(Experiment)[-1].base == pytest.approx(base)
        assert "No harm came in the last 7 days: half an event is assumed." in out
    assert bot.type_(*words, "--anyway", "--guardrail", "error:0.05")[0] == 0
    assert bot.loop.ledger.all(Experiment)[-1].effect == 0.001


def test_a_plan_that_can_never_start_is_not_written(bot: Bot) -> None:
    """Two versions of the same value are none; with --start nothing is written that cannot start now."""
    ledger, figures = bot.loop.ledger, ("--base", "0.06", "--per-day", "1000")
    same = levers.add_version(ledger, "prompt", "Hello.", why="as it was", by="ann", now_us=bot.now)
    for named in ("default", same.digest):
        code, _, err = bot.ab(*figures, "--treatment", named)
        assert (code, "treatment and control are the same, the default of prompt, which is live" in err) == (2, True)
    new = levers.add_version(ledger, "prompt", "Hi!", why="short", by="ann", now_us=bot.now)
    code, _, err = bot.ab(*figures, "--treatment", new.digest, "--start")
    assert code != 0
    assert "approve" in err
    code, _, err = bot.ab(*figures, "--control", bot.digest, "--treatment", "default", "--start")
    assert code != 0
    assert f"control of this experiment is version {bot.digest}, but the default of prompt is live" in err
    assert not ledger.all(Experiment)
    assert bot.ab(*figures, "--treatment", new.digest)[0] == 0
    assert bot.ab(*figures, "--change", "1", "--start")[0] == 0
    code, _, err = bot.ab(*figures, "--start")
    assert code != 0
    assert "EXP-0001 splits prompt" in err
    assert [e.id for e in ledger.all(Experiment)] == ["EXP-0001"]
