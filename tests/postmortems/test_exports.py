"""The record speaks the forms of databases and authorities, and says what it does not know."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import DAY, HOUR, T0, postmortem
from typer.testing import CliRunner

from andon.cli import app
from andon.errors import ConfigError, InputError
from andon.incidents import TimelineEvent
from andon.postmortems import Published, Review
from andon.postmortems.exports import DAYS, aiid_of, article_73_of, avid_of, awareness_of, deadlines, organisation_of
from andon.store import Ledger

ORGANISATION = {
    "provider": "Clinic Ltd",
    "contact": "safety@clinic.example",
    "system": "Triage",
    "member_states": "AT, DE",
}


def test_avid_has_the_fields_of_its_data_model() -> None:
    """The report has exactly the fields of avidtools' Report and values of its enumerations."""
    report = json.loads(json.dumps(avid_of(postmortem(), ORGANISATION)))
    assert set(report) == {
        "data_type", "data_version", "metadata", "affects", "problemtype", "metrics", "references", "description", "impact",
        "credit", "reported_date",
    }  # fmt: skip
    assert report["affects"] == {
        "developer": ["Clinic Ltd"], "deployer": ["Clinic Ltd"], "artifacts": [{"type": "System", "name": "Triage"}],
    }  # fmt: skip
    (metric,) = report["metrics"]
    assert metric["detection_method"] == {"type": "Significance Test", "name": "sequential e-detector on counts"}
    assert metric["results"] == {"harmed": 1234, "interactions": 20_000, "beyond the baseline": 1174.0}
    assert report["impact"]["avid"]["sep_view"] == ["P0201: Resilience/ Stability", "P0400: Safety"]
    assert "[E" not in report["description"]["value"]


def test_aiid_names_parties_only_where_they_are_known() -> None:
    """Deployer and developer come from the organisation; without it the lists are empty, and nobody is guessed."""
    known, unknown = aiid_of(postmortem(), ORGANISATION), aiid_of(postmortem(), {})
    assert known["Alleged deployer of AI system"] == ["Clinic Ltd"]
    assert unknown["Alleged deployer of AI system"] == unknown["Alleged developer of AI system"] == []
    assert known["date"] == "2026-09-21"


def test_the_clocks_of_article_73_count_from_awareness() -> None:
    """15 days in general, 10 for a death, 2 for a widespread infringement, from when the provider became aware."""
    assert deadlines(T0) == {"general": T0 + 15 * DAY, "death": T0 + 10 * DAY, "widespread": T0 + 2 * DAY}
    for kind, days in DAYS.items():
        text = article_73_of(postmortem(), ORGANISATION, aware_us=T0, kind=kind, now_us=T0 + days * DAY - HOUR)
        assert "in 60 min" in text.split("\n")[2]
        late = article_73_of(postmortem(), ORGANISATION, aware_us=T0, kind=kind, now_us=T0 + days * DAY + HOUR)
        assert "60 min ago" in late.split("\n")[2]


def test_awareness_that_nobody_had_is_assumed_and_said_so() -> None:
    """The first word of a person is awareness; before it, the clock runs from the alarm, and the report calls that assumed."""
    i = postmortem().incident
    assert awareness_of(i) == (i.noticed_us, "the first word of a person by mia")
    at, how = awareness_of(replace(i, noticed_us=None, noticed_by=None))
    assert at == i.alarmed_us
    assumed = article_73_of(postmortem(), ORGANISATION, aware_us=at, kind="general", now_us=T0, how=how)
    assert "| Time of awareness | 2026-09-21 19:13 UTC (assumed: the alarm; nobody has said anything yet (--aware)) |" in assumed  # fmt: skip
    assert "15 days after awareness (which is assumed, see below)." in assumed
    for how in ("", awareness_of(i)[1]):
        known = article_73_of(postmortem(), ORGANISATION, aware_us=at, kind="general", now_us=T0, how=how)
        assert "assumed" not in known


def test_what_is_not_known_is_for_people_to_say() -> None:
    """Entries that the record cannot fill are marked and counted; those it can are filled from it."""
    text = article_73_of(postmortem(), {}, aware_us=T0, kind="general", now_us=T0)
    empty = text.count("_to be said by people_")
    assert f"{empty} of 18 entries" in text
    assert "| Persons affected | 321 users |" in text
    assert "| Provider | _to be said by people_ |" in text
    fuller = article_73_of(postmortem(), ORGANISATION, aware_us=T0, kind="general", now_us=T0)
    assert fuller.count("_to be said by people_") == empty - 3


def test_a_report_that_no_chart_saw_names_no_onset_cause_or_extent() -> None:
    """What nothing measured is said not to be known: neither an onset nor a cause nor how many were hit is made up.

    Levers are told whenever they were pulled, and reports are counted.
    """
    p = postmortem()
    bare = replace(p.investigation, impact=replace(p.investigation.impact, n=0, harmed=0))
    p = replace(p, incident=replace(p.incident, lead=""), investigation=bare)
    text = article_73_of(p, {}, aware_us=T0, kind="general", now_us=T0)
    assert "| reported 2026-09-21 19:13 UTC; when it began is not known |" in text
    assert "| Most probable cause so far | _to be said by people_ |" in text
    assert "| Extent | not measured: 1 reported answer |" in text
    pull, *_ = p.timeline
    before = replace(pull, happened_us=p.incident.onset_low_us - HOUR)
    said = tuple(replace(pull, id=f"r{n}", kind="report", text="wrong") for n in range(3))
    text = article_73_of(replace(p, timeline=(before, *said)), {}, aware_us=T0, kind="general", now_us=T0)
    assert "| Containment | safe answer pulled" in text
    assert "| Extent | not measured: 3 reported answers |" in text
    led = replace(p, incident=replace(p.incident, lead="s1"), timeline=(before,))
    text = article_73_of(led, {}, aware_us=T0, kind="general", now_us=T0)
    assert "| Containment | _to be said by people_ |" in text


def test_text_of_traffic_cannot_break_the_report() -> None:
    """Titles and entries that hold markup are shown as they are, not obeyed."""
    p = postmortem()
    p = replace(p, incident=replace(p.incident, title="<script>x</script> | [a](http://evil.example)"))
    text = article_73_of(p, ORGANISATION, aware_us=T0, kind="general", now_us=T0)
    assert "<script" not in text
    assert "<b>" not in text
    assert "](http:" not in text


@pytest.mark.parametrize("table", ["x", {"provider": 1}, {"povider": "x"}])
def test_a_wrong_table_is_refused(table: object) -> None:
    """A key that is unknown or no text is named."""
    with pytest.raises(ConfigError, match="organisation"):
        organisation_of({"organisation": table})


def test_the_command_writes_each_form(
    type_: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AVID and AIID are JSON, Article 73 is Markdown; the table of andon.toml is read.

    A time of awareness ahead is refused, and one before the onset where a chart dates that; what people reported takes any.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("andon.cli.exports.now_us", lambda: T0 + 9 * DAY)
    monkeypatch.setenv("ANDON_EMBEDDER", "hashed")
    (tmp_path / "andon.toml").write_text('[organisation]\nprovider = "Clinic Ltd"\n')
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    p = postmortem()
    ledger.put(p.incident, now_us=T0, by="test")
    ledger.put(p, now_us=T0, by="test")
    ledger.close()
    runner = CliRunner()
    for form in ("avid", "aiid"):
        done = runner.invoke(app, ["postmortem", "export", "INC-0001", "--as", form, "--out", f"out/{form}.json"])
        assert done.exit_code == 0, done.exception
        assert "Clinic Ltd" in json.dumps(json.loads((tmp_path / "out" / f"{form}.json").read_text("utf-8")))
    done = runner.invoke(app, ["postmortem", "export", "INC-0001", "--as", "article-73", "--kind", "death"])
    assert done.output.startswith("# Report of a serious incident (EU AI Act, Article 73): INC-0001")
    assert "assumed" not in done.output
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    ledger.put(replace(p.incident, noticed_us=None), now_us=T0, by="test")
    ledger.close()
    alone = ["postmortem", "export", "INC-0001", "--as", "article-73"]
    assert "assumed: the alarm" in runner.invoke(app, alone).output
    assert "assumed" not in runner.invoke(app, [*alone, "--aware", "2026-09-22T00:00:00Z"]).output
    for wrong, why in (
        ("2099-01-01T00:00:00Z", "lies ahead"),
        ("2020-01-01T00:00:00Z", "before INC-0001 can have begun"),
    ):
        refused = runner.invoke(app, [*alone, "--aware", wrong])
        assert isinstance(refused.exception, InputError)
        assert why in str(refused.exception)
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    ledger.put(replace(p.incident, lead=""), now_us=T0, by="test")  # nothing dates the onset of what people reported
    ledger.close()
    early = runner.invoke(app, [*alone, "--aware", "2026-09-20T00:00:00Z"])
    assert "2026-10-05 00:00 UTC" in early.output
    refused = runner.invoke(app, [*alone, "--aware", "2099-01-01T00:00:00Z"])
    assert "lies ahead" in str(refused.exception)
    code, _, err = type_("postmortem", "export", "INC-0001", "--as", "avid", "--kind", "x")
    assert code == 2
    assert "'x' is no clock of Article 73; one of general, death, widespread is" in err


def test_what_is_handed_over_is_the_incident_as_it_is_now(
    type_: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """A lever that was held after the last draft is containment; what was published is handed over as it was published."""
    (tmp_path / "home").mkdir()
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    p = replace(postmortem(), timeline=())
    pulled = TimelineEvent(
        id="x",
        incident=p.id,
        happened_us=T0 + 9 * HOUR,
        learned_us=T0 + 9 * HOUR,
        kind="lever",
        text="lever strict held",
    )
    for record in (p.incident, p, pulled):
        ledger.put(record, now_us=T0, by="test")
    words = ["postmortem", "export", p.id, "--as", "article-73"]
    assert "| Containment | lever strict held |" in type_(*words)[1]
    old = replace(p, summary=("As it was signed.",), review=Review(id=p.id, status="published"))
    ledger.put(Published(id=p.id, postmortem=old, at_us=T0, by="ann"), now_us=T0, by="ann")
    ledger.close()
    assert "As it was signed." in type_("postmortem", "export", p.id, "--as", "aiid")[1]
    code, _, err = type_("postmortem", "export", "INC-0404", "--as", "aiid")
    assert (code, "INC-0001" in err) == (2, True)


def test_no_cause_is_told_to_an_authority_as_certain() -> None:
    """A probability that rounds to 100 % is told as more than 99 %."""
    p = postmortem()
    first = replace(p.investigation.suspects[0], probability=0.9996)
    p = replace(p, investigation=replace(p.investigation, suspects=(first,)))
    (line,) = [
        x for x in article_73_of(p, {}, aware_us=T0, kind="general", now_us=T0).splitlines() if "cause so far" in x
    ]
    assert "99 %" in line
    assert "100" not in line
