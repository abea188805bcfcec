"""The ranker on the deploy ledger of a public service with real incidents (`changes-mybinder`): times and kinds only."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from andon.changes import Change
from andon.investigations import Candidate, Suspect, Traffic, rank_suspects

MINUTE = 60_000_000
KIND = {"config": "config", "chart_version": "code", "code": "code", "ci": "other", "docs": "other"}
PAGE = Path(__file__).parents[2] / "docs" / "methods" / "suspects.md"
UNKNOWN = Traffic(shifted=False, explained=0.0, tested=False)


@pytest.fixture(scope="module")
def pack() -> Path:
    """The folder of the pack; without it the tests are skipped and say how to have it."""
    data = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (data / "changes-mybinder").is_dir():
        pytest.skip(f"no real data in {data}: put the packs there, or name their folder in SHARED_DATA")
    return data / "changes-mybinder"


def _us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e6)


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ranked(incident: dict, ledger: list[dict]) -> tuple[Suspect, ...]:
    """Rank the deploys of the week before, with a start that is known to half an hour as the pack says."""
    start = _us(incident["started_at"] or incident["detected_at"])
    onset = tuple((start + k * 5 * MINUTE, 1 / 12) for k in range(-6, 6))
    latest = onset[-1][0] + 5 * MINUTE
    candidates = [
        Candidate(
            change=Change(id=c["change_id"], at_us=_us(c["at"]), kind=KIND[c["area"]], title=c["title"] or "untitled")
        )
        for c in ledger
        if c["incident_id"] == incident["incident_id"] and _us(c["at"]) <= latest
    ]
    return rank_suspects(
        candidates,
        metric="error",
        scope={},
        onset=[(at, at + 5 * MINUTE, p) for at, p in onset],
        baseline=0.01,
        traffic=UNKNOWN,
    )


def found(pack: Path) -> list[tuple[str, int, int | None, float, float]]:
    """(incident, candidates, rank of the guilty deploy or None, probability of the first deploy, of "no own change")."""
    rows = []
    ledger = _lines(pack / "changes.jsonl")
    for incident in _lines(pack / "incidents.jsonl"):
        suspects = ranked(incident, ledger)
        own = [s for s in suspects if s.own]
        nobody = sum(s.probability for s in suspects if not s.own)
        guilty = set(incident["culprit_change_ids"])
        rank = next((k for k, s in enumerate(own, 1) if s.id in guilty), None) if guilty else None
        first = own[0].probability if own else 0.0
        rows.append((incident["incident_id"], len(own), rank, first, nobody))
    return rows


def test_guilty_deploys_and_incidents_without_one(pack: Path) -> None:
    """The ranks of the guilty deploys and the abstentions are those that the page of the method publishes."""
    rows = found(pack)
    guilty = {
        name
        for name, *_ in rows
        if name in {i["incident_id"] for i in _lines(pack / "incidents.jsonl") if i["culprit_change_ids"]}
    }
    ranks = [rank for name, _, rank, _, _ in rows if name in guilty]
    innocent = [row for row in rows if row[0] not in guilty]
    first = sum(nobody >= top for _, _, _, top, nobody in innocent)
    accused = sum(top >= 0.9 for _, _, _, top, _ in innocent)
    said = (
        f"ranks of the {len(ranks)} guilty deploys among the deploys: {', '.join(str(r) for r in ranks)}; "
        f'"no own change" first in {first} of {len(innocent)} incidents without one; '
        f"a deploy accused with 90 % or more in {accused} of them"
    )
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert said in page, f"put this on the page: {said}\n" + "\n".join(map(str, rows))
