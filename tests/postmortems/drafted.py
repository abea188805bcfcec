"""Records of a postmortem for tests: a rich one with any text in every free field, and a bare one."""

from dataclasses import replace

from andon.incidents import Incident, Overrule, TimelineEvent
from andon.investigations import (
    Analysis,
    Confidence,
    Evidence,
    Example,
    Gap,
    HarmedSlice,
    Impact,
    Investigation,
    Part,
    Proposal,
    Suspect,
    SuspectTest,
    Twin,
)
from andon.monitors import Point, Signal
from andon.postmortems import (
    ActionItem,
    Comment,
    ContributingFactor,
    Criterion,
    Postmortem,
    Proof,
    Review,
    SignOff,
    contributing_factors,
    propose_actions,
    summarise,
)
from andon.postmortems.lessons import COST, USUAL_BEFORE, USUAL_SINCE

T0 = 1_790_000_000_000_000
HOUR = 3_600_000_000


def incident(text: str = "refusals") -> Incident:
    """An incident with this text in every free field."""
    return Incident(
        id="INC-0001",
        title=f"The share of {text} rose",
        app=text,
        environment=text,
        impact_reason=text,
        severity="P1",
        severity_reason=text,
        scope={"risk_category": text},
        failure="model drift",
        failure_reason=text,
        overrules=(Overrule(field="severity", suggested=text, chosen=text, why=text, by=text, at_us=T0),),
        metric="refusal",
        lead="s1",
        signals=("s1",),
        onset_us=T0,
        onset_low_us=T0 - HOUR,
        onset_high_us=T0 + HOUR,
        alarmed_us=T0 + 3 * HOUR,
        last_signal_us=T0 + 3 * HOUR,
    )


def signal() -> Signal:
    """Its leading signal."""
    return Signal(
        id="s1",
        monitor="bot/refusal.up",
        app="bot",
        environment="production",
        metric="refusal",
        direction="up",
        at_us=T0 + 3 * HOUR,
        window_us=HOUR,
        x=40,
        n=100,
        baseline_x=1,
        baseline_n=50,
        baseline_from_us=T0 - 99 * HOUR,
        baseline_to_us=T0 - 9 * HOUR,
        statistic=1.0,
        threshold=1e4,
        onset_us=T0,
        onset_low_us=T0 - HOUR,
        onset_high_us=T0 + HOUR,
    )


TOTALS = {
    "harmed interactions before the onset": 30,
    "interactions before the onset": 1000,
    "harmed interactions since the onset": 1234,
    "interactions since the onset": 2000,
}


def evidence(claim: str = "something else") -> tuple[Evidence, ...]:
    """The four totals, and one figure more with this claim."""
    return tuple(
        Evidence(id=f"E{k}", claim=what, plan={"plan": "Rollup"}, figures={"refusal.n": float(n)})
        for k, (what, n) in enumerate({**TOTALS, claim: 7}.items(), 1)
    )


def usual() -> tuple[Evidence, ...]:
    """What an investigation keeps of what is usually watched, and the cost."""
    before = {"error.n": 100.0, "error.w": 100.0, "error.wsum": 2.0, "refusal.n": 9.0, "refusal.w": 9.0}
    since = {**before, "error.wsum": 3.0}
    cost = {"cost_usd.n": 10.0, "cost_usd.w": 10.0, "cost_usd.wsum": 12.5}
    claims = ((USUAL_BEFORE, before), (USUAL_SINCE, since), (COST, cost))
    return tuple(
        Evidence(id=f"E{n}", claim=claim, plan={"plan": "Rollup"}, figures=figures)
        for n, (claim, figures) in enumerate(claims, 6)
    )


def examples(text: str, n: int) -> tuple[Example, ...]:
    """Failing answers with a passing twin."""
    return tuple(
        Example(
            interaction_id=f"i{k}",
            at_us=T0 + k,
            question=f"{text} {k}",
            answer=text,
            value=1.0,
            expected=f"not {text}",
            expected_from="passing twin",
            twin=Twin(answer=f"not {text}", at_us=T0 - 1),
        )
        for k in range(n)
    )


def suspects(text: str) -> tuple[Suspect, ...]:
    """A change with a test, and what else it may be."""
    return (
        Suspect(
            id="c",
            title=text,
            kind="prompt",
            probability=0.9,
            own=True,
            at_us=T0 - HOUR,
            supports=(text,),
            against=(text,),
            disproof=text,
            tests=(SuspectTest(name=text, text=text, result="supports", evidence=("E1",)),),
        ),
        Suspect(id="no own change: unknown", title=text, kind="unknown", probability=0.1, own=False),
    )


def investigation(text: str = "words", n: int = 2) -> Investigation:
    """An investigation with this text in every free field."""
    return Investigation(
        id="INC-0001",
        at_us=T0 + 5 * HOUR,
        examples=examples(text, n),
        suspects=suspects(text),
        verdict="systematic",
        verdict_reason=text,
        parts=(
            Part(field="segment", value=text, before_x=1, before_n=10, after_x=5, after_n=10, low=0.1, high=0.6),
            Part(field="segment", value=f"{text}2", before_x=0, before_n=0, after_x=5, after_n=10, low=-1.0, high=1.0),
        ),
        slices=(
            HarmedSlice(
                where={"task": text},
                before_x=1,
                before_n=10,
                after_x=5,
                after_n=10,
                outside_x=1,
                outside_n=9,
                score=3.0,
                share=0.8,
            ),
        ),
        passing=(Example(interaction_id="p", at_us=T0, question=text, answer=text, value=0.0),),
        confidence=Confidence(high=1, low=1, unknown=0, cut=0.5, text=text),
        impact=Impact(n=2000, harmed=1234, excess=1174.0, lately=0.5, users=321, sessions=400, again=12, most=4),
        first_alarms=(("refusal up", T0 + 3 * HOUR), (text, T0 + 4 * HOUR)),
        gap=Gap(
            kind="evaluation lag",
            text=text,
            proposals=(
                Proposal(
                    title=text,
                    metric="refusal",
                    fired_us=T0 + HOUR,
                    sooner_s=7200.0,
                    false_pages=0.1,
                    command=f"andon monitor add refusal --app {text}",
                ),
            ),
        ),
        analyses=(
            Analysis(name=text, found="yes", text=text, rows=(("a", text), (text, "b"), (text,)), evidence=("E2",)),
            Analysis(name=text, found="no", text=text),
            Analysis(name=text, found="cannot tell", text=text),
        ),
        evidence=(*evidence(text), *usual()),
    )


def postmortem(text: str = "words", **more) -> Postmortem:
    """A rich record with this text in every field that traffic or people write."""
    i, found = incident(text), investigation(text)
    told = {
        "timeline": (
            TimelineEvent(id="t1", incident=i.id, happened_us=T0, learned_us=T0 + HOUR, kind="onset", text=text),
            TimelineEvent(id="t2", incident=i.id, happened_us=T0, learned_us=T0, kind=text, text=text, by=text),
        ),
        "points": (Point(start_us=T0, end_us=T0 + HOUR, n=10, x=3, low=0.0, centre=0.02, high=0.1),) * 3,
        "chart_title": text,
        "summary": (*summarise(i, found, signal()), text),
        "factors": (*contributing_factors(i, found), ContributingFactor(area="data", text=text)),
        "actions": (
            *propose_actions(i, found, signal()),
            ActionItem(
                id="A9",
                incident=i.id,
                kind="process",
                title=text,
                criterion=Criterion(kind="lever exists", subject=text),
                due_us=T0 + 99 * HOUR,
                owner=text,
                state="open",
                proof=Proof(met=None, text=text, at_us=T0),
            ),
        ),
        "objective": text,
        "review": Review(
            id=i.id,
            status="in review",
            factors=(ContributingFactor(area="incentives", text=text),),
            comments=(Comment(id="C1", text=text, by=text, at_us=T0),),
            signoffs=(SignOff(by=text, at_us=T0, digest="0" * 64),),
        ),
    }
    return Postmortem(id=i.id, at_us=T0 + 5 * HOUR, incident=i, investigation=found, **{**told, **more})


def minimal() -> Postmortem:
    """A record of an incident of which nothing else is known."""
    bare = Investigation(id="INC-0001", at_us=T0, impact=Impact(n=0, harmed=0, excess=0.0, users=None, sessions=None))
    i = replace(incident(), scope={})
    return Postmortem(
        id=i.id,
        at_us=T0,
        incident=i,
        investigation=bare,
        summary=summarise(i, bare, signal()),
        factors=contributing_factors(i, bare),
        actions=propose_actions(i, bare, signal()),
    )
