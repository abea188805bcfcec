"""How many files this process may have open: every connection is one, and an event stream stays open."""

import logging

from andon.api.events import MOST_STREAMS

__all__ = ["WANTED", "allow_files"]

WANTED = 4 * MOST_STREAMS
"""As many event streams as are allowed, and room for requests, the journal, the tables and the ledger beside them."""

_log = logging.getLogger("andon")


def allow_files() -> int:
    """Raise the soft limit of open files to `WANTED`, or to the hard limit where that is lower, which the log says.

    Returns:
        The limit from now on.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return WANTED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    most = WANTED if hard == endless else min(hard, WANTED)
    if soft != endless and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
        except (OSError, ValueError) as error:
            _log.warning("the limit of open files stays %d (%s)", soft, error)
    if soft != endless and soft < WANTED:
        _log.warning(
            "at most %d files may be open in this process, and %d are wanted: each of up to %d event streams needs one. Raise the "
            "hard limit (`ulimit -Hn`, LimitNOFILE= of systemd, --ulimit nofile= of a container)",
            soft, WANTED, MOST_STREAMS,
        )  # fmt: skip
    return WANTED if soft == endless else soft
