"""The pages of incidents: what they show."""

import csv
import io
import re

import pytest
from browsing import NOW, House, Seen
from harmed import HOSTILE, HOUR, ONSET, NoWork, Work, an_incident, looked_into, raised

from andon.incidents import Delivery, ExitCriterion, Recovery, Report, RunbookEntry, RunbookState, Step
from andon.incidents.run.runbook import runbook_for
from andon.incidents.run.timeline import event
from andon.incidents.runbooks import ANSWERS
from andon.levers import Effect, Lever
from andon.levers.run import declare, hold
from andon.monitors import Point
from andon.postmortems import Postmortem
from andon.web.pages.incidents_text import PLACES

ONE = "/incidents/INC-0001"


def whole(house: House, text: str = "") -> None:
    """An incident with everything that its page can show, and `text` wherever others write."""
    incident = an_incident(
        house, title=f"Wrong answers rose{text}", app=f"bot{text}", acked_us=NOW - HOUR, acked_by=f"Rob{text}"
    )
    raised(house, incident)
    found = looked_into(house, text=text)
    ledger = house.ledger
    points = tuple(
        Point(start_us=ONSET + n * HOUR, end_us=ONSET + (n + 1) * HOUR, x=n, n=10, centre=0.1, low=0.0, high=0.3)
        for n in range(-5, 5)
    )
    drafted = Postmortem(
        id="INC-0001", at_us=NOW, incident=incident, investigation=found, points=points, chart_title=f"wrong{text}"
    )
    ledger.put(drafted, now_us=NOW, by="andon")
    for n, kind in enumerate(("change", "onset", "signal", "lever", "state", "note", "report")):
        event(ledger, incident, ONSET + n * HOUR // 4, ONSET + HOUR, kind, f"what {kind} said{text}", by=f"who{text}")
    criteria = (
        ExitCriterion(
            id="C1",
            kind="metric",
            text=f"the chart stays inside{text}",
            measured=f"3 h of 48 h{text}",
            met=False,
            at_us=NOW,
        ),
        ExitCriterion(id="C2", kind="check", text=f"a person has looked{text}"),
    )
    steps = (Step(id="S1", text=f"a tenth{text}", check=f"an hour{text}"), Step(id="S2", text="all", check="a day"))
    ledger.put(Recovery(id="INC-0001", criteria=criteria, steps=steps), now_us=NOW, by="andon")
    book = runbook_for(house.site.settings.config, None)
    answers = [
        RunbookEntry(item=i.id, text=f"so it is{text}", found="no", link="-", at_us=NOW) for i in book.items if i.answer
    ]
    entries = (*answers, RunbookEntry(item="read", text=f"ten read{text}", by=f"Rob{text}", at_us=NOW))
    ledger.put(RunbookState(id="INC-0001", runbook=book, entries=entries), now_us=NOW, by="andon")
    report = Report(
        id="REP-1", incident="INC-0001", text=f"it is wrong{text}", app="bot", environment="production", interaction_id=f"i/9{text}",
        by=f"desk{text}", at_us=NOW - HOUR,
    )  # fmt: skip
    ledger.put(report, now_us=NOW, by="andon")
    told = Delivery(
        id="INC-0001/1/chat", incident="INC-0001", reason="opened", channel=f"chat{text}", severity="P2", signal_us=ONSET,
        at_us=ONSET + 2 * HOUR, state="failed", error=f"no answer{text}",
    )  # fmt: skip
    ledger.put(told, now_us=NOW, by="andon")


def with_levers(house: House) -> None:
    """A lever that is held for the incident, with its effect, and one that is not."""
    for name in ("bot.model", "bot.switch"):
        declare(house.ledger, Lever(id=name, kind="string", default="new", safe="old", app="bot"), ONSET, by="Ada")
    pull = hold(
        house.ledger,
        "bot.model",
        "old",
        why="to stop it",
        by="Rob",
        until_us=NOW + HOUR,
        now_us=ONSET + 2 * HOUR,
        incident="INC-0001",
    )
    effect = Effect(
        id=f"{pull.id}:exact_match", pull=pull.id, metric="exact_match", direction="down", scope={}, before_x=40, before_n=100, after_x=1,
        after_n=100, difference=-0.39, low=-0.5, high=-0.3, from_us=ONSET, until_us=NOW, at_us=NOW, text="harm fell by 39 points",
    )  # fmt: skip
    house.ledger.put(effect, now_us=NOW, by="andon")


def test_without_an_incident_the_list_says_how_one_comes(house: House) -> None:
    """An empty list says why it is empty and what would fill it."""
    seen = house.visitor("viewer").sees("/incidents")
    assert "There has been no incident yet" in seen.text
    assert "/incidents/report" not in seen.forms


def test_what_harms_users_now_comes_first(house: House) -> None:
    """Open incidents stand before closed ones, harm that goes on before harm that was stopped, the worse first."""
    an_incident(house, "INC-0001", severity="P1", state="stabilised", stabilised_us=NOW)
    an_incident(house, "INC-0002", severity="P3")
    an_incident(house, "INC-0003", severity="P2")
    an_incident(
        house, "INC-0004", severity="P1", state="closed", closed_us=NOW, closed_why="it is over", closed_as="recovered"
    )
    seen = house.visitor("viewer").sees("/incidents?state=all")
    links = [x.rpartition("/")[2] for x in seen.links if re.fullmatch(r"/incidents/INC-\d+", x)]
    assert links == ["INC-0003", "INC-0002", "INC-0001", "INC-0004"]
    assert "3 open incidents" in seen.text
    assert "it is over" not in house.visitor("viewer").sees("/incidents").text


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("app=bot", {"INC-0001", "INC-0002"}), ("severity=P1", {"INC-0002"}), ("class=safety", {"INC-0003"}),
        ("phase=stabilised", {"INC-0001"}), ("text=Wrong+BOT", {"INC-0001", "INC-0002"}), ("text=nothing+like+it", set()),
        ("state=closed", set()), ("from=zzz", {"INC-0001", "INC-0002", "INC-0003"}),
    ],
)  # fmt: skip
def test_a_filter_shows_what_fits(house: House, query: str, names: set[str]) -> None:
    """A link with a filter shows the incidents that fit, and the same ones as a file."""
    an_incident(house, "INC-0001", state="stabilised", stabilised_us=NOW)
    an_incident(house, "INC-0002", severity="P1")
    an_incident(house, "INC-0003", app="other", impact="safety", title="Other answers")
    visitor = house.visitor("viewer")
    seen = visitor.sees(f"/incidents?{query}")
    assert {x.rpartition("/")[2] for x in seen.links if re.fullmatch(r"/incidents/INC-\d+", x)} == names
    rows = list(csv.DictReader(io.StringIO(visitor.get(f"/incidents?{query}&as=csv&table=incidents").text)))
    assert {r["incident"] for r in rows} == names


def test_a_long_list_has_pages(house: House) -> None:
    """Fifty incidents stand on a page, the others behind a link; a file has them all."""
    for n in range(1, 61):
        an_incident(house, f"INC-{n:04d}", alarmed_us=ONSET + n)
    visitor = house.visitor("viewer")
    first, second = visitor.sees("/incidents"), visitor.sees("/incidents?from=50")
    found = [{x for x in s.links if re.fullmatch(r"/incidents/INC-\d+", x)} for s in (first, second)]
    assert [len(f) for f in found] == [50, 10]
    assert not found[0] & found[1]
    assert len(visitor.get("/incidents?as=json&table=incidents").json()) == 60


def test_the_head_says_what_for_whom_since_when_and_how_sure(house: House) -> None:
    """The first sentences name the harm, the interval of the onset, the likeliest cause with its odds, and the verdict."""
    whole(house)
    text = house.visitor("viewer").sees(ONE).text
    for words in (
        "Wrong answers rose",
        "between",
        "(95 %)",
        "a new model",
        "93 %",
        "systematic, 40 of 100 interactions harmed, 12 users hit",
    ):
        assert words in text[:1200], words


def test_a_figure_and_its_sign_stay_on_one_line(house: House) -> None:
    """In what stands large no line begins with a percent sign: on the home page, in the list, on the incident's own page."""
    an_incident(house)
    for path in ("/", "/incidents", ONE):
        assert "rose from 1\u00a0% to 40\u00a0%" in house.visitor("viewer").get(path).text, path


def test_everything_about_an_incident_is_on_its_page(house: House) -> None:
    """Phases, four questions, levers with effects, recovery, runbook, timeline, reports, deliveries and evidence are shown."""
    whole(house)
    with_levers(house)
    seen = house.visitor("responder").sees(ONE)
    wanted = (
        "noticed", "Is it safe?", "Yes.", "No.", "passing twin", "a passage", "it came first", "others changed too", "put it back",
        "more of it, more harm", "Systematic", "task law", "Evaluation lag", "a tighter limit", "Quality fell", "harm fell by 39 points",
        "Hold it for this incident", "the chart stays inside", "3 h of 48 h", "a tenth", "ten read", "what note said",
        "it is wrong", "no answer", "harmed interactions since the onset", "learned",
    )  # fmt: skip
    for words in wanted:
        assert words in seen.text, words
    assert "/monitors/bot%2Fproduction%2Fexact_match.down%2Fall" in seen.links
    assert f"/traffic/i%2F1?at={ONSET + 1}" in seen.links
    assert "/levers/bot.switch?incident=INC-0001" in seen.links
    assert any(t == "svg" and "chart" in (a.get("class") or "") for t, a in seen.tags)


def test_each_link_within_the_page_leads_somewhere(house: House) -> None:
    """A link to a part of the page names a part that is there; a link to a page below it finds one."""
    whole(house)
    visitor = house.visitor("responder")
    seen = visitor.sees(ONE)
    ids = {a["id"] for _, a in seen.tags if a.get("id")}
    for link in seen.links:
        path, _, anchor = link.partition("#")
        if path in ("", ONE) and anchor:
            assert anchor in ids, link
        elif path.startswith("/incidents"):
            assert visitor.get(path).status_code == 200, link


def test_every_answer_of_a_runbook_has_a_place() -> None:
    """Whatever Andon answers of a runbook can be seen somewhere on the site."""
    assert set(PLACES) == set(ANSWERS)


def test_a_page_asked_again_is_the_same(house: House) -> None:
    """While nothing is written the page is the same to the letter, so an open one stands still; its parts have names of their own."""
    whole(house)
    with_levers(house)
    visitor = house.visitor("owner")
    first, again = visitor.get(ONE).text, visitor.get(ONE).text
    assert first == again
    parts = [a["data-part"] for _, a in Seen(first).tags if "data-part" in a]
    assert len(parts) == len(set(parts))
    ids = [a["id"] for _, a in Seen(first).tags if a.get("id")]
    assert len(ids) == len(set(ids))


def test_no_live_part_holds_the_note_that_somebody_types(house: House) -> None:
    """The form for notes stands in no part that is exchanged."""
    whole(house)
    html = house.visitor("responder").get(ONE).text
    rail = html[html.index('class="rail"') : html.index("</aside>")]
    assert 'id="note"' in rail
    assert "data-part" not in rail


@pytest.mark.parametrize(
    ("role", "may"), [("viewer", set()), ("reviewer", {"note"}), ("responder", {"note", "acknowledge", "close"})]
)
def test_each_role_sees_its_own_buttons(house: House, role: str, may: set[str]) -> None:
    """What somebody may not do is not offered."""
    an_incident(house)
    forms = {
        f.removeprefix(f"{ONE}/").partition("/")[0] for f in house.visitor(role).sees(ONE).forms if f.startswith(ONE)
    }
    assert forms >= may
    assert bool(forms) == bool(may)
    if role == "reviewer":
        assert forms == may


@pytest.mark.parametrize("path", ["/incidents?state=all", ONE, f"{ONE}/timeline?all=yes"])
def test_hostile_text_is_shown_harmlessly(house: House, path: str) -> None:
    """Markup, control and direction characters of traffic and people stay text, in every field of every page and as Markdown."""
    whole(house, HOSTILE)
    visitor = house.visitor("owner")
    seen = visitor.sees(path)
    assert not [a for t, a in seen.tags if t == "img" or any(k.startswith("on") for k in a)]
    assert all(a.get("src", "").startswith("/static/") for t, a in seen.tags if t == "script")
    assert "alert(1)" in seen.text
    assert not [w for w in seen.words if "\x1b" in w or "\u202e" in w]
    markdown = visitor.get(path + ("&" if "?" in path else "?") + "as=md").text
    assert "<script>" not in markdown
    assert not {"\x1b", "\u202e"} & set(markdown)


def test_every_table_is_had_as_a_file(house: House) -> None:
    """Each table of the page is there as CSV, JSON and Markdown, and the page itself as Markdown that names what is next."""
    whole(house)
    with_levers(house)
    visitor = house.visitor("viewer")
    names = set(re.findall(r"as=csv&amp;table=([a-z-]+)", visitor.get(ONE).text))
    wanted = {
        "examples",
        "suspects",
        "slices",
        "proposals",
        "levers",
        "pulls",
        "recovery",
        "runbook",
        "timeline",
        "reports",
        "deliveries",
        "evidence",
    }
    assert names >= wanted
    for name in names:
        assert visitor.get(f"{ONE}?as=csv&table={name}").text.count("\r\n") > 1, name
        assert visitor.get(f"{ONE}?as=json&table={name}").json(), name
        assert visitor.get(f"{ONE}?as=md&table={name}").text.startswith("| "), name
    text = visitor.get(f"{ONE}?as=md").text
    assert text.startswith("# INC-0001: Wrong answers rose")
    assert "Next: Stop the harm" in text
    assert "/incidents/INC-0001" in text


def test_an_incident_that_was_not_looked_into_says_so(house: House) -> None:
    """Before the four questions are answered the page says that, and a report that it has no chart."""
    an_incident(house)
    an_incident(house, "INC-0002", lead="", metric="", origin="report", noticed_by="desk", noticed_us=ONSET)
    visitor = house.visitor("responder")
    assert "It has not been looked into yet" in visitor.sees(ONE).text
    text = visitor.sees("/incidents/INC-0002").text
    assert "No chart has measured this" in text
    assert "See whether it is so" in text


def test_long_work_is_followed(house: House) -> None:
    """What is under way about this incident is told on its page with how far it is, and of nothing else; why it failed, too."""
    work = NoWork()
    work.known = [
        Work("recover", "INC-0002", text="elsewhere"),
        Work("investigate", "INC-0001", text="reading traffic"),
    ]
    object.__setattr__(house.site, "errands", work)
    an_incident(house)
    text = house.visitor("viewer").sees(ONE).text
    assert "reading traffic" in text
    assert "elsewhere" not in text
    work.known = [Work("investigate", "INC-0001", state="failed", error="the table is gone: restore it")]
    assert "the table is gone: restore it" in house.visitor("viewer").sees(ONE).text


def test_like_incidents_are_named(house: House) -> None:
    """An incident of the same metric, part and failure type is related; another one is not."""
    an_incident(house)
    an_incident(house, "INC-0002", state="closed", closed_us=NOW, closed_why="put back", closed_as="recovered")
    an_incident(house, "INC-0003", metric="latency_s", failure=None, scope={"task": "x"})
    seen = house.visitor("viewer").sees(ONE)
    assert "/incidents/INC-0002" in seen.links
    assert "/incidents/INC-0003" not in seen.links


def test_the_timeline_is_short_unless_all_is_asked_for(house: House) -> None:
    """Later signals are left out and counted; all are shown where they are asked for, and one kind alone where that is."""
    incident = an_incident(house)
    for n in range(6):
        event(house.ledger, incident, NOW - n, NOW, "signal", f"warning: again {n}")
    event(house.ledger, incident, NOW - HOUR, NOW, "note", "a word")
    visitor = house.visitor("viewer")
    assert "6 later signals and warnings are left out" in visitor.sees(f"{ONE}/timeline").text
    assert "again 5" in visitor.sees(f"{ONE}/timeline?all=yes").text
    only = visitor.sees(f"{ONE}/timeline?kind=note&all=yes").text
    assert "a word" in only
    assert "again" not in only


def test_a_long_timeline_is_folded_in_the_middle(house: House) -> None:
    """The page shows how it began and what came last; what is between is a link that says how much it is."""
    incident = an_incident(house)
    for n in range(50):
        event(house.ledger, incident, ONSET + n, NOW, "note", f"note number {n:02d}.")
    text = house.visitor("viewer").sees(ONE).text
    assert "26 more between" in text
    assert "note number 00." in text
    assert "note number 49." in text
    assert "note number 25." not in text
    assert "note number 25." in house.visitor("viewer").sees(f"{ONE}/timeline").text


def test_a_closed_incident_says_how_it_ended(house: House) -> None:
    """Why it was closed and as what stands in its head; nothing can be done to it but to write a note."""
    closed = {
        "state": "closed",
        "closed_us": NOW,
        "closed_why": "it was nothing",
        "closed_as": "duplicate",
        "duplicate_of": "INC-0009",
    }
    an_incident(house, **closed)
    seen = house.visitor("responder").sees(ONE)
    assert "it was nothing" in seen.text[:1200]
    assert "/incidents/INC-0009" in seen.links
    assert f"{ONE}/close" not in seen.forms
    assert f"{ONE}/note" in seen.forms


def test_what_is_not_there_is_not_found(house: House) -> None:
    """An unknown incident is 404 with the way to those that there are, on each of its pages."""
    visitor = house.visitor("viewer")
    for path in ("/incidents/INC-9", "/incidents/INC-9/timeline", "/incidents/INC-9/queries.csv", "/incidents/%3Cb%3E"):
        answer = visitor.get(path)
        assert answer.status_code == 404, path
        assert "/incidents" in Seen(answer.text).links


def test_the_phases_say_what_is_awaited(house: House) -> None:
    """Of the phases that are not reached one is awaited, the first; how long after the onset the others came stands beside them."""
    an_incident(house, noticed_us=ONSET + 2 * HOUR, noticed_by="Rob")
    html = house.visitor("viewer").get(ONE).text
    strip = html[html.index('<ol class="phases"') :].partition("</ol>")[0]
    assert strip.count('class="now"') == 1
    assert "stabilised" in strip.partition('class="now"')[2].partition("</li>")[0]
    assert "+2 h" in strip


def test_the_entries_keep_their_clocks(house: House) -> None:
    """An entry that was learned late says how late, and T counts from the alarm."""
    incident = an_incident(house)
    event(house.ledger, incident, ONSET, ONSET + 3 * HOUR, "change", "a late word")
    text = house.visitor("viewer").sees(f"{ONE}/timeline").text
    assert "T-1:00" in text
    assert "learned 3 h later" in text
