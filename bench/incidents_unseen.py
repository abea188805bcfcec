"""Cases for the bench by an author who has seen neither the ranker nor its results: 24 after published incidents and studies.

Every case names the incident or the study that it follows, with its figures. What was not published is drawn by the
generator of the case from the range that stands in its code; lags are drawn so that each order of magnitude is as likely.
Where a source gives a share of bad answers, the rate of good ones (0.9 unless said) is lowered by that share.
"""

from collections.abc import Callable

import numpy as np

from bench.incidents_worlds import RATES, Case, Fault, Move, between, onset_hour

__all__ = ["UNSEEN"]

MATCH = RATES["normalised_match"]
"""Share of good answers as a rule."""
MINUTE = 1 / 60


def _lag(rng: np.random.Generator, low_h: float, high_h: float) -> float:
    """Hours between a change and its harm, uniform on the logarithm."""
    return float(np.exp(rng.uniform(np.log(low_h), np.log(high_h))))


def _perhaps(rng: np.random.Generator, chance: float = 0.5) -> bool:
    return bool(rng.random() < chance)


def _spoilt(share: float) -> float:
    """Rate of good answers when this share of them is spoilt."""
    return MATCH * (1 - share)


def _case(
    *,
    name: str,
    source: str,
    size: tuple[float, int, int],
    faults: tuple[Fault, ...],
    moves: tuple[Move, ...] = (),
    causes: tuple[str, ...] = (),
    models: tuple[str, ...] = ("large",),
    match: float = MATCH,
    volume_after: float = 1.0,
) -> Case:
    """A case; its size is the requests an hour, the hours of quiet and the hours after them."""
    per_hour, before_h, after_h = size
    return Case(
        name=name, source=source, moves=moves, faults=faults, causes=frozenset(causes), per_hour=per_hour,
        before_h=before_h, after_h=after_h, models=models, base={"normalised_match": match}, volume_after=volume_after,
    )  # fmt: skip


def image_people(rng: np.random.Generator) -> Case:
    """A tuned model shows people wrongly from the start and refuses more and more; noticed after weeks."""
    t = onset_hour(rng, 240)
    part = {"task": "write"}
    return _case(
        name="image_people",
        source="Google Gemini images, launched 1 February 2024, paused 22 February: tuning, refusals 'over time'",
        moves=(Move(name="imagen-tuned", kind="model", at_h=t, ramp_h=between(rng, 0, 48)),),
        faults=(
            Fault(at_h=t, of="imagen-tuned", where=part, effects={"normalised_match": _spoilt(between(rng, 0.02, 0.3))}),
            Fault(
                at_h=t, of="imagen-tuned", where=part, growth_h=between(rng, 24, 504),
                effects={"refusal": between(rng, 0.1, 0.6)},
            ),
        ),
        causes=("imagen-tuned",), size=(100, 240, 120),
    )  # fmt: skip


def rogue_prompt(rng: np.random.Generator) -> Case:
    """Somebody edits the prompt past the review; no ledger knows, the traffic shows another version."""
    t = onset_hour(rng, 168)
    bad = {"normalised_match": _spoilt(between(rng, 0.05, 0.5)), "thumbs": between(rng, 0.4, 0.78)}
    return _case(
        name="rogue_prompt",
        source="xAI Grok, 14 May 2025 about 03:15 PST: unreviewed edit of the prompt, the same topic in unrelated answers",
        moves=(Move(name="prompt-0515", kind="prompt", at_h=t - _lag(rng, MINUTE, 1), recorded=False),),
        faults=(Fault(at_h=t, of="prompt-0515", effects=bad),),
        causes=("prompt-0515",),
        size=(120, 168, 72),
    )


def upstream_path(rng: np.random.Generator) -> Case:
    """Code upstream of one bot brings old instructions back; users elsewhere are not hit."""
    t = onset_hour(rng, 216)
    bad = {"normalised_match": _spoilt(between(rng, 0.02, 0.3)), "escalation": between(rng, 0.1, 0.25)}
    move = Move(
        name="upstream-771", kind="code", at_h=t - _lag(rng, MINUTE, 2), shown=_perhaps(rng), where={"segment": "app"}
    )
    return _case(
        name="upstream_path",
        source="xAI Grok, 8 July 2025: code path upstream of the bot, deprecated instructions, 16 h",
        moves=(move,),
        faults=(Fault(at_h=t, of="upstream-771", effects=bad),),
        causes=("upstream-771",),
        size=(150, 216, 72),
    )


def overlay(rng: np.random.Generator) -> Case:
    """Offers are raised over the model's price; weeks later most homes sell at a loss, in one region nearly all."""
    t = onset_hour(rng, 504)
    grows = between(rng, 168, 504)
    return _case(
        name="overlay",
        source="Zillow Offers 2021: price overlays, 66 % of homes listed below cost, 93 % in Phoenix; seen months later",
        moves=(Move(name="overlay-3", kind="policy", at_h=t - _lag(rng, 504, 1344), shown=_perhaps(rng)),),
        faults=(
            Fault(at_h=t, growth_h=grows, effects={"normalised_match": 0.34}),
            Fault(at_h=t, growth_h=grows, where={"segment": "partner"}, effects={"normalised_match": 0.07}),
        ),
        causes=("overlay-3",),
        size=(40, 504, 120),
    )


def binary_index(rng: np.random.Generator) -> Case:
    """The index is rebuilt with one bit a dimension and without rescoring."""
    t = onset_hour(rng, 216)
    worse = {
        "retrieval_score": -0.075 * 0.8,
        "groundedness": -between(rng, 0.0, 0.08),
        "normalised_match": _spoilt(between(rng, 0.0, 0.075)),
    }
    return _case(
        name="binary_index",
        source="Hugging Face, March 2024: binary embeddings keep 92.5 % of the retrieval quality without rescoring",
        moves=(Move(name="idx-1bit", kind="index", at_h=t, ramp_h=between(rng, 0, 24), by="request"),),
        faults=(Fault(at_h=t, of="idx-1bit", effects=worse),),
        causes=("idx-1bit",),
        size=(150, 216, 96),
    )


def embedder(rng: np.random.Generator) -> Case:
    """Some replicas embed questions with another model than the index was built with; nothing raises an error."""
    t = onset_hour(rng, 192)
    worse = {
        "retrieval_score": -between(rng, 0.2, 0.75),
        "groundedness": -between(rng, 0.05, 0.4),
        "normalised_match": between(rng, 0.2, 0.75),
        "refusal": between(rng, 0.03, 0.4),
    }
    move = Move(
        name="embed-3-small", kind="embedding model", at_h=t - _lag(rng, MINUTE, 2), shown=_perhaps(rng, 0.7),
        share=between(rng, 0.1, 1.0), by="request",
    )  # fmt: skip
    return _case(
        name="embedder",
        source="class: query encoder moved, index not re-embedded (ada-002 and embedding-3 spaces do not compare)",
        moves=(move,),
        faults=(Fault(at_h=t, of="embed-3-small", effects=worse),),
        causes=("embed-3-small",),
        size=(80, 192, 72),
    )


def autoswitcher(rng: np.random.Generator) -> Case:
    """On the day a new model comes out its router breaks and sends hard questions to the small one."""
    t = onset_hour(rng, 216)
    worse = {
        "normalised_match": between(rng, 0.5, 0.85),
        "answer_chars": -between(rng, 20, 220),
        "latency_s": -between(rng, 0.1, 1.2),
        "thumbs": between(rng, 0.4, 0.78),
    }
    return _case(
        name="autoswitcher",
        source="OpenAI GPT-5, 7 August 2025: the autoswitcher broke for 'a chunk of the day', answers 'way dumber'",
        moves=(
            Move(name="five", kind="model", at_h=t - between(rng, 1, 20), ramp_h=between(rng, 0, 12)),
            Move(
                name="switch-2", kind="routing", at_h=t, share=between(rng, 0.1, 1.0), by="request", shown=_perhaps(rng, 0.7)
            ),
        ),
        faults=(
            Fault(at_h=t, of="switch-2", where={"task": "do"}, effects=worse),
            Fault(at_h=t, of="switch-2", where={"task": "write"}, effects=worse),
        ),
        causes=("switch-2",), size=(200, 216, 72),
    )  # fmt: skip


def tool_bloat(rng: np.random.Generator) -> Case:
    """Many tools are put into every prompt; the agent takes the wrong ones."""
    t = onset_hour(rng, 240)
    part = between(rng, 0.05, 1.0)
    worse = {
        "normalised_match": _spoilt(part * (1 - 13.62 / 43.13)),
        "tool_error": between(rng, 0.02, 0.4),
        "latency_s": between(rng, 0.0, 2.0),
    }
    return _case(
        name="tool_bloat",
        source="RAG-MCP, arXiv 2505.03275: right tool 43.13 % -> 13.62 % with all tools in the prompt",
        moves=(
            Move(
                name="tools-140", kind="tool schema", at_h=t - _lag(rng, MINUTE, 12), share=between(rng, 0.3, 1.0),
                shown=_perhaps(rng, 0.8),
            ),
        ),
        faults=(Fault(at_h=t, of="tools-140", where={"task": "do"}, effects=worse),),
        causes=("tools-140",), size=(70, 240, 96),
    )  # fmt: skip


def redis(rng: np.random.Generator) -> Case:
    """A change of the server makes it cancel cache requests: some get another user's data, more get an error."""
    t = onset_hour(rng, 168)
    bad = {"normalised_match": _spoilt(0.012), "error": between(rng, 0.015, 0.1)}
    return _case(
        name="redis",
        source="OpenAI, 20 March 2023: server change at 01:00 PT, cancelled Redis requests, 1.2 % of subscribers in 9 h",
        moves=(Move(name="server-0320", kind="code", at_h=t - _lag(rng, MINUTE, 0.5), shown=_perhaps(rng, 0.7)),),
        faults=(Fault(at_h=t, of="server-0320", effects=bad),),
        causes=("server-0320",),
        size=(300, 168, 48),
    )


def telemetry(rng: np.random.Generator) -> Case:
    """A new telemetry service overloads the control plane; caches of names hide it for twenty minutes."""
    t = onset_hour(rng, 168)
    bad = {"error": between(rng, 0.3, 0.98), "latency_s": between(rng, 0.5, 10)}
    return _case(
        name="telemetry",
        source="OpenAI, 11 December 2024: deployed 15:12, degraded from 15:16, caches expire over 20 min, nearly all down",
        moves=(Move(name="telemetry-svc", kind="config", at_h=t - 4 * MINUTE, shown=False),),
        faults=(Fault(at_h=t, growth_h=20 * MINUTE, effects=bad),),
        causes=("telemetry-svc",),
        size=(250, 168, 48),
    )


def json_mode(rng: np.random.Generator) -> Case:
    """Answers are asked for as JSON: weaker models reason worse and run out of tokens."""
    t = onset_hour(rng, 216)
    worse = {
        "normalised_match": MATCH - between(rng, 0.053, 0.362),
        "truncated": between(rng, 0.01, 0.3),
        "answer_chars": between(rng, -150, 150),
    }
    by_user = _perhaps(rng)
    return _case(
        name="json_mode",
        source="arXiv 2606.09410: JSON output costs 5.3 (Opus), 28.0 (4o-mini) and 36.2 points (Haiku, truncated)",
        moves=(
            Move(
                name="json-object", kind="sampling parameter", at_h=t, share=between(rng, 0.1, 1.0),
                ramp_h=between(rng, 0, 48), by="user" if by_user else "request", shown=_perhaps(rng, 0.8),
            ),
        ),
        faults=(Fault(at_h=t, of="json-object", where={"requested_model": "small"}, effects=worse),),
        causes=("json-object",), size=(120, 216, 96),
        models=("large", "small"),
    )  # fmt: skip


def agent_role(rng: np.random.Generator) -> Case:
    """An agent has its operator's wide role; days later it deletes and rebuilds what one region runs on."""
    t = onset_hour(rng, 360)
    part = {"segment": "partner"}
    return _case(
        name="agent_role",
        source="AWS Cost Explorer with Kiro, December 2025: misconfigured role, one of 39 regions down for 13 h",
        moves=(Move(name="operator-role", kind="permission", at_h=t - _lag(rng, 0.5, 336), shown=False),),
        faults=(
            Fault(
                at_h=t, where=part, effects={"error": between(rng, 0.3, 0.98), "tool_error": between(rng, 0.05, 0.6)}
            ),
        ),
        causes=("operator-role",),
        size=(80, 360, 48),
    )


def credit_pool(rng: np.random.Generator) -> Case:
    """A count of requests becomes a sum of money: users of the dear model run dry one after another."""
    t = onset_hour(rng, 432)
    dry = {"refusal": between(rng, 0.1, 0.7), "escalation": between(rng, 0.12, 0.4)}
    return _case(
        name="credit_pool",
        source="Cursor, 16 June to 4 July 2025: 500 requests -> USD 20 of usage, about 225 of Sonnet 4; apology, refunds",
        moves=(Move(name="pool-20", kind="budget", at_h=t - _lag(rng, 12, 336), shown=False),),
        faults=(
            Fault(
                at_h=t, where={"requested_model": "sonnet"}, share=between(rng, 0.1, 0.7), growth_h=between(rng, 48, 336),
                effects=dry,
            ),
        ),
        causes=("pool-20",), size=(120, 432, 120),
        models=("auto", "sonnet", "gpt", "gemini"),
    )  # fmt: skip


def poisoned(rng: np.random.Generator) -> Case:
    """An import brings planted texts in; only the questions that they aim at are answered wrongly."""
    t = onset_hour(rng, 312)
    aimed = between(rng, 0.02, 0.4)
    return _case(
        name="poisoned",
        source="PoisonedRAG, arXiv 2402.07867: five texts a question among millions, 90 % of the aimed questions wrong",
        moves=(Move(name="forum-import", kind="corpus", at_h=t - _lag(rng, 0.5, 240), shown=_perhaps(rng, 0.7)),),
        faults=(
            Fault(
                at_h=t, of="forum-import", where={"task": "ask"}, growth_h=between(rng, 0, 48),
                effects={"normalised_match": _spoilt(0.9 * aimed), "retrieval_score": between(rng, 0, 0.1) * aimed},
            ),
        ),
        causes=("forum-import",), size=(100, 312, 96),
    )  # fmt: skip


def blank_fields(rng: np.random.Generator) -> Case:
    """Code that came region by region two weeks ago meets a policy with blank fields: everything stops in minutes."""
    t = onset_hour(rng, 384)
    bad = {"error": between(rng, 0.3, 0.95), "latency_s": between(rng, 0.0, 5)}
    return _case(
        name="blank_fields",
        source="Google Cloud, 12 June 2025: code of 29 May, policy at 10:45, 503s from 10:51, up to 7 h",
        moves=(
            Move(
                name="quota-check", kind="code", at_h=t - 336, ramp_h=between(rng, 24, 120), shown=_perhaps(rng, 0.7)
            ),
            Move(name="quota-rows", kind="policy", at_h=t - 6 * MINUTE, shown=False),
        ),
        faults=(Fault(at_h=t, effects=bad),),
        causes=("quota-check", "quota-rows"), size=(150, 384, 48),
    )  # fmt: skip


def eighth_server(rng: np.random.Generator) -> Case:
    """Seven of eight servers get the new code; days later a flag is set that means something else to the eighth."""
    t = onset_hour(rng, 264)
    first = t - between(rng, 96, 120)
    return _case(
        name="eighth_server",
        source="Knight Capital, 1 August 2012: code from 27 July on 7 of 8 servers, old flag at 09:30, USD 460 M in 45 min",
        moves=(
            Move(name="router-rlp", kind="code", at_h=first, ramp_h=between(rng, 24, 72), by="request"),
            Move(
                name="left-out", kind="code", at_h=first, share=1 / 8, by="request", value="code_version-0", recorded=False
            ),
            Move(name="flag-on", kind="config", at_h=t - _lag(rng, MINUTE, 0.5), shown=False),
        ),
        faults=(
            Fault(at_h=t, of="left-out", where={"task": "do"}, effects={"normalised_match": between(rng, 0.0, 0.2)}),
        ),
        causes=("router-rlp", "flag-on"), size=(200, 264, 48),
    )  # fmt: skip


def cut_off(rng: np.random.Generator) -> Case:
    """The provider tells us days before that it takes away the capacity of one model; others have too little."""
    t = onset_hour(rng, 240)
    said = between(rng, 24, 120) if _perhaps(rng) else between(rng, 0, 1)
    bad = {"error": between(rng, 0.05, 0.6), "latency_s": between(rng, 0.2, 4)}
    return _case(
        name="cut_off",
        source="Windsurf, June 2025: Claude 3.x capacity withdrawn with less than five days' notice",
        moves=(Move(name="capacity-notice", kind="provider", at_h=t - said, shown=False, own=False),),
        faults=(Fault(at_h=t, where={"requested_model": "claude"}, growth_h=between(rng, 0, 24), effects=bad),),
        causes=("capacity-notice",),
        size=(100, 240, 72),
        models=("claude", "gpt", "gemini"),
    )


def sync_terms(rng: np.random.Generator) -> Case:
    """New terms of a provider let the sync read little; what the assistant knows grows old."""
    t = onset_hour(rng, 336)
    stale = {
        "retrieval_score": -between(rng, 0.03, 0.25),
        "groundedness": -between(rng, 0.0, 0.2),
        "normalised_match": between(rng, 0.55, 0.86),
    }
    return _case(
        name="sync_terms",
        source="Slack API terms, 29 May 2025: conversations.history at 1 request a minute, 15 objects each",
        moves=(Move(name="api-terms", kind="provider", at_h=t - _lag(rng, 1, 168), shown=False, own=False),),
        faults=(Fault(at_h=t, where={"task": "ask"}, growth_h=between(rng, 96, 504), effects=stale),),
        causes=("api-terms",),
        size=(90, 336, 120),
    )


def pinned(rng: np.random.Generator) -> Case:
    """A dated model id answers with a newer model; nothing tells, nothing shows."""
    t = onset_hour(rng, 264)
    worse = {
        "normalised_match": MATCH * between(rng, 0.8, 83.0 / 86.7),
        "answer_chars": between(rng, -120, 120),
        "latency_s": between(rng, -0.5, 1.0),
    }
    return _case(
        name="pinned",
        source="Gemini 2.5 Pro, May 2025: id 03-25 answers as 05-06 (AIME 86.7 -> 83.0; users report worse)",
        faults=(Fault(at_h=t, where={"requested_model": "pro-0325"}, effects=worse),),
        size=(150, 264, 96),
        models=("pro-0325", "flash"),
    )


def host_update(rng: np.random.Generator) -> Case:
    """The provider's hosts lose their network after a routine update: few errors at first, a quarter hours later."""
    t = onset_hour(rng, 168)
    return _case(
        name="host_update",
        source="OpenAI API, 9-10 June 2025: 5 % errors for two hours, 25 % at the peak, 15 h in all",
        faults=(Fault(at_h=t, growth_h=2.4, effects={"error": 0.25, "latency_s": between(rng, 0.2, 5)}),),
        size=(120, 168, 48),
    )


def dealer(rng: np.random.Generator) -> Case:
    """A post sends strangers to a shop's assistant, who ask it for anything but cars."""
    t = onset_hour(rng, 192)
    bad = {"normalised_match": between(rng, 0.1, 0.7), "refusal": between(rng, 0.05, 0.6)}
    post = Move(
        name="x-post", kind="traffic source", at_h=t, share=between(rng, 0.2, 0.9), ramp_h=between(rng, 0, 12), by="request",
        recorded=False, own=False,
    )  # fmt: skip
    return _case(
        name="dealer",
        source="Chevrolet of Watsonville, 17 December 2023: a post with 20 M views, prompts that are not about cars",
        moves=(post,),
        faults=(Fault(at_h=t, of="x-post", new_questions=between(rng, 0.4, 1.0), effects=bad),),
        causes=("x-post",),
        size=(40, 192, 72),
        volume_after=between(rng, 1.3, 6),
    )


def empty_shelves(rng: np.random.Generator) -> Case:
    """Customers buy other things in other amounts, and the forecast of what is on the shelf fails."""
    t = onset_hour(rng, 336)
    usual, fallen, new = 0.93, 0.61, between(rng, 0.4, 0.95)
    return _case(
        name="empty_shelves",
        source="Instacart, from mid-March 2020: availability right 93 % -> 61 %",
        faults=(
            Fault(
                at_h=t, growth_h=between(rng, 24, 120), new_questions=new,
                effects={"normalised_match": (fallen - (1 - new) * usual) / new},
            ),
        ),
        size=(80, 336, 120),
        match=usual,
        volume_after=between(rng, 1.1, 3),
    )  # fmt: skip


def image_craze(rng: np.random.Generator) -> Case:
    """Everybody wants pictures of one kind: the machines cannot keep up."""
    t = onset_hour(rng, 216)
    bad = {"latency_s": between(rng, 0.5, 10), "error": between(rng, 0.02, 0.3), "thumbs": between(rng, 0.55, 0.8)}
    return _case(
        name="image_craze",
        source="OpenAI image generation, 25-31 March 2025: a million new users in one hour, 'our GPUs are melting'",
        faults=(Fault(at_h=t, growth_h=between(rng, 2, 72), effects=bad),),
        size=(120, 216, 96),
        volume_after=between(rng, 1.3, 5),
    )


def tax_season(rng: np.random.Generator) -> Case:
    """The season brings the questions that the assistant was never good at."""
    t = onset_hour(rng, 336)
    bad = {"normalised_match": 0.5, "escalation": between(rng, 0.1, 0.4)}
    return _case(
        name="tax_season",
        source="TurboTax and H&R Block assistants, March 2024: more than half of the test questions wrong or unhelpful",
        faults=(Fault(at_h=t, growth_h=between(rng, 48, 240), new_questions=between(rng, 0.1, 0.6), effects=bad),),
        size=(90, 336, 120),
        volume_after=between(rng, 1.1, 2.5),
    )


_CASES: tuple[Callable[[np.random.Generator], Case], ...] = (
    image_people, rogue_prompt, upstream_path, overlay, binary_index, embedder, autoswitcher, tool_bloat, redis,
    telemetry, json_mode, agent_role, credit_pool, poisoned, blank_fields, eighth_server, cut_off, sync_terms, pinned,
    host_update, dealer, empty_shelves, image_craze, tax_season,
)  # fmt: skip
UNSEEN: dict[str, Callable[[np.random.Generator], Case]] = {c.__name__: c for c in _CASES}
"""Fourteen changes of ours, two pairs, four changes of a provider (two recorded), four changes of the traffic."""
