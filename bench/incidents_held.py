"""Held-out cases of the bench: incidents that `bench.incidents_cases` does not tell, written without sight of the ranker.

Where the figures come from. Anthropic, 23 April 2026: effort high -> medium on 4 March, a cache fault of 26 March that only
idle sessions meet, the limit of 25 words of 16 April (-3 points on one evaluation). Anthropic, September 2025: top-k miscompiled
for one model. OpenAI's status page, 20 February 2024: inference kernels wrong on some GPUs. xAI, July 2025: a change upstream
revives old instructions, for 16 hours. DPD, 18 January 2024: a system update of the same day. GitHub, July 2024: a partner's
clean-up (errors up to 63 % in chat, 1.16 % in completions). Cloudflare, 18 November 2025 (permission to impact: 15 minutes) and 5 December
2025 (a kill switch pulled during a gradual rollout, 28 % of the traffic failed within seconds). Google Cloud, 12 June 2025 (a
quota policy meets code of 29 May). Cursor, April 2025 (a session fault brings new questions). Zillow, 2021 (six months of drift).
LLMDrift, arXiv 2307.09009 (84 -> 51 % and 53 -> 76 % at the same date). Public sets: ExpertQA (supported claims 0.64 -> 0.50 with
another index), RefChecker (one model after another: 0.89 -> 0.82 with noisy context), XSTest (refusal of unsafe questions
0.965 -> 0.36 by a prompt), HINT3 (out of scope: 36, 54 and 69 %), the deploys around the outages of mybinder.org (reports of
failures an hour after a deploy and ten hours later, deploys minutes after the start, manual actions in no log, 18 of 23 without
a guilty deploy). A lag of 96 hours is that of the medical and one of six weeks that of the legal case study. Where a source gives
no figure (shares of users, most doses, all decoys beyond `WEEKLY`), the figure is ours: small ones are set so that some thousand
interactions show them, and each `source` says what is published.
"""

from collections.abc import Callable, Mapping

import numpy as np

from bench.incidents_worlds import ALWAYS, Case, Fault, Move, between, onset_hour

__all__ = ["HELD"]

WEEKLY = (0, 1, 2, 3, 3, 4, 5, 7, 10)
"""Innocent changes a week: the seven quietest of the twelve weeks before outages of mybinder.org (the busy ones are those of
`bench.incidents_worlds`), and none or ten."""
HALF = ("large", "small")


def _weekly(rng: np.random.Generator) -> float:
    return float(rng.choice(WEEKLY))


def effort(rng: np.random.Generator) -> Case:
    """The default of a sampling parameter is lowered: answers come sooner (a good sign) and are wrong more often."""
    t = onset_hour(rng)
    return Case(
        name="effort",
        source="Anthropic, 4 March to 7 April 2026: default effort high -> medium (doses and latency ours)",
        moves=(Move(name="medium", kind="sampling parameter", at_h=t, shown=bool(rng.random() < 0.6)),),
        faults=(
            Fault(
                at_h=t,
                of="medium",
                effects={"normalised_match": between(rng, 0.82, 0.86), "latency_s": between(rng, -0.9, -0.4)},
            ),
        ),
        causes=frozenset({"medium"}),
        decoys_a_week=_weekly(rng),
    )


def idle_cache(rng: np.random.Generator) -> Case:
    """Everybody gets the code, only those who come back after an hour of rest meet its fault."""
    t = onset_hour(rng)
    return Case(
        name="idle_cache",
        source="Anthropic, 26 March to 10 April 2026: a cache fault that fires after more than an hour of rest (share ours)",
        moves=(Move(name="prune-idle", kind="code", at_h=t, ramp_h=between(rng, 0, 24)),),
        faults=(
            Fault(
                at_h=t,
                of="prune-idle",
                share=between(rng, 0.15, 0.3),
                effects={"normalised_match": 0.62, "latency_s": 0.5},
            ),
        ),
        causes=frozenset({"prune-idle"}),
        decoys_a_week=_weekly(rng),
    )


def word_limit(rng: np.random.Generator) -> Case:
    """A line of the system prompt limits the length: three points of the right answers are lost."""
    t = onset_hour(rng)
    return Case(
        name="word_limit",
        source="Anthropic, 16 to 20 April 2026: at most 25 words between calls, -3 points on one evaluation",
        moves=(
            Move(name="terse", kind="prompt", at_h=t),
            Move(name="harness", kind="code", at_h=t - between(rng, 1, 6)),
        ),
        faults=(Fault(at_h=t, of="terse", effects={"normalised_match": 0.67, "answer_chars": -12.0}),),
        causes=frozenset({"terse"}),
        base={"normalised_match": 0.7},
        per_hour=200,
        decoys_a_week=_weekly(rng),
    )


def top_k(rng: np.random.Generator) -> Case:
    """Code for choosing tokens is miscompiled for one of three models; right answers fall by four points there."""
    t = onset_hour(rng)
    on = {"requested_model": "small"}
    return Case(
        name="top_k",
        source="Anthropic, 25 August 2025: approximate top-k miscompiled, one model, evaluations did not capture it (dose ours)",
        moves=(Move(name="selection", kind="code", at_h=t, where=on),),
        faults=(Fault(at_h=t, of="selection", where=on, effects={"normalised_match": between(rng, 0.84, 0.87)}),),
        causes=frozenset({"selection"}),
        models=("large", "medium", "small"),
        per_hour=150,
        decoys_a_week=_weekly(rng),
    )


def kernel(rng: np.random.Generator) -> Case:
    """New inference kernels give nonsense on one kind of hardware, by the request and without a version in the traffic."""
    t = onset_hour(rng)
    on = {"requested_model": "large"}
    kernels = Move(
        name="kernels",
        kind="config",
        at_h=t - between(rng, 0, 3),
        shown=False,
        share=between(rng, 0.1, 0.4),
        by="request",
        where=on,
    )
    return Case(
        name="kernel",
        source="OpenAI, 20 February 2024: word salad from inference kernels on some GPUs (share ours)",
        moves=(kernels,),
        faults=(
            Fault(
                at_h=t,
                of="kernels",
                where=on,
                effects={"language_match": 0.9, "groundedness": -0.15, "normalised_match": 0.6},
            ),
        ),
        causes=frozenset({"kernels"}),
        models=HALF,
        decoys_a_week=_weekly(rng),
    )


def upstream(rng: np.random.Generator) -> Case:
    """An update upstream brings old instructions back on one surface; everybody blames the prompt of the day before."""
    t = onset_hour(rng)
    surface = {"segment": "partner"}
    return Case(
        name="upstream",
        source="xAI, July 2025: an upstream change revived old instructions for 16 h (surface, doses and decoy ours)",
        moves=(
            Move(name="bold-prompt", kind="prompt", at_h=t - between(rng, 20, 40)),
            Move(name="upstream-path", kind="code", at_h=t - between(rng, 0, 1), shown=False, where=surface),
        ),
        faults=(
            Fault(at_h=t, of="upstream-path", where=surface, effects={"thumbs": 0.5, "escalation": 0.25}),
        ),
        causes=frozenset({"upstream-path"}),
        decoys_a_week=_weekly(rng),
    )  # fmt: skip


def system_update(rng: np.random.Generator) -> Case:
    """The bot is updated in the morning and swears in the afternoon: more people want a human."""
    t = onset_hour(rng)
    return Case(
        name="system_update",
        source="DPD, 18 January 2024: a system update of the same day (doses ours)",
        moves=(
            Move(name="update", kind="code", at_h=t - between(rng, 0, 12), shown=bool(rng.random() < 0.5)),
            Move(name="opening-hours", kind="config", at_h=t - between(rng, 1, 6), shown=False),
        ),
        faults=(Fault(at_h=t, of="update", effects={"escalation": between(rng, 0.13, 0.18), "thumbs": 0.65}),),
        causes=frozenset({"update"}),
        decoys_a_week=_weekly(rng),
    )


def quota(rng: np.random.Generator) -> Case:
    """Code that nothing exercised for two weeks meets a policy with blank fields; both are causes."""
    t = onset_hour(rng)
    return Case(
        name="quota",
        source="Google Cloud, 12 June 2025: quota policy with blank fields, checked by code of 29 May",
        moves=(
            Move(name="quota-check", kind="code", at_h=t - 336),
            Move(name="blank-policy", kind="policy", at_h=t - 0.02, shown=False),
            Move(name="wording", kind="prompt", at_h=t - between(rng, 2, 6), ramp_h=12),
        ),
        faults=(Fault(at_h=t, effects={"error": between(rng, 0.2, 0.6)}),),
        causes=frozenset({"quota-check", "blank-policy"}),
        decoys_a_week=_weekly(rng),
    )


def killswitch(rng: np.random.Generator) -> Case:
    """A gradual rollout is under way when our own kill switch, which acts at once, breaks 28 % of the traffic."""
    t = onset_hour(rng)
    return Case(
        name="killswitch",
        source="Cloudflare, 5 December 2025: a switch pulled during a rollout, 28 % of the traffic within seconds",
        moves=(
            Move(name="buffer", kind="code", at_h=t - between(rng, 0.3, 1), ramp_h=6),
            Move(name="switch-off", kind="lever", at_h=t - 0.01, shown=False),
        ),
        faults=(Fault(at_h=t, where={"segment": "app"}, share=0.8, effects={"error": 0.9}),),
        causes=frozenset({"switch-off"}),
        decoys_a_week=_weekly(rng),
    )


def fallback(rng: np.random.Generator) -> Case:
    """A lever sends a part of the traffic to a weaker model to save capacity; the traffic shows that model."""
    t = onset_hour(rng)
    share = between(rng, 0.25, 0.6)
    return Case(
        name="fallback",
        source="RefChecker (0.89 -> 0.82 supported from a stronger to a weaker model), pulled as a lever",
        moves=(
            Move(name="shed-load", kind="lever", at_h=t, shown=False),
            Move(name="weaker", kind="model", at_h=t, share=share, by="request", recorded=False),
        ),
        faults=(Fault(at_h=t, of="weaker", effects={"normalised_match": 0.82, "groundedness": -0.05}),),
        causes=frozenset({"shed-load", "weaker"}),
        base={"normalised_match": 0.89},
        per_hour=120,
        decoys_a_week=_weekly(rng),
    )


def embedding_swap(rng: np.random.Generator) -> Case:
    """Questions are embedded by a new model, the index still holds vectors of the old one."""
    t = onset_hour(rng)
    return Case(
        name="embedding_swap",
        source="top score 0.45 -> 0.31 of a stale index (constructed set); supported claims 0.64 -> 0.50 (ExpertQA)",
        moves=(
            Move(name="embed-3", kind="embedding model", at_h=t, ramp_h=float(rng.choice((0.0, 12.0)))),
            Move(name="corpus-week", kind="corpus", at_h=t - between(rng, 1, 30)),
        ),
        faults=(Fault(at_h=t, of="embed-3", effects={"retrieval_score": -0.14, "normalised_match": 0.5}),),
        causes=frozenset({"embed-3"}),
        base={"normalised_match": 0.64},
        decoys_a_week=_weekly(rng),
    )


def unrecorded_index(rng: np.random.Generator) -> Case:
    """An index is swapped and nobody writes it down; only the traffic shows it, with an innocent entry in the log beside it."""
    t = onset_hour(rng)
    return Case(
        name="unrecorded_index",
        source="supported claims 0.64 -> 0.50 by another index (ExpertQA); a manual action in no log (mybinder.org)",
        moves=(
            Move(name="sphere", kind="index", at_h=t, recorded=False),
            Move(name="timeout", kind="config", at_h=t - between(rng, 0.2, 3), shown=False),
        ),
        faults=(Fault(at_h=t, of="sphere", effects={"groundedness": -0.06, "normalised_match": 0.5}),),
        causes=frozenset({"sphere"}),
        base={"normalised_match": 0.64},
        decoys_a_week=_weekly(rng),
    )


def stale_job(rng: np.random.Generator) -> Case:
    """Rights of the nightly index job are taken away; six weeks later what it should have found is missed ever more often."""
    t = onset_hour(rng, 336)
    return Case(
        name="stale_job",
        source="legal case study (six weeks from the change to the slide), with a permission as the cause",
        moves=(
            Move(name="job-rights", kind="permission", at_h=t - between(rng, 850, 1010), shown=False),
            Move(name="greeting", kind="prompt", at_h=t - between(rng, 2, 100)),
        ),
        faults=(Fault(at_h=t, growth_h=200, effects={"retrieval_score": -0.1, "normalised_match": 0.78}),),
        causes=frozenset({"job-rights"}),
        per_hour=30,
        before_h=336,
        after_h=240,
        decoys_a_week=float(rng.choice((0, 1, 2))),
    )


def guard_prompt(rng: np.random.Generator) -> Case:
    """A prompt loses its guard; conversations that are open keep the old one, so refusal falls four days later, over 72 hours."""
    t = onset_hour(rng)
    part = {"risk_category": "high"}
    return Case(
        name="guard_prompt",
        source="XSTest (refusal of unsafe questions 0.965 -> 0.36 by the prompt alone), times of the medical case study",
        moves=(
            Move(name="shorter", kind="prompt", at_h=t - 96, shown=bool(rng.random() < 0.7)),
            Move(name="weekly-release", kind="code", at_h=t - between(rng, 5, 40)),
        ),
        faults=(Fault(at_h=t, of="shorter", growth_h=72, where=part, effects={"refusal": 0.36}),),
        usual=(Fault(at_h=ALWAYS, where=part, effects={"refusal": 0.965}),),
        causes=frozenset({"shorter"}),
        decoys_a_week=_weekly(rng),
    )


def tool_retry(rng: np.random.Generator) -> Case:
    """A tool gets another schema; calls fail, are tried again and mostly work then: slow rather than broken."""
    t = onset_hour(rng)
    return Case(
        name="tool_retry",
        source="an agent's tools change (as Replit, July 2025), with retries that hide it (doses ours)",
        moves=(
            Move(name="schema-4", kind="tool schema", at_h=t - between(rng, 0, 2), ramp_h=float(rng.choice((0, 8)))),
        ),
        faults=(
            Fault(
                at_h=t,
                of="schema-4",
                where={"task": "do"},
                effects={"tool_error": between(rng, 0.06, 0.15), "latency_s": 0.7, "error": 0.015},
            ),
        ),
        causes=frozenset({"schema-4"}),
        decoys_a_week=_weekly(rng),
    )


def budget_cap(rng: np.random.Generator) -> Case:
    """A limit of tokens a day is lowered in the evening; it is spent by the middle of each day, and answers are cut off then."""
    t = onset_hour(rng)
    return Case(
        name="budget_cap",
        source="a failure hours after the change, as mybinder.org tells of (all doses ours)",
        moves=(Move(name="daily-cap", kind="budget", at_h=t - between(rng, 6, 14), shown=False),),
        faults=(
            Fault(at_h=t, waves_h=12, effects={"truncated": between(rng, 0.05, 0.12), "answer_chars": -45.0}),
        ),
        causes=frozenset({"daily-cap"}),
        decoys_a_week=_weekly(rng),
    )  # fmt: skip


def read_rights(rng: np.random.Generator) -> Case:
    """A permission change hides some documents from one group, at once or when cached rights run out."""
    t = onset_hour(rng)
    part = {"segment": "partner"}
    return Case(
        name="read_rights",
        source="Cloudflare, 18 November 2025 (15 minutes from permission to impact), or cached for a day or a week",
        moves=(Move(name="folders", kind="permission", at_h=t - float(rng.choice((0.25, 24, 168))), shown=False),),
        faults=(Fault(at_h=t, where=part, effects={"refusal": 0.14, "retrieval_score": -0.05}),),
        causes=frozenset({"folders"}),
        decoys_a_week=_weekly(rng),
    )


def gradual(rng: np.random.Generator) -> Case:
    """A release reaches everybody over days while others are deployed at once before, between and after."""
    t = onset_hour(rng)
    others = (("before", "routing", -9.0), ("day-one", "prompt", 14.0), ("day-two", "policy", 33.0))
    return Case(
        name="gradual",
        source="a rollout step by step (as Google Cloud's by region, 2025) with the deploys of a busy week (doses ours)",
        moves=(
            Move(name="slow-train", kind="code", at_h=t, ramp_h=between(rng, 60, 120)),
            *(Move(name=n, kind=k, at_h=t + h + between(rng, -3, 3)) for n, k, h in others),
        ),
        faults=(Fault(at_h=t, of="slow-train", effects={"error": between(rng, 0.04, 0.1)}),),
        causes=frozenset({"slow-train"}),
        after_h=144,
        decoys_a_week=_weekly(rng),
    )


def pair_part(rng: np.random.Generator) -> Case:
    """Two changes within the hour: the guilty one reaches a third of the users, the innocent one everybody."""
    t = onset_hour(rng)
    return Case(
        name="pair_part",
        source="deploys minutes before and after the start (mybinder.org), told apart by who was exposed (doses ours)",
        moves=(
            Move(name="to-some", kind="prompt", at_h=t, share=between(rng, 0.2, 0.4)),
            Move(name="to-all", kind="code", at_h=t + between(rng, -0.9, 0.5)),
        ),
        faults=(Fault(at_h=t, of="to-some", effects={"normalised_match": 0.74}),),
        causes=frozenset({"to-some"}),
        decoys_a_week=_weekly(rng),
    )


def pair_all(rng: np.random.Generator) -> Case:
    """Two changes within the hour: the guilty one reaches everybody, the innocent one is a canary."""
    t = onset_hour(rng)
    return Case(
        name="pair_all",
        source="deploys minutes before and after the start (mybinder.org), told apart by who was exposed (doses ours)",
        moves=(
            Move(name="everybody", kind="code", at_h=t - between(rng, 0, 0.3)),
            Move(name="canary", kind="prompt", at_h=t - between(rng, -0.3, 0.9), share=between(rng, 0.1, 0.3)),
        ),
        faults=(Fault(at_h=t, of="everybody", effects={"groundedness": -0.04, "refusal": 0.07}),),
        causes=frozenset({"everybody"}),
        decoys_a_week=_weekly(rng),
    )


def late_entry(rng: np.random.Generator) -> Case:
    """A deploy by hand is written down hours later, with the time of the entry; the traffic shows it from its real start."""
    t = onset_hour(rng)
    return Case(
        name="late_entry",
        source="one failure noticed ten hours later, manual actions that were in no log (mybinder.org)",
        moves=(
            Move(name="by-hand", kind="code", at_h=t, value="build-77", recorded=False),
            Move(name="build-77", kind="code", at_h=t + between(rng, 2, 12)),
            Move(name="on-time", kind="policy", at_h=t - between(rng, 1, 5)),
        ),
        faults=(Fault(at_h=t, of="by-hand", effects={"error": between(rng, 0.03, 0.08)}),),
        causes=frozenset({"build-77"}),
        decoys_a_week=_weekly(rng),
    )


def logged_out(rng: np.random.Generator) -> Case:
    """Our code logs people out; they ask about it, which nobody asked before, and the bot makes a rule up."""
    t = onset_hour(rng)
    return Case(
        name="logged_out",
        source="Cursor, April 2025: a session fault and an invented rule (share ours)",
        moves=(Move(name="sessions", kind="code", at_h=t - between(rng, 0, 3)),),
        faults=(
            Fault(
                at_h=t, of="sessions", growth_h=4, new_questions=between(rng, 0.08, 0.2), effects={"escalation": 0.6}
            ),
        ),
        causes=frozenset({"sessions"}),
        decoys_a_week=_weekly(rng),
    )


def market(rng: np.random.Generator) -> Case:
    """The world drifts away from the model over weeks; nothing was changed at the time."""
    t = onset_hour(rng, 336)
    return Case(
        name="market",
        source="Zillow Offers, 2021: about six months of drift, late labels (ten days of it here, doses ours)",
        moves=(),
        faults=(Fault(at_h=t, growth_h=240, effects={"normalised_match": between(rng, 0.7, 0.8)}),),
        causes=frozenset(),
        per_hour=30,
        before_h=336,
        after_h=240,
        decoys_a_week=float(rng.choice((1, 3, 5))),
    )


def rate_limit(rng: np.random.Generator) -> Case:
    """A provider throttles one model for some hours and again; calls fail or wait."""
    t = onset_hour(rng)
    return Case(
        name="rate_limit",
        source="GitHub, July 2024 (completions: 0.1 -> 1.16 % at the low end), as limits of a provider",
        moves=(Move(name="release", kind="code", at_h=t - between(rng, 1, 12)),),
        faults=(
            Fault(
                at_h=t,
                where={"requested_model": "large"},
                waves_h=8,
                effects={"error": between(rng, 0.0116, 0.08), "latency_s": 0.8},
            ),
        ),
        causes=frozenset(),
        models=HALF,
        base={"error": 0.001},
        decoys_a_week=_weekly(rng),
    )


def crowd(rng: np.random.Generator) -> Case:
    """A link from elsewhere brings two to three times the traffic; things slow down and fail, with a deploy just before."""
    t = onset_hour(rng)
    return Case(
        name="crowd",
        source="mybinder.org, 18 January 2018: a link from a large site, four changes in the week before (doses ours)",
        moves=(Move(name="routine", kind="code", at_h=t - between(rng, 0.5, 6)),),
        faults=(Fault(at_h=t, growth_h=2, effects={"error": between(rng, 0.03, 0.08), "latency_s": 1.2}),),
        causes=frozenset(),
        volume_after=between(rng, 2, 3),
        decoys_a_week=4,
    )


def new_source(rng: np.random.Generator) -> Case:
    """A partner sends its customers to us; half of what they ask is not what the bot was made for."""
    t = onset_hour(rng)
    share = between(rng, 0.1, 0.3)
    return Case(
        name="new_source",
        source="HINT3: 36, 54 and 69 % of live questions out of scope; a source that appears without a word",
        moves=(
            Move(name="resale", kind="traffic source", at_h=t, share=share, by="request", recorded=False, own=False),
        ),
        faults=(
            Fault(
                at_h=t, of="resale", new_questions=float(rng.choice((0.36, 0.54, 0.69))), effects={"escalation": 0.7}
            ),
        ),
        causes=frozenset({"resale"}),
        volume_after=1 + share,
        decoys_a_week=_weekly(rng),
    )


def after_start(rng: np.random.Generator) -> Case:
    """Something outside fails; a deploy falls minutes after the start, and attempts to mitigate follow."""
    t = onset_hour(rng)
    return Case(
        name="after_start",
        source="mybinder.org: a deploy minutes after the start, many mitigations, no guilty change in 18 of 23",
        moves=(
            Move(name="unlucky", kind="code", at_h=t + between(rng, 0.05, 0.5)),
            Move(name="mitigate-1", kind="config", at_h=t + between(rng, 1, 2), shown=False),
            Move(name="mitigate-2", kind="routing", at_h=t + between(rng, 2, 5), ramp_h=2),
        ),
        faults=(Fault(at_h=t, effects={"error": between(rng, 0.05, 0.25), "latency_s": 0.4}),),
        causes=frozenset(),
        decoys_a_week=_weekly(rng),
    )


def both_ways(rng: np.random.Generator) -> Case:
    """A provider announces new versions of both of its models: one becomes much worse, the other better."""
    t = onset_hour(rng)
    large, small = {"requested_model": "large"}, {"requested_model": "small"}
    return Case(
        name="both_ways",
        source="LLMDrift, primes: 84 -> 51 % and 53 -> 76 % at the same date; the mean hardly moves",
        moves=(
            Move(name="june", kind="model", at_h=t - between(rng, 0, 24), shown=False, own=False),
            Move(name="our-release", kind="prompt", at_h=t - between(rng, 1, 6)),
        ),
        faults=(
            Fault(at_h=t, where=large, effects={"normalised_match": 0.51}),
            Fault(at_h=t, where=small, effects={"normalised_match": 0.76}),
        ),
        usual=(Fault(at_h=ALWAYS, where=small, effects={"normalised_match": 0.53}),),
        causes=frozenset({"june"}),
        models=HALF,
        base={"normalised_match": 0.84},
        decoys_a_week=_weekly(rng),
    )


def cleanup(rng: np.random.Generator) -> Case:
    """A partner's clean-up removes resources, and this time its notice is in the log; a deploy of ours lies beside it."""
    t = onset_hour(rng)
    return Case(
        name="cleanup",
        source="GitHub, 13 July 2024: a partner's clean-up job (peak 63 % in chat, 1.16 % elsewhere), with a notice",
        moves=(
            Move(name="notice", kind="provider", at_h=t - between(rng, 0, 0.5), shown=False, own=False),
            Move(name="same-hour", kind="code", at_h=t - between(rng, 0.1, 1)),
        ),
        faults=(
            Fault(at_h=t, growth_h=1, where={"task": "ask"}, effects={"error": between(rng, 0.2, 0.63)}),
            Fault(at_h=t, growth_h=1, where={"task": "write"}, effects={"error": 0.0116}),
        ),
        causes=frozenset({"notice"}),
        base={"error": 0.001},
        decoys_a_week=_weekly(rng),
    )


HELD: Mapping[str, Callable[[np.random.Generator], Case]] = {
    f.__name__: f
    for f in (
        effort, idle_cache, word_limit, top_k, kernel, upstream, system_update, quota, killswitch, fallback,
        embedding_swap, unrecorded_index, stale_job, guard_prompt, tool_retry, budget_cap, read_rights, gradual,
        pair_part, pair_all, late_entry, logged_out, market, rate_limit, crowd, new_source, after_start, both_ways,
        cleanup,
    )
}  # fmt: skip
"""By name, as `bench.incidents_cases.CASES`."""
