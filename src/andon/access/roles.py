"""What a role may do, and what a token opens."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from andon.access.records import Role, Scope
from andon.errors import InputError

__all__ = ["ROLES", "SCOPES", "check_role", "check_scopes", "may"]

ROLES: Mapping[Role, str] = MappingProxyType(
    {
        "viewer": "Reads everything, and changes nothing.",
        "reviewer": "Reads, labels failures, keeps golden cases, writes and reviews postmortems, and approves.",
        "responder": "Does what a reviewer does, and acts: incidents, levers, rollouts, eval runs, changes.",
        "owner": "Does what a responder does, and lets people in and out, makes and revokes tokens, and says where people are told.",
    }
)
"""The ladder, from the bottom, each with what it may do."""

SCOPES: Mapping[Scope, str] = MappingProxyType(
    {
        "ingest": "Sends traffic, feedback, changes and alerts (`/v1/`, and OTLP over gRPC).",
        "levers": "Reads levers (`/ofrep/`).",
        "read": "Reads what a viewer reads, all pages and their traffic, and `/metrics`, what `/readyz` says beyond yes and no, and `/openapi.json`.",
    }
)
"""What a token with a scope opens; a token has one or more of them."""

_LADDER = tuple(ROLES)


def may(role: Role, needed: Role) -> bool:
    """Whether who has a role may do what another role is needed for."""
    return _LADDER.index(role) >= _LADDER.index(needed)


def check_role(text: str) -> Role:
    """A role by its name.

    Raises:
        InputError: there is none with this name.
    """
    found = next((r for r in ROLES if r == text.strip().casefold()), None)
    if found is None:
        raise InputError(f"{text[:40]!r} is not a role; the roles are {', '.join(ROLES)}")
    return found


def check_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Scopes by their names, each once, in the order of `SCOPES`.

    Raises:
        InputError: there is none with this name, or there is none at all.
    """
    given = {t.strip().casefold(): t for t in texts}
    if unknown := [text for key, text in given.items() if key not in SCOPES]:
        raise InputError(f"{unknown[0][:40]!r} is not a scope; the scopes are {', '.join(SCOPES)}")
    if not given:
        raise InputError(f"a token without a scope opens nothing; choose of {', '.join(SCOPES)}")
    return tuple(s for s in SCOPES if s in given)
