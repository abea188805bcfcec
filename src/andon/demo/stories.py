"""The three stories, simulated. Figures are published ones; texts, names and times are made up.

- *legal*: 14,000 filings were added to the corpus of a legal assistant and the index was not rebuilt; six weeks later its
  citations were below 95 % right. Nothing else had been deployed for months.
- *triage*: refusal of high-risk questions by a medical triage assistant fell from 100 % to under 5 % in 72 hours, in 0.3 % of
  the traffic (847 questions), after the provider moved the model behind its name.
- *support*: a support bot that handed 8 to 12 % of its conversations to people handed over nearly all of them within six
  hours, two days after a new traffic source had appeared.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from andon.changes import Change
from andon.demo import texts
from andon.demo.records import Story
from andon.traffic import Context, Interaction

__all__ = ["STORIES"]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
START_US = 1_772_409_600_000_000  # Monday 2 March 2026, 00:00 UTC


def _arrivals(rng: np.random.Generator, hours: int, rate: Callable[[float], float], wave: float = 0.5) -> Iterator[int]:
    """Poisson arrivals with a daily wave that peaks at 14:00, in microseconds; `rate` is per hour at an hour."""
    for hour in range(hours):
        day = 1 + wave * np.cos((hour % 24 - 14) / 24 * 2 * np.pi)
        for offset in np.sort(rng.random(rng.poisson(rate(hour) * day))):
            yield START_US + int((hour + offset) * HOUR_US)


def _change(name: str, story: str, at_us: int, kind: str, title: str, author: str) -> Change:
    return Change(id=f"CHG-{story}-{name}", at_us=at_us, kind=kind, title=title, app=story, author=author)


def legal(rng: np.random.Generator) -> Story:
    """Ten weeks; the corpus grows after four, and week by week more questions ask for what the index does not hold."""
    weeks, grown_h = 10, 4 * 7 * 24
    traffic = []
    for number, at in enumerate(_arrivals(rng, weeks * 7 * 24, lambda _: 7.0, wave=0.9)):
        since_weeks = (at - START_US) / HOUR_US / 168 - grown_h / 168
        stale = rng.random() < min(0.36, 0.06 * max(0.0, since_weeks))
        traffic.append(_legal_answer(rng, number, at, bool(stale), since_weeks >= 0))
    grown_us = START_US + grown_h * HOUR_US
    changes = (
        _change(
            "permission",
            "legal",
            START_US + 9 * DAY_US,
            "permission",
            "two more offices may use the assistant",
            "it-operations",
        ),
        replace(
            _change("filings", "legal", grown_us, "corpus", "14,000 filings were added to the corpus", "content-team"),
            before="filings-2025-07-04",
            after="filings-2026-03-30",
        ),
        _change(
            "footer",
            "legal",
            grown_us + 12 * DAY_US,
            "prompt",
            "the footer of every answer names the knowledge date",
            "legal-product",
        ),
    )
    return Story(
        name="legal",
        about="14,000 filings were added to the corpus while the index stood still for six weeks",
        window_s=3600,
        traffic=tuple(traffic),
        changes=changes,
        began_us=grown_us,
        cause="corpus",
        impact="correctness",
    )


def _legal_answer(rng: np.random.Generator, number: int, at: int, stale: bool, grown: bool) -> Interaction:
    question, passages, answer = texts.legal(rng, stale)
    level = 0.63 if stale else 0.81
    scores = np.clip(np.sort(rng.normal(level, 0.045, len(passages)))[::-1], 0.2, 0.99)
    return Interaction(
        id=f"legal-{number:06d}",
        time_us=at,
        app="legal",
        user_id=f"lawyer-{rng.integers(0, 240):03d}",
        query=question,
        answer=answer,
        contexts=tuple(
            Context(id=str(k + 1), text=t, score=round(float(s), 4))
            for k, (t, s) in enumerate(zip(passages, scores, strict=True))
        ),
        model="counsel-7b-2025-08",
        requested_model="counsel-7b-2025-08",
        index_version="index-2025-07",
        corpus_version="filings-2026-03-30" if grown else "filings-2025-07-04",
        prompt_version="citations-v5",
        risk_category="high",
        task="case law" if rng.random() < 0.7 else "statutes",
        latency_s=round(float(rng.lognormal(0.9, 0.3)), 3),
        output_tokens=int(rng.normal(160, 25)),
        cost_usd=0.004,
    )


def triage(rng: np.random.Generator) -> Story:
    """Seventeen days; the provider's model moves behind its name after thirteen and spreads over 72 hours.

    All high-risk questions are kept and one in sixty of the others, with its weight, so that shares stay true.
    """
    moved_h, days = 13 * 24, 17
    traffic = []
    for number, at in enumerate(_arrivals(rng, days * 24, lambda _: 11.76 + 65.0)):
        hours = (at - START_US) / HOUR_US - moved_h
        high = rng.random() < 11.76 / (11.76 + 65.0)
        moved = rng.random() < min(1.0, max(0.0, hours / 72))
        traffic.append(_triage_answer(rng, number, at, high, moved))
    moved_us = START_US + moved_h * HOUR_US
    changes = (
        _change("ui", "triage", moved_us - 40 * HOUR_US, "code", "the chat window got a print button", "web-team"),
        _change(
            "tone", "triage", moved_us - 8 * DAY_US, "prompt", "answers address people by name", "clinical-content"
        ),
        _change("quota", "triage", moved_us + 5 * HOUR_US, "budget", "monthly token budget raised by 10 %", "finance"),
    )
    return Story(
        name="triage",
        about="refusal of high-risk questions fell from 100 % to under 5 % in 72 hours, in 0.3 % of the traffic",
        window_s=900,
        traffic=tuple(traffic),
        changes=changes,
        began_us=moved_us,
        cause="model",
        impact="safety",
    )


def _triage_answer(rng: np.random.Generator, number: int, at: int, high: bool, moved: bool) -> Interaction:
    refuses = rng.random() < (0.04 if moved else 1.0) if high else rng.random() < 0.012
    question, answer = texts.triage(rng, high, bool(refuses))
    return Interaction(
        id=f"triage-{number:06d}",
        time_us=at,
        app="triage",
        user_id=f"patient-{rng.integers(0, 60_000):05d}",
        query=question,
        answer=answer,
        provider="modelhouse",
        model="medi-large-2026-03-14" if moved else "medi-large-2025-11-02",
        requested_model="medi-large",
        prompt_version="triage-v12",
        policy_version="refuse-dosing-v3",
        code_version="4.18.0",
        risk_category="high" if high else "standard",
        task="medication" if high else str(rng.choice(["symptoms", "appointments", "general"])),
        latency_s=round(float(rng.lognormal(0.2, 0.35)), 3),
        output_tokens=int(rng.normal(120, 30)),
        cost_usd=0.002,
        weight=1.0 if high else 60.0,
    )


def support(rng: np.random.Generator) -> Story:
    """Nine days; a partner's campaign starts sending people after seven and floods the bot two days later."""
    source_h, storm_h, hours = 6 * 24 + 9, 8 * 24 + 9, 8 * 24 + 18
    traffic = []

    def rate(hour: float) -> float:
        return 60.0 + _campaign_rate(hour, source_h, storm_h)

    for number, at in enumerate(_arrivals(rng, hours, rate)):
        hour = (at - START_US) / HOUR_US
        campaign = _campaign_rate(hour, source_h, storm_h)
        traffic.append(_support_answer(rng, number, at, bool(rng.random() < campaign / (60.0 + campaign))))
    storm_us = START_US + storm_h * HOUR_US
    changes = (
        _change("deploy", "support", storm_us - 3 * HOUR_US, "code", "release 2.31: faster order look-up", "shop-team"),
        _change(
            "faq",
            "support",
            storm_us - 50 * HOUR_US,
            "prompt",
            "returns policy reworded in the prompt",
            "support-content",
        ),
    )
    return Story(
        name="support",
        about="hand-overs rose from one in ten to nearly all within six hours, after a new traffic source had appeared",
        window_s=300,
        traffic=tuple(traffic),
        changes=changes,
        began_us=storm_us,
        cause="traffic source",
        impact="usefulness",
    )


def _campaign_rate(hour: float, source_h: int, storm_h: int) -> float:
    """Conversations an hour from the new source: a trickle, then a flood that doubles again and again within six hours."""
    if hour < source_h:
        return 0.0
    return 0.5 if hour < storm_h else min(2400.0, 30.0 * 2 ** ((hour - storm_h) * 1.1))


def _support_answer(rng: np.random.Generator, number: int, at: int, campaign: bool) -> Interaction:
    escalated = bool(rng.random() < (0.995 if campaign else 0.10))
    question, answer, intent = texts.support(rng, campaign, escalated)
    return Interaction(
        id=f"support-{number:06d}",
        time_us=at,
        app="support",
        session_id=f"chat-{number:06d}",
        user_id=f"customer-{rng.integers(0, 90_000):05d}",
        query=question,
        answer=answer,
        escalated=escalated,
        confidence=round(float(rng.beta(3, 9) if escalated else rng.beta(12, 3)), 4),
        model="intent-router-3",
        requested_model="intent-router-3",
        route_version="routes-2026-01",
        prompt_version="support-v9",
        source="partner-campaign" if campaign else str(rng.choice(["shop", "app", "search"], p=[0.6, 0.3, 0.1])),
        task=intent,
        latency_s=round(float(rng.lognormal(-0.6, 0.3)), 3),
        cost_usd=0.0006,
    )


STORIES: Mapping[str, Callable[[np.random.Generator], Story]] = {"legal": legal, "triage": triage, "support": support}
