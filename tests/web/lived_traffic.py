"""The traffic of the store that people lived in: the support story, with risks, agents, two experiments, and the lever that stopped it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from zlib import crc32

from andon.traffic import Context, Interaction, Step, ToolCall

__all__ = ["AB_US", "AGENT", "CANARY_US", "HELD_US", "HOUR", "STORM_US", "WRONG", "WRONG_US", "lived"]

MINUTE = 60_000_000
HOUR = 60 * MINUTE
STORM_US = 1_773_133_200_000_000
"""When the campaign begins to flood the bot: 2026-03-10 09:00 UTC."""
HELD_US = STORM_US + 105 * MINUTE
"""When the lever was held: from then on only what was on its way reaches the bot."""
AB_US, CANARY_US = STORM_US - 96 * HOUR, STORM_US + 4 * HOUR
"""When the two experiments began."""

CAMPAIGN = "partner-campaign"
MONEY = ("refund", "invoice", "account")
"""What people ask where a wrong answer costs them money."""
WRONG, WRONG_US = "support-wrong", STORM_US - 20 * HOUR
"""An answer that somebody complained of, and when."""
AGENT = "support-agent"
"""An answer that an agent gave in five steps."""


def lived(traffic: Iterable[Interaction]) -> Iterator[Interaction]:
    """The traffic of the story as these people would have had it.

    Args:
        traffic: in order of time.
    """
    wrong = agent = False
    for number, told in enumerate(traffic):
        if told.source == CAMPAIGN and told.time_us >= HELD_US and number % 600:
            continue
        risk = "high" if told.task in MONEY else "standard"
        t = replace(told, requested_model=None, risk_category=risk, arm=_arms(told))
        if t.task == "order" and not t.escalated:
            t = _by_agent(t, number)
            if not agent and t.time_us > WRONG_US - HOUR:
                agent, t = True, replace(t, id=AGENT)
        if not wrong and t.task == "return" and not t.escalated and t.time_us > WRONG_US - HOUR:
            wrong, t = True, replace(t, id=WRONG, answer="Returns are free of charge within 100 days.")
        yield t


def _arms(t: Interaction) -> str | None:
    """Which variants of the experiments that run served it."""
    arms = []
    for lever, name, began_us, share in (
        ("support.prompt", "exp-0001", AB_US, 0.5),
        ("support.summary", "exp-0002", CANARY_US, 0.25),
    ):
        if t.time_us >= began_us:
            treated = crc32(f"{name}:{t.user_id}".encode()) / 2**32 < share
            arms.append(f"{lever}={name}-{'treatment' if treated else 'control'}")
    return ",".join(arms) or None


def _by_agent(t: Interaction, number: int) -> Interaction:
    """Answered by an agent: it searched the help pages, looked the order up, and wrote."""
    took_s = t.latency_s or 1.0
    failed = "Timeout" if number % 50 == 0 else None
    steps = (
        Step(kind="agent", name="support agent", start_s=0.0, latency_s=took_s),
        Step(kind="retriever", name="help pages", parent=0, start_s=0.02 * took_s, latency_s=0.18 * took_s),
        Step(kind="llm", name="plan", parent=0, start_s=0.2 * took_s, latency_s=0.25 * took_s, model=t.model,
             input_tokens=612, output_tokens=31),
        Step(kind="tool", name="find_order", parent=0, start_s=0.45 * took_s, latency_s=0.15 * took_s, error=failed),
        Step(kind="llm", name="answer", parent=0, start_s=0.6 * took_s, latency_s=0.4 * took_s, model=t.model,
             input_tokens=790, output_tokens=44),
    )  # fmt: skip
    order = "".join(c for c in t.query or "" if c.isdigit())
    found = None if failed else f'{{"order": {order}, "state": "on its way", "arrives_in_days": 2}}'
    call = ToolCall(name="find_order", arguments=f'{{"order": {order}}}', result=found, error=failed)
    pages = (
        Context(id="help/orders", text="An order that is on its way arrives within two days.", score=0.91),
        Context(id="help/parcels", text="The parcel service leaves a card where nobody opens.", score=0.64),
    )
    return replace(t, steps=steps, tool_calls=(call,), contexts=pages, input_tokens=1402, output_tokens=75)
