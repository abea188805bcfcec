"""Hypothesis strategies for the records of this stage."""

from dataclasses import fields

from hypothesis import strategies as st

from andon.traffic import SEGMENTS, VERSIONS, Context, Feedback, Interaction, Step, ToolCall

text = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
plain = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
times = st.integers(946_684_800_000_000, 4_133_980_799_999_999)
number = st.floats(allow_nan=False, allow_infinity=False)
count = st.integers(0, 2**63 - 1)

_BY_NAME = {
    "id": names,
    "time_us": times,
    "app": plain,
    "environment": plain,
    "contexts": st.lists(st.builds(Context, text=text, id=st.none() | text, score=st.none() | number), max_size=3).map(
        tuple
    ),
    "tool_calls": st.lists(
        st.builds(ToolCall, name=text, arguments=st.none() | text, result=st.none() | text, error=st.none() | text),
        max_size=3,
    ).map(tuple),
    "steps": st.lists(
        st.builds(
            Step,
            kind=text,
            name=text,
            parent=st.none() | count,
            start_s=number,
            latency_s=number,
            model=st.none() | text,
            input_tokens=st.none() | count,
            output_tokens=st.none() | count,
            error=st.none() | text,
        ),
        max_size=3,
    ).map(tuple),
    "attributes": st.dictionaries(text, text, max_size=3),
    "features": st.dictionaries(text, text | number, max_size=3),
    "refused": st.none() | st.booleans(),
    "escalated": st.none() | st.booleans(),
    **dict.fromkeys(
        ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
        st.none() | count,
    ),
    **dict.fromkeys(("confidence", "latency_s", "first_token_s", "cost_usd", "prediction_score"), st.none() | number),
    "weight": number,
    **dict.fromkeys(("source", *SEGMENTS, *VERSIONS), st.none() | plain),
}
interactions = st.builds(Interaction, **{f.name: _BY_NAME.get(f.name, st.none() | text) for f in fields(Interaction)})
feedback = st.builds(
    Feedback, id=names, interaction_id=names, time_us=times, kind=names, value=st.none() | number,
    text=st.none() | text, author=st.none() | plain, scope=names, name=st.none() | plain, label=st.none() | text,
    source=names, version=st.none() | plain, error=st.none() | text,
)  # fmt: skip
