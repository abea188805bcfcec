"""The cases of the bench: published incidents with their figures, told anew with other times, lags, doses and decoys.

Sources: Anthropic's postmortems of September 2025 and April 2026, OpenAI's status page and its note on sycophancy, GitHub's
availability reports, Cloudflare's report of 18 November 2025, JAMA Netw Open 10.1001/jamanetworkopen.2021.35286 (sepsis
alerts), arXiv 2307.09009 (LLMDrift), the AI Incident Database, and the three case studies that guides to AI incidents tell.
"""

from collections.abc import Callable, Mapping

import numpy as np

from bench.incidents_worlds import ALWAYS, Case, Fault, Move, onset_hour

__all__ = ["CASES"]


def medical(rng: np.random.Generator) -> Case:
    """Refusal of high-risk questions falls from 100 % to under 5 % over 72 hours after the provider moves the model."""
    t = onset_hour(rng)
    part = {"risk_category": "high", "task": "write"}
    return Case(
        name="medical",
        source="case study: medical triage (refusal 100 % -> < 5 % in 72 h, model moved 96 h before)",
        moves=(
            Move(name="model-b", kind="model", at_h=t, ramp_h=72, by="request", recorded=False, own=False),
            Move(name="eval-passed", kind="prompt", at_h=t - 30, shown=True),
        ),
        faults=(Fault(at_h=t, of="model-b", where=part, effects={"refusal": 0.04}),),
        usual=(Fault(at_h=ALWAYS, where=part, effects={"refusal": 1.0}),),
        causes=frozenset({"model-b"}),
    )


def legal(rng: np.random.Generator) -> Case:
    """Filings are added to the corpus, the index stands still; five to six weeks later citations slide."""
    t = onset_hour(rng, 336)
    return Case(
        name="legal",
        source="case study: legal RAG (corpus grew six weeks before, index not rebuilt, no deploy for months)",
        moves=(Move(name="filings", kind="corpus", at_h=t - float(rng.uniform(800, 1010))),),
        faults=(
            Fault(
                at_h=t,
                growth_h=240,
                effects={"retrieval_score": -0.12, "groundedness": -0.1, "normalised_match": 0.75},
            ),
        ),
        causes=frozenset({"filings"}),
        per_hour=30,
        before_h=336,
        after_h=240,
        decoys_a_week=1,
    )


def storm(rng: np.random.Generator) -> Case:
    """Escalation from about 10 % to nearly all of the new conversations within six hours, no change of ours."""
    t = onset_hour(rng)
    shown = bool(rng.random() < 0.5)
    source = Move(
        name="campaign", kind="traffic source", at_h=t - 48, share=0.6, by="request", recorded=False, own=False
    )
    return Case(
        name="storm",
        source="case study: support bot (escalation 8-12 % -> 100 % in 6 h, referrer shift 48 h before)",
        moves=(source,) if shown else (),
        faults=(
            Fault(
                at_h=t, growth_h=6, new_questions=0.9, of="campaign" if shown else None, effects={"escalation": 0.97}
            ),
        ),
        causes=frozenset({"campaign"} if shown else ()),
    )


def routing(rng: np.random.Generator) -> Case:
    """0.8 % of the requests of sticky users go to the wrong servers; a load-balancer change makes it 16 %."""
    t = onset_hour(rng)
    more = t + float(rng.uniform(24, 72))
    bad = {"normalised_match": 0.35, "error": 0.1}
    return Case(
        name="routing",
        source="Anthropic, September 2025: context routing (0.8 % -> 16 %, sticky)",
        moves=(
            Move(name="long-context", kind="routing", at_h=t, share=0.008),
            Move(name="balancer", kind="config", at_h=more, shown=False),
            Move(name="wider", kind="routing", at_h=more, share=0.16, value="long-context", recorded=False),
        ),
        faults=(Fault(at_h=t, of="long-context", effects=bad), Fault(at_h=more, of="wider", effects=bad)),
        causes=frozenset({"long-context", "balancer"}),
        after_h=120,
    )


def tokens(rng: np.random.Generator) -> Case:
    """Characters of another script on one platform after a change of the serving configuration."""
    t = onset_hour(rng)
    shown = bool(rng.random() < 0.5)
    move = Move(
        name="serving", kind="sampling parameter" if shown else "config", at_h=t - float(rng.uniform(0, 2)), shown=shown,
        share=float(rng.uniform(0.2, 0.6)), by="request", where={"segment": "app"},
    )  # fmt: skip
    return Case(
        name="tokens",
        source="Anthropic, September 2025: corrupted tokens on one platform",
        moves=(move,),
        faults=(Fault(at_h=t, of="serving", effects={"language_match": 0.93}),),
        causes=frozenset({"serving"}),
        base={"language_match": 0.9998},
    )


def overlap(rng: np.random.Generator) -> Case:
    """Three regressions of three causes that hit three cohorts, within a day and a half."""
    t = onset_hour(rng)
    second, third = t + float(rng.uniform(6, 12)), t + float(rng.uniform(14, 36))
    return Case(
        name="overlap",
        source="Anthropic, April 2026: effort, cache and prompt, each on another cohort",
        moves=(
            Move(name="effort", kind="sampling parameter", at_h=t - 1, where={"task": "write"}),
            Move(name="cache", kind="code", at_h=second - 2, where={"segment": "partner"}),
            Move(name="brief", kind="prompt", at_h=third, where={"task": "ask"}),
        ),
        faults=(
            Fault(at_h=t, of="effort", where={"task": "write"}, effects={"normalised_match": 0.72}),
            Fault(at_h=second, of="cache", where={"segment": "partner"}, effects={"normalised_match": 0.7}),
            Fault(
                at_h=third, of="brief", where={"task": "ask"}, effects={"normalised_match": 0.8, "answer_chars": -150}
            ),
        ),
        causes=frozenset({"effort", "cache", "brief"}),
        after_h=120,
    )


def sycophancy(rng: np.random.Generator) -> Case:
    """A new model agrees with everything: thumbs rise, right answers fall."""
    t = onset_hour(rng)
    return Case(
        name="sycophancy",
        source="OpenAI, April 2025: thumbs-up rises, agreement with false premises too",
        moves=(Move(name="model-25-04", kind="model", at_h=t, ramp_h=float(rng.uniform(0, 12))),),
        faults=(Fault(at_h=t, of="model-25-04", effects={"thumbs": 0.9, "normalised_match": 0.78}),),
        causes=frozenset({"model-25-04"}),
    )


def silent(rng: np.random.Generator) -> Case:
    """One of two models changes behind the same name: answers become short and often wrong."""
    t = onset_hour(rng)
    return Case(
        name="silent",
        source="LLMDrift, GPT-4 0314 -> 0613 (84 -> 51 % right, answers of 215 -> 3 tokens), name unchanged",
        moves=(),
        faults=(
            Fault(
                at_h=t, where={"requested_model": "large"}, effects={"normalised_match": 0.51, "answer_chars": -300.0}
            ),
        ),
        causes=frozenset(),
        models=("large", "small"),
        base={"normalised_match": 0.84},
    )


def copilot_may(rng: np.random.Generator) -> Case:
    """Malformed requests to the wrong deployment: 6 % of the users fail."""
    t = onset_hour(rng)
    return Case(
        name="copilot_may",
        source="GitHub Copilot, 13 May 2024 (6 % of users, 2 h 43 min)",
        moves=(
            Move(
                name="client-42", kind="code", at_h=t - float(rng.uniform(0, 1)), share=0.06,
                recorded=bool(rng.random() < 0.6),
            ),
        ),
        faults=(Fault(at_h=t, of="client-42", effects={"error": 0.9}),),
        causes=frozenset({"client-42"}),
        base={"error": 0.003},
    )  # fmt: skip


def copilot_jul(rng: np.random.Generator) -> Case:
    """A partner's clean-up job takes resources away: 63 % errors in one product, nothing of ours moved."""
    t = onset_hour(rng)
    return Case(
        name="copilot_jul",
        source="GitHub Copilot, 13 July 2024 (chat up to 63 %, completions 1.16 %)",
        moves=(),
        faults=(
            Fault(at_h=t, growth_h=1, where={"task": "do"}, effects={"error": 0.63}),
            Fault(at_h=t, growth_h=1, where={"task": "ask"}, effects={"error": 0.0116}),
        ),
        causes=frozenset(),
        base={"error": 0.001},
    )


def feature_file(rng: np.random.Generator) -> Case:
    """A permission change doubles a file of features; a quarter of an hour later requests fail."""
    t = onset_hour(rng)
    return Case(
        name="feature_file",
        source="Cloudflare, 18 November 2025 (permission 11:05, impact 11:20)",
        moves=(Move(name="grants", kind="permission", at_h=t - 0.25, shown=False),),
        faults=(Fault(at_h=t, effects={"error": float(rng.uniform(0.2, 0.6)), "latency_s": 0.8}),),
        causes=frozenset({"grants"}),
    )


def ranking(rng: np.random.Generator) -> Case:
    """A latent fault in ranking code of weeks ago: flagged items are shown a third more, in waves."""
    t = onset_hour(rng)
    return Case(
        name="ranking",
        source="Facebook, October 2021 to March 2022 (half of the views exposed, +30 %, waves, latent since 2019)",
        moves=(Move(name="ranker-19", kind="code", at_h=t - float(rng.uniform(480, 960)), share=0.5),),
        faults=(Fault(at_h=t, of="ranker-19", waves_h=36, effects={"escalation": 0.039}),),
        causes=frozenset({"ranker-19"}),
        base={"escalation": 0.03},
        per_hour=300,
        after_h=120,
    )


def casemix(rng: np.random.Generator) -> Case:
    """Other patients than before: alerts for 9 -> 21 % of them, a third fewer in all, and nothing was changed."""
    t = onset_hour(rng)
    return Case(
        name="casemix",
        source="sepsis alerts in 24 hospitals, 2020 (patients alerted 9 -> 21 %, census -35 %)",
        moves=(),
        faults=(Fault(at_h=t, growth_h=float(rng.uniform(24, 96)), new_questions=0.45, effects={"escalation": 0.36}),),
        causes=frozenset(),
        volume_after=0.65,
    )


def rollforward(rng: np.random.Generator) -> Case:
    """Three deploys in a row against another outage; the last of them answers with success codes and nothing in it."""
    t = onset_hour(rng)
    return Case(
        name="rollforward",
        source="OpenAI, 17 June 2024 (empty answers with success codes after a roll-forward)",
        moves=(
            Move(name="fix-1", kind="code", at_h=t - float(rng.uniform(2, 4))),
            Move(name="scale", kind="config", at_h=t - float(rng.uniform(1, 2)), shown=False),
            Move(name="fix-2", kind="code", at_h=t - float(rng.uniform(0.8, 1.6))),
            Move(name="roll-forward", kind="code", at_h=t - 0.05),
        ),
        faults=(
            Fault(at_h=t, of="roll-forward", share=0.7, effects={"answer_chars": -420.0, "normalised_match": 0.05}),
        ),
        causes=frozenset({"roll-forward"}),
    )


def fix_hurts(rng: np.random.Generator) -> Case:
    """A lever that was pulled for an earlier incident refuses too much."""
    t = onset_hour(rng)
    return Case(
        name="fix_hurts",
        source="a fix that causes the next incident (OpenAI June 2024; Cloudflare's switches), as a lever",
        moves=(Move(name="strict", kind="lever", at_h=t - float(rng.uniform(0, 8)), shown=False),),
        faults=(Fault(at_h=t, effects={"refusal": float(rng.uniform(0.1, 0.3))}),),
        causes=frozenset({"strict"}),
    )


def freeze(rng: np.random.Generator) -> Case:
    """An agent's tools get more rights or another schema; calls go wrong."""
    t = onset_hour(rng)
    shown = bool(rng.random() < 0.5)
    return Case(
        name="freeze",
        source="Replit agent, 18 July 2025 (tool permission)",
        moves=(
            Move(
                name="tools-7",
                kind="tool schema" if shown else "permission",
                at_h=t - float(rng.uniform(0, 20)),
                shown=shown,
            ),
        ),
        faults=(Fault(at_h=t, of="tools-7", where={"task": "do"}, effects={"tool_error": 0.12}),),
        causes=frozenset({"tools-7"}),
    )


def vendor(rng: np.random.Generator) -> Case:
    """A vendor turns a scripted bot into a generative one; people complain."""
    t = onset_hour(rng)
    return Case(
        name="vendor",
        source="NEDA Tessa, 2022-2023 (vendor upgrade)",
        moves=(Move(name="upgrade", kind="provider", at_h=t - float(rng.uniform(0, 72)), shown=False, own=False),),
        faults=(Fault(at_h=t, where={"task": "ask"}, effects={"thumbs": 0.45, "normalised_match": 0.8}),),
        causes=frozenset({"upgrade"}),
    )


def slow(rng: np.random.Generator) -> Case:
    """Errors rise from 0.5 % to 0.8 % with a deploy for half of the users."""
    t = onset_hour(rng)
    kind = str(rng.choice(["code", "prompt", "routing"]))
    return Case(
        name="slow",
        source="0.5 % -> 0.8 %, the shift that fixed thresholds miss",
        moves=(Move(name="v-next", kind=kind, at_h=t, ramp_h=float(rng.uniform(0, 24))),),
        faults=(Fault(at_h=t, of="v-next", effects={"error": 0.008}),),
        causes=frozenset({"v-next"}),
        base={"error": 0.005},
        per_hour=700,
    )


def experiment(rng: np.random.Generator) -> Case:
    """An experiment on some users is set up wrongly: their answers are blank."""
    t = onset_hour(rng)
    return Case(
        name="experiment",
        source="OpenAI, 19 February 2025 (misconfigured experiment, blank replies for 91 minutes)",
        moves=(Move(name="arm-b", kind="prompt", at_h=t, share=float(rng.uniform(0.05, 0.4)), recorded=False),),
        faults=(Fault(at_h=t, of="arm-b", effects={"answer_chars": -420.0, "normalised_match": 0.05}),),
        causes=frozenset({"arm-b"}),
    )


CASES: Mapping[str, Callable[[np.random.Generator], Case]] = {
    f.__name__: f
    for f in (
        medical, legal, storm, routing, tokens, overlap, sycophancy, silent, copilot_may, copilot_jul, feature_file, ranking,
        casemix, rollforward, fix_hurts, freeze, vendor, slow, experiment,
    )
}  # fmt: skip
