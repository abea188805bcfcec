"""How many tokens a call took, in one definition whatever the sender's.

Input is all that went in, tokens read from a cache and written to one among it; output is all that came out, reasoning
among it. That is the definition of OpenTelemetry GenAI, of OpenAI, and of the instrumentations of Anthropic by
OpenInference, by OpenLLMetry and by its own SDK, all of which add the cache to what the API calls ``input_tokens``.

Others pass on the raw numbers of Anthropic's and Bedrock's APIs, whose input leaves the cache out, or of Google's API,
whose output leaves the reasoning out. No attribute says so, but the numbers do, and only what they prove is added:

- a part that is larger than its whole was not in it;
- a sender's own total that exceeds input and output by exactly a part has that part besides them;
- the Vercel AI SDK before version 6 (no ``ai.usage.inputTokenDetails.*``) passes on what Anthropic's API says.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from andon.traffic.conventions.readings import TOTALS, names_of
from andon.traffic.conventions.values import count
from andon.traffic.conventions.views import View

__all__ = ["NONE", "Tokens", "tokens_of"]

_FIELDS = tuple(f"{name}_tokens" for name in ("input", "output", "cache_read", "cache_write", "reasoning"))
_NAMES = tuple(names_of(field) for field in _FIELDS)
_RAW_PROVIDERS = ("anthropic", "amazon-bedrock", "bedrock", "vertex.anthropic")


class Tokens(NamedTuple):
    """The tokens of one call or of several; None is what nobody counted."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    def plus(self, other: "Tokens") -> "Tokens":
        """Both together."""
        return Tokens(*map(_sum, self, other))

    def or_else(self, other: "Tokens") -> "Tokens":
        """These, and what only the other counted."""
        return Tokens(*(theirs if mine is None else mine for mine, theirs in zip(self, other, strict=True)))


NONE = Tokens()
"""Nobody counted anything."""


def tokens_of(view: View) -> Tokens:
    """The tokens that the attributes of one span count."""
    reads = view.layout.reads
    if reads.isdisjoint(_FIELDS):
        return NONE
    attributes = view.attributes
    found = Tokens(*(_first(attributes, n) if f in reads else None for f, n in zip(_FIELDS, _NAMES, strict=True)))
    cached, thought = (found.cache_read or 0) + (found.cache_write or 0), found.reasoning or 0
    if not cached and not thought:
        return found
    total = _first(attributes, TOTALS)
    besides = None if total is None else total - (found.input or 0) - (found.output or 0)
    with_cache = cached > 0 and besides in (cached, cached + thought)
    with_thought = thought > 0 and besides in (thought, cached + thought) and besides != cached
    given, made = found.input, found.output
    if given is not None and (cached > given or with_cache or (cached > 0 and _is_raw(attributes))):
        given += cached
    if made is not None and (thought > made or with_thought):
        made += thought
    return found._replace(input=given, output=made)


def _is_raw(attributes: Mapping[str, Any]) -> bool:
    provider = attributes.get("ai.model.provider")
    if not isinstance(provider, str) or not provider.startswith(_RAW_PROVIDERS):
        return False
    return not any(n.startswith("ai.usage.inputTokenDetails.") for n in attributes)


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in attributes and (found := count(attributes[name])) is not None:
            return found
    return None


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other
