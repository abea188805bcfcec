"""What can go wrong, by who has to act.

::

    AndonError
    ├── InputError      the caller's input is wrong: fix it and call again (HTTP 422, exit 2)
    ├── ConfigError     the operator's set-up is wrong: fix it and start again (exit 2)
    ├── StateError      not allowed now, although the input is right (HTTP 409, exit 2)
    ├── StoreError      the disk, the tables or the ledger failed (HTTP 503 when retryable)
    └── SeamError       something beyond our seams failed: a model, an endpoint, a plug-in (503 when retryable)

A message names the value, what is allowed and the next step, in words that hold wherever it is read: on a page, in an
answer of the API, in a terminal. What to type at a command line stands beside it, in `commands`. Exceptions of engines and libraries never leave the
module that calls them: they are mapped to one of these.

"Cannot tell" is not an error: it is None, or a verdict ``undecided`` that says why and what would decide it.
"""

__all__ = ["AndonError", "ConfigError", "InputError", "SeamError", "StateError", "StoreError"]


class AndonError(Exception):
    """Base of everything that Andon raises on purpose."""

    retryable = False
    commands: str = ""
    """What does the next step at the command line; empty where the message says all."""

    def __init__(self, message: str = "", *, commands: str = "") -> None:
        super().__init__(message)
        self.commands = commands


class InputError(AndonError):
    """The caller's input is wrong; nothing was written for it."""


class ConfigError(AndonError):
    """The operator's configuration is wrong; raised at start, never in the middle of work."""


class StateError(AndonError):
    """The request is well formed, but not allowed in the present state (a closed incident, a stale version)."""


class StoreError(AndonError):
    """The store failed. `retryable` says whether the same call may succeed later."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class SeamError(AndonError):
    """Something beyond a seam failed: a target, a judge, an embedder, a channel."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
