"""Laws of machine tokens over the whole process: real HTTP, real store."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from andon.access import TokenUse
from andon.access.run import make_token, revoke_token
from andon.levers import Lever
from andon.levers.run import declare
from andon.scores import SCORERS, score_schema
from andon.server import Server, create_server, now_us
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS

FLAG = "/ofrep/v1/evaluate/flags/x"


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    until = time.monotonic() + 8
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def status(server: Server, path: str, secret: str | None) -> int:
    """What a program with a token is answered."""
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    return httpx2.post(f"http://127.0.0.1:{server.port}{path}", json={}, headers=headers, verify=False).status_code


@pytest.mark.parametrize("token", ["", "t0ken"])
def test_a_token_counts_from_its_making_to_its_end(tmp_path: Path, token: str) -> None:
    """A token that another process makes opens its scope within a second, which is noted, and nothing once it is revoked or over."""
    path = tmp_path / "ledger.db"
    warehouse = Warehouse(tmp_path / "warehouse", {**SCHEMAS, "scores": score_schema(SCORERS)})
    other = Ledger.open(path)
    declare(other, Lever(id="x", kind="boolean", default=False, safe=True), now_us(), "ann")
    with create_server(warehouse, Ledger.open(path), None, token=token).running() as server:
        made, secret = make_token(other, "app", ["levers"], by="ann", now_us=now_us())
        short, brief = make_token(other, "app", ["levers"], by="ann", now_us=now_us(), until_us=now_us() + 2_000_000)
        eventually(lambda: status(server, FLAG, secret) == 200)
        assert status(server, "/v1/interactions", secret) == 403
        assert status(server, FLAG, secret + "x") == 401
        assert status(server, FLAG, None) == (401 if token else 200)
        eventually(lambda: now_us() > (short.until_us or 0))
        assert status(server, FLAG, brief) == 401
        eventually(lambda: other.get(TokenUse, made.id) is not None)
        revoke_token(other, made.id, by="ann", now_us=now_us())
        eventually(lambda: status(server, FLAG, secret) == 401)
    other.close()
