"""Whether the places that the settings name can be used, as things stand; nothing is left there that was not there before."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import text

from andon.api.security import is_loopback
from andon.errors import AndonError
from andon.settings import Settings
from andon.store.databases import READING, database_errors, disposing, engine_of, file_of, shown, url_of
from andon.store.migrations import HEAD, refused_here, revision_of
from andon.store.opening import store_place
from andon.store.table import prove

__all__ = ["check_places"]

LEAST_FREE = 2**30
"""Bytes on the disk below which it is said that it will soon be full."""

WRONG_S = 2.0
"""Clocks that differ by more are named."""

REACH_S = 3.0


def check_places(chosen: Settings) -> tuple[list[str], list[str]]:
    """What was found of the places, and what keeps Andon from starting or working there."""
    lines: list[str] = []
    problems: list[str] = []
    for part in (_ledger, _folders, _bucket, _engine, _doors):
        for said, wrong in part(chosen):
            (problems if wrong else lines).append(said)
    return lines, problems


def _ledger(chosen: Settings) -> Iterator[tuple[str, bool]]:
    url = url_of(chosen.ledger or str(chosen.home / "ledger.db"))
    if (file := file_of(url)) is not None and not file.exists():  # to connect would make it
        yield f"ledger: none yet; the first start makes {shown(url)}", False
        return
    try:
        with database_errors(), disposing(engine_of(url)) as engine, engine.connect() as opened:
            connection = opened.execution_options(**{READING: True})
            revision = revision_of(connection)
            asked_s = time.time()
            there_s, refused = asked_s, ""
            if connection.dialect.name == "postgresql":
                refused = "" if revision else refused_here(connection)
                there_s = float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
            ahead_s = (asked_s + time.time()) / 2 - there_s
    except AndonError as error:
        yield f"ledger: {shown(url)} cannot be used: {error}", True
        return
    if refused:
        yield f"ledger: {shown(url)} is empty, and {refused}", True
        return
    state = "empty: the first start makes its tables" if revision == 0 else f"revision {revision}"
    older = (
        f", which the next start brings to {HEAD} (`andon ledger upgrade --sql` shows how)"
        if 0 < revision < HEAD
        else ""
    )
    yield f"ledger: {shown(url)}, {state}{older}", False
    if abs(ahead_s) > WRONG_S:
        yield (
            (
                f"warning: this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the database's; "
                "replicas go by the database's, commands by this one: synchronise it (NTP)"
            ),
            False,
        )


def _folders(chosen: Settings) -> Iterator[tuple[str, bool]]:
    for name, folder in dict.fromkeys((("ANDON_HOME", chosen.home), ("ANDON_STORE", chosen.place))):
        if name == "ANDON_STORE" and (chosen.bucket or not chosen.store):
            continue
        there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
        if not there.is_dir() or not os.access(there, os.R_OK | os.W_OK | os.X_OK):
            yield f"{name}={folder}: {there} is no folder that this user may write to", True
            continue
        free = shutil.disk_usage(there).free
        made = "" if there == folder.absolute() else "; the first start makes it"
        yield f"{name}={folder}: {free / 2**30:,.1f} GiB free{made}", False
        if free < LEAST_FREE:
            yield f"warning: the disk of {name} is nearly full; traffic is refused once it is", False
    if bool(chosen.store) != bool(chosen.ledger):
        alone, other = ("ANDON_STORE", "ANDON_LEDGER") if chosen.store else ("ANDON_LEDGER", "ANDON_STORE")
        yield (
            (
                f"warning: {alone} is set and {other} is not: several replicas need both, so that they see the same traffic and the "
                "same incidents"
            ),
            False,
        )


def _bucket(chosen: Settings) -> Iterator[tuple[str, bool]]:
    if not chosen.bucket:
        return
    try:
        prove(store_place(chosen))
    except AndonError as error:
        yield f"ANDON_STORE={chosen.store} cannot be used: {error}", True
    else:
        yield f"ANDON_STORE={chosen.store}: can be read and written, and refuses to replace a file", False


def _engine(chosen: Settings) -> Iterator[tuple[str, bool]]:
    if not chosen.engine.startswith("ray://"):
        yield f"engine: {chosen.engine}", False
        return
    at = urlsplit(chosen.engine)
    try:
        with socket.create_connection((at.hostname or "", at.port or 0), REACH_S):
            yield f"engine: {chosen.engine}, which answers; large plans go there", False
    except OSError as error:
        yield f"engine: {chosen.engine} cannot be reached ({error.strerror or error})", True


def _doors(chosen: Settings) -> Iterator[tuple[str, bool]]:
    from andon.incidents import open_channels

    try:
        channels = open_channels(chosen.channels)
    except AndonError as error:
        yield str(error), True
    else:
        yield f"channels: {', '.join(c.name for c in channels) or 'none, so nobody is told'}", False
    if not chosen.token and not is_loopback(chosen.host):
        yield (
            f"ANDON_HOST={chosen.host} can be reached by others, and ANDON_TOKEN is not set: Andon will not start",
            True,
        )
    if chosen.inbox and not Path(chosen.inbox).is_dir():
        yield f"ANDON_INBOX={chosen.inbox} is no folder", True
