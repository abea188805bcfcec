"""Laws of the blocks: figures lead to their evidence, texts say what tables do not, sign-offs are of this text."""

from dataclasses import replace
from typing import Any

import pytest
from drafted import HOUR, T0, incident, investigation, minimal, postmortem, signal
from jinja2 import Environment

from andon.incidents import TimelineEvent
from andon.investigations import Analysis, Evidence, Gap, Impact, Investigation
from andon.investigations.run.disproof import ASK_FOR_TARGETS
from andon.postmortems import ContributingFactor, Criterion, Postmortem, SignOff, propose_actions, render_markdown
from andon.postmortems.blocks import BLOCKS
from andon.postmortems.draft import CANNOT_TELL, STALE, contributing_factors, harmed_by_alarm, summarise
from andon.postmortems.lessons import interactions, layers
from andon.postmortems.markdown import signed_text
from andon.postmortems.review import digest_of

HEAD = ("metric", "before", "since", "difference, interval", "verdict")
SILENT = Analysis(
    name="silent regression",
    found="yes",
    text="Quality fell while calls succeeded; harm (refusal up) 3 % to 61.7 % (+55 to +60 points); policy refusal 1 % to 9 % "
    "(+5 to +10 points); unmoved: error 0 % to 0 %, latency s 1.2 to 1.2; refusal is what people see; of 157 questions asked "
    "twice, 54 fail only since.",
    rows=(
        HEAD,
        ("harm (refusal up)", "3 %", "61.7 %", "+55 to +60 points", "moved"),
        ("policy_refusal", "1 %", "9 %", "+5 to +10 points", "moved"),
        ("refusal", "1 %", "9 %", "+5 to +10 points", "moved"),
        ("error", "0 %", "0 %", "", "the same"),
        ("latency_s", "1.2", "1.2", "", "the same"),
    ),
    evidence=("E6", "E7", "E9"),
)


def figure(name: str, claim: str) -> Evidence:
    """A figure with this id and claim."""
    return Evidence(id=name, claim=claim, plan={"plan": "Rollup"}, figures={"refusal.n": 9.0})


def told(found: Investigation, block: str) -> str:
    """What a block prints of an investigation."""
    return BLOCKS[block](replace(postmortem(), investigation=found))


def test_a_text_beside_a_table_does_not_say_its_rows_again() -> None:
    """The text keeps what was found and what no row holds; the figures of single rows stand in the table only."""
    text, table = told(replace(investigation(), analyses=(SILENT,)), "analyses").split("\n\n")
    assert text.startswith(
        "**Silent regression.** Quality fell while calls succeeded; refusal is what people see; of 157 "
    )
    assert "61.7" not in text
    assert "latency" not in text
    assert "| 61.7 % |" in table
    bare = told(replace(investigation(), analyses=(replace(SILENT, rows=()),)), "analyses")
    assert "61.7 %" in bare


def test_a_causes_layer_names_what_was_found_without_its_figures() -> None:
    """The table of layers takes the first words of an analysis; its figures stand where it is told."""
    p = replace(postmortem(), investigation=replace(investigation(), analyses=(SILENT,)))
    assert "silent regression: Quality fell while calls succeeded;" in f"{dict(layers(p))['monitoring']};"
    assert "61.7" not in dict(layers(p))["monitoring"]


def test_figures_of_tables_lead_to_their_evidence() -> None:
    """Rows of an analysis, tiles, impact and counts by value carry the references of their own figures, and no others'."""
    kept = (
        *investigation().evidence,
        figure("E6", "policy refusal before the onset"),
        figure("E7", "policy refusal since the onset"),
        figure("E8", "policy refusal since the onset"),  # of another analysis
        figure("E9", "something else of this analysis"),
        figure("E10", "interactions before the onset by segment"),
        figure("E11", "harmed interactions since the onset by segment"),
        figure("E12", "interactions since the onset by prompt version"),
    )
    found = replace(investigation(), analyses=(SILENT,), evidence=kept)
    text, table = told(found, "analyses").split("\n\n")
    assert "| policy\\_refusal [[E6]](#evidence) [[E7]](#evidence) | 1 %" in table
    assert "| harm (refusal up) [[E1]](#evidence) [[E2]](#evidence) [[E3]](#evidence) [[E4]](#evidence) | 3 %" in table
    assert "| error | 0 %" in table
    assert text.endswith("[[E9]](#evidence)")
    assert "[[E6]]" not in text
    assert "2,000 interactions [[E3]](#evidence) [[E4]](#evidence) |" in told(found, "facts")
    assert "beyond the baseline [[E3]](#evidence) [[E4]](#evidence) [[E1]](#evidence) [[E2]](#evidence) |" in told(found, "impact")  # fmt: skip
    assert "Counted by segment [[E10]](#evidence) [[E11]](#evidence)." in told(found, "scope")


def test_the_footer_promises_what_is_true() -> None:
    """Only the figures of the table are said to be computable again; those without a reference are said not to be."""
    text = BLOCKS["evidence"](postmortem())
    assert "andon evidence verify INC-0001 checks E1 to E8." in text
    assert "Those without one, such as users" in text
    assert "Each figure can" not in text


def test_what_was_not_asked_again_is_said_once() -> None:
    """The test of targets says "cannot tell" once, as its result, and prints no incident that is none."""
    assert "cannot tell" not in ASK_FOR_TARGETS
    assert "INC" not in ASK_FOR_TARGETS


def test_harm_without_a_slice_is_everywhere_alike() -> None:
    """Systematic harm of which no part has surely more is said to be alike; not where no part can be told apart."""
    alike = "Everywhere alike: no part of the traffic surely has more than the rest."
    found = replace(investigation(), slices=())
    assert alike in told(found, "scope")
    assert "systematic; everywhere alike" in told(found, "checklist")
    assert alike not in told(investigation(), "scope")
    assert alike not in told(replace(found, verdict="undecided"), "scope")
    assert alike not in told(replace(found, parts=()), "scope")


@pytest.mark.parametrize(
    ("subject", "times", "text"),
    [
        ("cases of INC-0001", 5, "all golden cases of INC-0001 pass 5 runs in a row"),
        ("G-1", 1, "golden case G-1 passes one run"),
        ("G-1, G-2", 2, "golden cases G-1, G-2 pass 2 runs in a row"),
        ("G-1 G-2", 1, "golden cases G-1 G-2 pass one run"),
    ],
)
def test_a_criterion_reads_as_a_sentence(subject: str, times: int, text: str) -> None:
    """One case passes, several pass, and all of an incident's are said to be all."""
    assert Criterion(kind="case passes", subject=subject, times=times).text == text


def test_a_proposal_keeps_its_number() -> None:
    """A decision is kept by its number, so no other proposal takes that number when one comes or goes."""
    own = investigation()
    every = {a.id: a.kind for a in propose_actions(incident(), own, signal())}
    fewer = {a.id: a.kind for a in propose_actions(incident(), replace(own, examples=()), signal())}
    assert sorted(every.items() - fewer.items()) == [("INC-0001-A1", "prevent")]
    assert fewer.items() <= every.items()
    assert fewer["INC-0001-A4"] == "mitigate"


def test_corpus_and_index_are_apart_from_the_change_to_the_alarm() -> None:
    """The time that they were apart begins with the change, not with the onset that the harm began at."""
    factors = tuple(ContributingFactor(area=a, text="x") for a in ("data", "observability"))
    first = replace(investigation().suspects[0], at_us=T0 - 19 * HOUR, supports=(f"the {STALE} after it",))
    p = replace(postmortem(), factors=factors, investigation=replace(investigation(), suspects=(first,)))
    assert interactions(p) == (
        "data × observability: corpus and index were apart for 22 h before a chart had enough evidence, because only answers "
        "are watched",
    )
    unknown = replace(p, investigation=replace(p.investigation, suspects=(replace(first, at_us=None),)))
    assert "were apart before a chart had" in interactions(unknown)[0]
    reported = replace(p, incident=replace(p.incident, lead=""))
    assert "before whoever reported it had" in interactions(reported)[0]


def signed_by(p: Postmortem, *signoffs: SignOff) -> Postmortem:
    """The postmortem with these sign-offs."""
    return replace(p, review=replace(p.review, signoffs=signoffs))


def test_a_lapsed_sign_off_is_none() -> None:
    """A document in review shows who signed this very text; who signed another one does not stand by it."""
    p = postmortem()
    now, old = (
        SignOff(by="ann", at_us=T0, digest=digest_of(signed_text(p))),
        SignOff(by="bob", at_us=T0, digest="0" * 64),
    )
    assert "## Signed off\n\nann on 2026-09-21." in render_markdown(signed_by(p, now, old))
    assert "Signed off" not in render_markdown(signed_by(p, old))


def test_a_template_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often documents are made of it, a template is read and compiled once."""
    reads = []
    parse = Environment._parse

    def counted(*args: Any) -> Any:
        reads.append(args)
        return parse(*args)

    monkeypatch.setattr(Environment, "_parse", counted)
    p = replace(minimal(), layout="# {{ incident.id }}\n\n{{ people('One of this test', 'why?') }}\n")
    texts = {render_markdown(p) for _ in range(3)}
    made = len(reads)
    assert texts == {render_markdown(p)}
    assert 0 < made == len(reads) <= 3  # asked for its sections, checked, compiled


def test_what_went_out_before_the_alarm_is_what_the_signal_counted() -> None:
    """Harmed answers between onset and first alarm are those of the signal that raised it: no later one, no other metric."""
    i, lead = replace(incident(), alarmed_us=T0 + HOUR), signal()
    first = replace(lead, id="w", at_us=T0 + HOUR, level="warning", x=43, n=100)
    other = replace(first, id="o", metric="error", x=99)
    assert harmed_by_alarm(i, [other, first, lead]) == (43, 100)
    assert harmed_by_alarm(i, [replace(first, stands_for=10.0), lead]) == (430, 1000)
    assert harmed_by_alarm(i, [replace(first, x=50, n=60), replace(first, id="v", scope=i.scope), lead]) == (43, 100)
    assert harmed_by_alarm(i, [other, lead]) is None
    assert harmed_by_alarm(i, []) is None
    assert harmed_by_alarm(i, [replace(s, metric="traffic") for s in (first, lead)]) is None


def test_a_published_document_says_when_and_up_to_when_it_has_data() -> None:
    """The status line of a published text tells its own time and that of its data; a draft tells the time of the draft."""
    p = replace(postmortem(), at_us=T0 + 6 * HOUR)
    assert BLOCKS["status"](p).endswith("in review of 2026-09-21 20:13 UTC**")
    for status in ("published", "amended"):
        done = replace(p, review=replace(p.review, status=status), published_us=T0 + 48 * HOUR)
        assert BLOCKS["status"](done).endswith(f"{status} 2026-09-23 14:13 UTC, with data to 2026-09-21 19:13 UTC**")
    old = replace(done, published_us=None)
    assert BLOCKS["status"](old).endswith("amended, with data to 2026-09-21 19:13 UTC**")
    assert signed_text(done) == signed_text(p)


def test_references_lead_nowhere_only_as_text() -> None:
    """Where a template leaves the evidence out, references are plain; where it prints it, they lead there."""
    p = replace(postmortem(), layout="# x\n\n{{ summary }}\n")
    assert "[E3] [E4]" in render_markdown(p)
    assert "#evidence" not in render_markdown(p)
    assert "[[E3]](#evidence)" in render_markdown(replace(p, layout=p.layout + "\n## Evidence\n\n{{ evidence }}\n"))


def test_the_gap_is_a_reason_and_a_table() -> None:
    """Why it was late is said once, in short sentences; the lag stands in a table, and no layer pastes all of it."""
    text = (
        "60 min from the estimated onset to the first alarm (between 40 min and 75 min, 95 %); the evidence was 50 harmed of "
        "111 interactions; visible after 38 s, alarmed after 60 min, nobody was told; evaluation lag: the evidence needed "
        "this long; of the limits that were replayed none would have been sooner"
    )
    p = postmortem()
    i = replace(p.incident, visible_us=T0 + 38_000_000, alarmed_us=T0 + HOUR, onset_high_us=T0)
    p = replace(p, incident=i, investigation=replace(p.investigation, gap=Gap(kind="evaluation lag", text=text)))
    told = BLOCKS["detection"](p)
    assert told.startswith(
        "**Evaluation lag**: the evidence needed this long. The evidence was 50 harmed of 111 interactions. Of the limits"
    )
    assert "| onset → first visible to users | 1 min |  |\n| onset → alarmed | 60 min |" in told
    assert "| alarmed → noticed by a person | nobody has said anything yet |" in told
    assert told.lower().count("evaluation lag") == 1
    assert "evaluation lag: the evidence needed this long" in dict(layers(p))["monitoring"]
    assert "60 min" not in dict(layers(p))["monitoring"]
    seen = replace(p, incident=replace(i, noticed_us=T0 + 3 * HOUR))
    assert "| alarmed → noticed by a person | 2 h |" in BLOCKS["detection"](seen)


def test_a_report_without_a_chart_names_no_cause() -> None:
    """Where no signal dates the onset, no cause is named, no action follows from one, and reported answers are counted."""
    foreign = replace(investigation().suspects[0], own=False, kind="provider", supports=(f"the {STALE}",))
    bare = Impact(n=0, harmed=0, excess=0.0, users=None, sessions=None)
    found = replace(investigation(), suspects=(foreign, *investigation().suspects), impact=bare)
    i = replace(incident(), lead="", metric="", signals=())
    assert [f.area for f in contributing_factors(i, found)] == ["observability", "testing"]
    assert propose_actions(i, found, None)[1].title == "Find the cause, and add the case that shows it"
    reports = [
        TimelineEvent(id=f"r{k}", incident=i.id, happened_us=T0, learned_us=T0, kind="report", text="wrong")
        for k in range(2)
    ]
    p = replace(
        postmortem(),
        incident=i,
        investigation=found,
        points=(),
        timeline=tuple(reports),
        factors=contributing_factors(i, found),
        actions=propose_actions(i, found, None),
        summary=summarise(i, found, None),
    )
    for template in ("llm", "ml", "questions"):
        text = render_markdown(replace(p, review=replace(p.review, template=template)))
        assert CANNOT_TELL in text
        assert "not measured: 2 reported answers" in text
        assert "**cannot tell** nothing dates the onset" in text
        assert "began (estimated)" not in text
        for wrong in ("90 %", "most probable", "nothing of ours", "names no users", "traffic is left", "Pin the model"):
            assert wrong not in text


def test_no_time_since_the_onset_is_finer_than_the_onset_is_known() -> None:
    """Six seconds after an onset that is known within two hours are no seconds; within ten seconds they are."""
    p = postmortem()
    i = replace(p.incident, visible_us=T0 + 6_000_000)
    for low, said in ((i.onset_low_us, "T+0"), (T0 - 9_000_000, "T+6 s")):
        known = replace(i, onset_low_us=low, onset_high_us=max(T0, low + 2 * (T0 - low)) if said == "T+0" else T0)
        table = BLOCKS["milestones"](replace(p, incident=known))
        (row,) = [line for line in table.splitlines() if "first visible" in line]
        assert row.endswith(f"| {said} |")
    quick = replace(i, alarmed_us=T0 + 50_000_000)
    assert "**1 min** 0 min to 61 min, 95 %" in BLOCKS["facts"](replace(p, incident=quick))


def test_what_leads_to_evidence_leads_there() -> None:
    """A slice by a field of two words, what is usually watched and the confidence lead to their figures, wherever they are kept."""
    found = investigation()
    (part,) = found.slices[:1]
    part = replace(part, where={"risk_category": "high"})
    claims = {
        "S1": "harmed interactions since the onset in risk_category high",
        "S2": "interactions since the onset in risk_category high",
        "C1": "failing answers with a confidence of at least 0.5",
    }
    p = postmortem()
    figures = [figure(f"E{70 + k}", claim) for k, claim in enumerate(claims.values())]
    found = replace(found, slices=(part,), evidence=(*found.evidence, *figures))
    p = replace(p, investigation=found)
    assert "risk category “high” [[E70]](#evidence) [[E71]](#evidence)" in BLOCKS["scope"](p)
    assert "[[E72]](#evidence)." in BLOCKS["examples"](p)
    assert "raised no signal [[E6]](#evidence) [[E7]](#evidence):" in BLOCKS["surprise"](p)


def test_an_answer_that_is_the_expected_one_stands_once() -> None:
    """The comparison leaves out what the column of expected answers shows already, and is left out when nothing is left."""
    found = investigation()
    first = found.examples[0]
    twin = replace(found.passing[0], question=first.question, answer=first.expected or "")
    assert "For comparison" not in told(replace(found, passing=(twin,)), "examples")
    other = replace(twin, answer="another right answer")
    assert "another right answer" in told(replace(found, passing=(twin, other)), "examples")


def test_the_first_sentence_says_who_was_harmed_and_that_it_is_not_over() -> None:
    """Since when, until when, how many of how many, their share, where, of which app; a span only once somebody says it is over."""
    i = replace(incident(), app="legal", scope={"task": "case law"})
    first, _, _ = summarise(i, investigation(), signal())
    assert first.startswith("Since 2026-09-21 14:13 UTC, and not over at ")
    assert (
        "1,234 of 2,000 interactions (61.7 %) in task “case law” of app legal were harmed: answers that refuse [E3, E4]"
        in first
    )
    over, _, _ = summarise(replace(i, stabilised_us=T0 + HOUR), investigation(), signal())
    assert over.startswith("Between 2026-09-21 14:13 UTC and ")


def test_an_explanation_that_nobody_would_take_is_not_named() -> None:
    """The summary names the next explanation from one in a hundred."""
    found = investigation()
    one, two, *_ = found.suspects
    for probability, named in ((0.2, True), (0.005, False)):
        suspects = (one, replace(two, probability=probability))
        assert ("next explanation" in summarise(incident(), replace(found, suspects=suspects), signal())[2]) is named


def test_what_somebody_else_changed_does_not_say_that_we_changed_nothing() -> None:
    """Beside a change that is not ours there may be ours: the factor speaks of that change alone."""
    found = investigation()
    foreign = replace(
        found, suspects=(replace(found.suspects[0], own=False, title="the provider moved"), *found.suspects[1:])
    )
    (text,) = [f.text for f in contributing_factors(incident(), foreign) if f.area == "dependency"]
    assert text.startswith("“the provider moved” is not our change, so no review")
