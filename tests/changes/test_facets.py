"""What traffic can be filtered by."""

import pytest

from andon.changes.discover import MANY
from andon.changes.run import facets, find_versions
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS, SEGMENTS, VERSIONS, Interaction
from andon.traffic.run import record

US, HOUR = 1_790_000_000_000_000, 3_600_000_000


@pytest.fixture
def places(tmp_path):
    """A store and a ledger that traffic of two applications went through."""
    warehouse, ledger = Warehouse(tmp_path / "store", SCHEMAS), Ledger("sqlite://")
    yield warehouse, ledger
    warehouse.close()
    ledger.close()


def seen(warehouse, ledger, *interactions):
    """Let the loop see this traffic."""
    record(warehouse, interactions)
    warehouse.commit()
    find_versions(warehouse, ledger, now_us=US)


def test_facets_are_what_traffic_showed(places):
    """Facets name every application, version and segment that traffic showed, versions from the newest and segments from the most frequent."""
    rows = [("a/b", "p1", "low"), ("a/b", "p2", "low"), ("desk", "p9", "high"), ("100%", None, None)]
    seen(*places, *(
        Interaction(id=str(k), time_us=US + k * HOUR, app=app, prompt_version=prompt, risk_category=risk)
        for k, (app, prompt, risk) in enumerate(rows)
    ))  # fmt: skip
    found = facets(*places)
    assert set(found) == {"app", "environment", *VERSIONS, *SEGMENTS}
    assert found["app"] == ("100%", "a/b", "desk")
    assert found["environment"] == ("production",)
    assert found["prompt_version"] == ("p9", "p2", "p1")
    assert found["risk_category"] == ("low", "high")
    assert (found["task"], found["model"]) == ((), ())
    mine = facets(*places, app="a/b")
    assert (mine["app"], mine["prompt_version"], mine["risk_category"]) == (
        ("100%", "a/b", "desk"),
        ("p2", "p1"),
        ("low",),
    )
    assert facets(*places, environment="staging")["prompt_version"] == ()


def test_a_field_without_versions_has_no_facets(places):
    """A field with more values than versions are is nothing to choose from; nor is anything where no traffic was."""
    assert not any(facets(*places).values())
    seen(
        *places,
        *(Interaction(id=str(k), time_us=US + k, app="a", model="m", code_version=f"c{k}") for k in range(MANY + 5)),
    )
    assert facets(*places)["code_version"] == ()
    assert facets(*places)["model"] == ("m",)
