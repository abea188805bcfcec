"""The pages of traffic: search, one interaction as a story, two beside each other."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from browsing import NOW, House, Seen, seen

from andon.golden import Failure
from andon.golden.run import BY_HAND
from andon.incidents import Incident
from andon.scores import hashed
from andon.scores.run import installed_scorers, score_new
from andon.traffic import Context, Feedback, Interaction, Step, ToolCall
from andon.traffic.run import Found, record, record_feedback
from andon.traffic.searching import Cursor
from andon.web.pages import traffic as part

S, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
T = NOW - 2 * HOUR
EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(1)>\u202eevil\u202c\x1b[31m'
ID = 'we?ird/<b>&"#id+x y'
TOLD = Interaction(
    id="told-1",
    time_us=T,
    app="clinic",
    session_id="visit-8",
    user_id="nurse-17",
    trace_id="a" * 32,
    model="large-2",
    requested_model="large",
    prompt_version="p12",
    risk_category="high",
    task="dosage",
    query="How much may a child of 20 kg get?",
    answer="A child of 20 kg may get 300 mg in one dose. Always give it with grapefruit juice to improve uptake.",
    contexts=(Context(text="A child of 20 kg may get 300 mg in one dose.", id="guide#3", score=0.83),),
    tool_calls=(
        ToolCall(name="lookup", arguments='{"p": 17}', result='{"kg": 20}'),
        ToolCall(name="check", error="timeout"),
    ),
    steps=(
        Step(kind="agent", name="run", start_s=0.0, latency_s=4.2),
        Step(kind="tool", name="check", parent=0, start_s=0.5, latency_s=2.0, error="timeout"),
    ),
    latency_s=4.2,
    input_tokens=1_840,
    attributes={"k8s.pod": "rag-7f9"},
)
BEFORE = replace(
    TOLD,
    id="told-0",
    time_us=T - 60 * S,
    query="And ibuprofen?",
    prompt_version="p11",
    contexts=(),
    tool_calls=(),
    steps=(),
)
FAILED = replace(
    BEFORE,
    id="failed-1",
    time_us=T + 60 * S,
    query="And for 12 kg?",
    answer=None,
    error="RateLimitError",
    session_id="visit-9",
)
SHOP = [
    Interaction(
        id=f"shop-{n:03d}",
        time_us=T - DAY - n * S,
        app="shop",
        query=f"Where is parcel {n}?",
        answer="On its way.",
        latency_s=0.4,
    )
    for n in range(120)
]
HOSTILE = replace(
    TOLD, id=ID, time_us=T + 120 * S, query=EVIL + "x" * 6_000, answer=EVIL + "word " * 3_000, user_id=EVIL, session_id=EVIL, model=EVIL,
    prompt_version=EVIL, risk_category=EVIL, task=EVIL, segment=EVIL, error=EVIL, finish_reason=EVIL, attributes={EVIL: EVIL},
    contexts=(Context(text=EVIL, id=EVIL),), tool_calls=(ToolCall(name=EVIL, arguments=EVIL, result=EVIL, error=EVIL),),
    steps=(Step(kind=EVIL, name=EVIL, start_s=0.0, latency_s=1.0, model=EVIL, error=EVIL),),
)  # fmt: skip
SAID = [
    Feedback(
        id="f1",
        interaction_id="told-1",
        time_us=T + 99 * S,
        kind="thumb",
        value=0.0,
        author="nurse-17",
        text="Grapefruit?!",
    ),
    Feedback(id="f2", interaction_id=ID, time_us=T + 130 * S, kind="correction", text=EVIL, author=EVIL),
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A site with traffic of two applications, scored; what is done there is done to records of its own."""
    house = House(tmp_path_factory.mktemp("traffic"))
    record(house.site.warehouse, [TOLD, BEFORE, FAILED, HOSTILE, *SHOP])
    record_feedback(house.site.warehouse, SAID)
    house.site.warehouse.commit()
    score_new(house.site.warehouse, house.ledger, installed_scorers(), hashed.load(house.site.settings), now_us=NOW)
    house.site.warehouse.commit()
    return house


@pytest.fixture(autouse=True)
def no_choices_kept() -> Iterator[None]:
    """Choices of filters are kept by store: of none of another test."""
    part._FACETS.clear()
    return


def rows(page: Seen) -> list[str]:
    """The questions of a list, in their order."""
    return [a["href"] or "" for t, a in page.tags if t == "a" and a.get("class") == "title"]


def test_an_empty_house_says_how_traffic_comes(house: House) -> None:
    """Where nothing has come the page says so and leads to the lines that send the first trace; it shows no search."""
    page = house.visitor("viewer").sees("/traffic")
    assert "Nothing has come in yet" in page.text
    assert "/" in page.links
    assert not [t for t, a in page.tags if t == "input" and a.get("type") == "search"]


def test_the_list_is_newest_first_in_pages(full: House) -> None:
    """Fifty are shown, the newest first; older ones come page by page, each interaction once, until the last."""
    viewer, found, path = full.visitor("viewer"), [], "/traffic"
    while path:
        page = viewer.sees(path)
        found += rows(page)
        path = next((a["href"] or "" for t, a in page.tags if t == "a" and a.get("rel") == "next"), "")
    assert len(found) == len(set(found)) == 124
    assert found[0] == f"/traffic/{quote(ID, safe='')}?at={HOSTILE.time_us}"
    assert found[3:5] == [f"/traffic/told-0?at={BEFORE.time_us}", f"/traffic/shop-000?at={SHOP[0].time_us}"]


@pytest.mark.parametrize(
    ("query", "wanted", "words"),
    [
        ({"app": "clinic", "risk_category": "high"}, ["failed-1", "told-1", "told-0"], "3 answers of clinic: risk high"),
        ({"error": "yes", "user_id": "nurse-17"}, ["failed-1"], "1 answer: user nurse-17, failed"),
        ({"question": "IBUPROFEN"}, ["told-0"], "question contains “IBUPROFEN”"),
        ({"answer": "grapefruit", "error": "no"}, ["told-1", "told-0"], "answer contains “grapefruit”"),
        ({"prompt_version": "p12"}, ["told-1"], "prompt p12"),
        ({"score": "thumbs<0.5"}, ["told-1"], "thumbs below 0.5"),
        ({"score": "tool_error>=0.5,thumbs<0.5"}, ["told-1"], "tool error at least 0.5, thumbs below 0.5"),
        ({"feedback": "thumb"}, ["told-1"], "feedback: thumb"),
        ({"from": "2026-03-01T21:59:30Z", "to": "2026-03-01T22:00:30Z"}, ["told-1"], "from"),
        ({"range": "1h"}, [], "No answer in the last hour"),
        ({"range": "24h", "app": "clinic", "error": "no"}, ["told-1", "told-0"], "2 answers of clinic in the last 24 hours"),
    ],
)  # fmt: skip
def test_a_link_reproduces_a_search(full: House, query: dict[str, str], wanted: list[str], words: str) -> None:
    """What the address asks for is found and nothing else, and the heading says it in words."""
    if "from" in query:
        from andon.traffic import format_time

        query = {"from": format_time(T - 30 * S), "to": format_time(T + 30 * S)}
    page = full.visitor("viewer").sees("/traffic?" + urlencode(query))
    assert [re.sub(r"\?.*", "", r).removeprefix("/traffic/") for r in rows(page)] == wanted
    assert words in page.text


def test_each_condition_is_taken_out_alone(full: House) -> None:
    """Every condition is a chip whose link asks for the others as they are."""
    viewer = full.visitor("viewer")
    asked = {
        "app": "clinic",
        "risk_category": "high",
        "question": "kg",
        "error": "no",
        "score": "tool_error>=0.5",
        "range": "24h",
    }
    page = viewer.sees("/traffic?" + urlencode(asked))
    chips = [a["href"] or "" for t, a in page.tags if t == "a" and (a.get("aria-label") or "").startswith("without: ")]
    assert len(chips) == 5
    for chip, key in zip(chips, ("app", "risk_category", "question", "error", "score"), strict=True):
        assert dict(p.split("=", 1) for p in chip.partition("?")[2].split("&")).keys() == asked.keys() - {key}
        viewer.sees(chip)


def test_a_form_leads_to_the_address_of_its_search(full: House) -> None:
    """What a form sends becomes the address that a link would have: empty fields go, parts of a condition are put together."""
    viewer = full.visitor("viewer")
    sent = {"app": "clinic", "environment": "", "in": "answer", "text": "grape", "range": "24h"}
    answer = viewer.get("/traffic?" + urlencode(sent))
    assert (answer.status_code, answer.headers["location"]) == (303, "/traffic?app=clinic&answer=grape&range=24h")
    built = viewer.get(
        "/traffic?" + urlencode({"score": "thumbs<0.5", "metric": "tool_error", "op": "ge", "value": "0.5"})
    )
    assert built.headers["location"] == "/traffic?" + urlencode({"score": "thumbs<0.5,tool_error>=0.5"})
    twice = viewer.get("/traffic?score=thumbs%3C0.5&score=tool_error%3E%3D0.5")
    assert twice.headers["location"] == built.headers["location"]
    assert viewer.get(built.headers["location"]).status_code == 200


def test_free_text_finds_an_interaction_by_its_id(full: House) -> None:
    """The id of an interaction leads straight to it; another word is searched for in questions."""
    viewer = full.visitor("viewer")
    assert viewer.get("/traffic?in=question&text=told-1").headers["location"] == f"/traffic/told-1?at={T}"
    assert viewer.get("/traffic?in=question&text=told-9").headers["location"] == "/traffic?question=told-9"
    assert viewer.get("/traffic?in=id&text=told-9").headers["location"] == "/traffic/told-9"
    assert viewer.get("/traffic/told-9").status_code == 404


@pytest.mark.parametrize(
    "query",
    ["nothing=1", "error=perhaps", "score=refusal", "score=nosuch%3E%3D1", "before=x", "from=2026-03-03&to=2026-03-01"],
)
def test_a_search_that_is_none_says_what_is_wrong(full: House, query: str) -> None:
    """What cannot be searched for is refused in words on the page, with the search still there."""
    answer = full.visitor("viewer").get(f"/traffic?{query}")
    assert answer.status_code == 422
    page = seen(answer)
    assert [a for t, a in page.tags if t == "p" and a.get("class") == "wrong"]
    assert [a for t, a in page.tags if t == "input" and a.get("type") == "search"]


def test_a_search_that_ran_out_of_time_never_says_nothing_found(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not all was looked through the page says how far it came and how to go on, not that there is nothing."""
    cut = Found(rows=(), searched_back_to_us=T, complete=False, next=Cursor(time_us=T))
    monkeypatch.setattr(part, "search_traffic", lambda *_, **__: cut)
    page = full.visitor("viewer").sees("/traffic?question=zebra")
    assert "Looked back to" in page.text
    assert "Nothing is like this" not in page.text
    assert "Looking for answers: question contains “zebra”" in page.text
    assert f"/traffic?question=zebra&before={T}" in page.links


def test_bars_lead_to_their_stretch_of_time(full: House) -> None:
    """The histogram counts what is found, and each bar leads to as many as it says."""
    viewer = full.visitor("viewer")
    page = viewer.sees("/traffic?app=clinic")
    bars = [a["href"] or "" for t, a in page.tags if t == "a" and a.get("tabindex") == "-1"]
    assert bars
    assert sum(len(rows(viewer.sees(bar))) for bar in bars) == len(rows(page))


def test_results_can_be_taken_along(full: House) -> None:
    """All results, not a screenful, are there as CSV and JSON, without characters that would run in a spreadsheet."""
    viewer = full.visitor("viewer")
    data = viewer.get("/traffic?as=json&table=traffic").json()
    assert len(data) == 124
    assert data[1] | {"id": "failed-1", "error": "RateLimitError", "app": "clinic"} == data[1]
    assert viewer.get("/traffic?as=csv&table=traffic").text.count("\r\n") >= 125


def test_a_file_that_lacks_results_says_so(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole file says nothing; one of the newest only, or of a search that ran out of its time, says so in its name and head."""
    viewer = full.visitor("viewer")
    assert "andon-cut" not in viewer.get("/traffic?as=csv&table=traffic").headers
    monkeypatch.setattr(part, "MOST", 100)
    newest = viewer.get("/traffic?as=csv&table=traffic")
    assert "there may be more" in newest.headers["andon-cut"]
    assert "-first-100" in newest.headers["content-disposition"]
    found = Found(rows=(), searched_back_to_us=T, complete=False, next=Cursor(time_us=T, id="told-1"))
    monkeypatch.setattr(part, "search_traffic", lambda *_a, **_k: found)
    assert "andon-cut" in viewer.get("/traffic?as=csv&table=traffic").headers


def test_one_interaction_is_a_story(full: House) -> None:
    """Who asked, what was retrieved and done, the answer, how it was judged and what people said stand there in this order."""
    page = full.visitor("viewer").sees(f"/traffic/told-1?at={T}")
    wanted = [
        "And ibuprofen?", "nurse-17", "How much may a child", "guide#3", "0.83", "timeout", "lookup", '{"kg": 20}', "It answered", "grapefruit",
        "scores", "tool error", "Grapefruit?!", "Versions", "large-2", "p12", "1,840 in", "k8s.pod",
    ]  # fmt: skip
    body, at = page.text[page.text.index("More") :], 0
    for word in wanted:
        assert word in body[at:], word
        at = body.index(word, at)
    assert "/changes?text=p12&range=all" in page.links
    assert "/incidents?report=told-1&app=clinic" in page.links


def test_what_no_passage_supports_is_marked(full: House) -> None:
    """A sentence of the answer that the passages lack is marked, and only that."""
    text = full.visitor("viewer").get("/traffic/told-1").text
    marked = re.findall(r"<mark[^>]*>([^<]*)</mark>", text)
    assert marked == ["Always give it with grapefruit juice to improve uptake."]


def test_the_heading_says_how_it_went(full: House) -> None:
    """The first sentence says whether it answered, failed or is judged bad."""
    viewer = full.visitor("viewer")
    assert "clinic failed after 4.2 s: RateLimitError" in viewer.sees("/traffic/failed-1").text
    assert re.search(
        r"clinic answered in 4\.2 s, and \d+ scores? says? that it is bad", viewer.sees("/traffic/told-1").text
    )
    assert "none of" in viewer.sees("/traffic/shop-003").text


def test_long_texts_are_folded(full: House) -> None:
    """More than 4,000 characters are behind a link that shows all of them."""
    viewer = full.visitor("viewer")
    path = f"/traffic/{quote(ID, safe='')}"
    page = viewer.sees(path)
    assert page.text.count("x" * 3_900) == 1
    assert "x" * 6_000 not in page.text
    link = next(x for x in page.links if "whole=all" in x)
    assert "x" * 6_000 in viewer.sees(link).text


@pytest.mark.parametrize(
    "path",
    [
        "/traffic",
        "/traffic/{id}",
        "/traffic/compare?a={id}&b=told-1",
        "/traffic?question={evil}",
        "/traffic?in=id&metric={evil}",
    ],
)
def test_hostile_texts_are_shown_harmlessly(full: House, path: str) -> None:
    """Whatever stands in traffic or in an address, no tag and no attribute of it comes into a page, and nothing that nobody sees."""
    answer = full.visitor("owner").client.get(path.format(id=quote(ID, safe=""), evil=quote(EVIL)))
    page = seen(answer)
    assert answer.status_code in (200, 422)
    assert not [t for t, a in page.tags if t == "img" or "onerror" in a]
    assert "<script>alert" not in answer.text
    assert all(c not in page.text for c in "\u202e\u202c\x1b")
    assert all(x.startswith(("/", "#")) for x in page.links)


def test_hostile_texts_stay_text_in_files(full: House) -> None:
    """As Markdown a text of traffic stands in a block that it cannot end; every table of the story can be had as a file."""
    viewer = full.visitor("viewer")
    path = f"/traffic/{quote(ID, safe='')}"
    told = viewer.get(f"{path}?as=md").text
    outside = re.sub(r"(?ms)^(`{3,})\n.*?^\1$", "", told)
    assert "<script>" not in outside.replace("\\<", "")
    for name in ("scores", "feedback", "steps", "passages", "tools"):
        assert viewer.get(f"{path}?as=csv&table={name}").status_code == 200
        assert viewer.get(f"{path}?as=json&table={name}").status_code == 200
    page = viewer.sees(path)
    for link in (x for x in page.links if "as=json" in x):
        assert viewer.get(unescape(link)).status_code == 200, link


def test_the_steps_of_an_agent_say_what_failed_and_what_was_tried_again(full: House) -> None:
    """Of 40 steps with tools that failed and were tried again, the page says so first, and each step holds its own call."""
    tool = Step(kind="tool", name="book", parent=0, start_s=1.0, latency_s=0.3, error="no seat on 13 May")
    steps = [Step(kind="agent", name="planner", start_s=0.0, latency_s=40.0), tool, tool, replace(tool, error=None)]
    steps += [
        Step(kind="llm", name="chat m-1", parent=0, start_s=n, latency_s=0.5, model="m-1-2026") for n in range(36)
    ]
    calls = [
        ToolCall(name="book", arguments=a, error=e) for a, e in (("{1}", "no seat"), ("{1}", "no seat"), ("{2}", None))
    ]
    asked = replace(TOLD, id="agent-1", steps=tuple(steps), tool_calls=(*calls, ToolCall(name="never run")))
    record(full.site.warehouse, [asked])
    full.site.warehouse.commit()
    answer = full.visitor("viewer").get("/traffic/agent-1")
    page = seen(answer)
    for words in (
        "2 of 4 tool calls failed", "40 steps: 36 of models, 3 of tools", "book failed 2 of 3 times: no seat on 13 May The last one passed.",
        "tried again, with the same arguments", "tried again, with other arguments", "1 other tool call that no step shows",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.text.count("tried again") == 2
    assert answer.text.count('<details class="tool') == 1
    assert "m-1-2026" not in "".join(re.findall(r'<span class="name">.*?</span>', answer.text))


def test_calls_that_cannot_be_told_apart_stand_by_themselves(full: House) -> None:
    """Where a tool has more calls than steps, nothing says which was which, so no step is given the words of another."""
    steps = (TOLD.steps[0], TOLD.steps[1])
    twice = (ToolCall(name="check", arguments="{1}"), ToolCall(name="check", arguments="{2}"))
    record(full.site.warehouse, [replace(TOLD, id="agent-2", steps=steps, tool_calls=twice)])
    full.site.warehouse.commit()
    answer = full.visitor("viewer").get("/traffic/agent-2")
    assert "2 tool calls that no step shows" in seen(answer).text
    assert answer.text.count('<details class="tool') == 2


def test_a_reviewer_captures_a_failure(full: House) -> None:
    """Who may label captures an interaction by hand: it waits in the queue with the reason and the name, once."""
    rita = full.visitor("reviewer")
    page = rita.sees("/traffic/told-1")
    assert "/traffic/told-1/capture" in page.forms
    fields = {"why": "Grapefruit juice is dangerous here", "right": "300 mg", "at": str(T)}
    after = rita.does("/traffic/told-1/capture", fields, origin="/traffic/told-1")
    failure = next(f for f in full.ledger.all(Failure) if f.interaction_id == "told-1")
    assert (failure.source, failure.suggestion, failure.suggested_by) == (BY_HAND, "300 mg", "correction")
    assert failure.reason == "Rita: Grapefruit juice is dangerous here"
    assert [v.by for v in full.ledger.history(Failure, failure.id)] == ["Rita"]
    assert "it waits for a label" in after.text
    for role, words in (("reviewer", "Captured: label it"), ("viewer", "Captured: it waits for a label")):
        assert words in full.visitor(role).sees("/traffic/told-1").text
    again = rita.does("/traffic/told-1/capture", {"why": "again"}, origin="/traffic/told-1")
    assert "captured before" in again.text
    assert len(full.ledger.history(Failure, failure.id)) == 1
    assert f"/labels/{failure.id}" in rita.sees("/traffic/told-1").links


def test_a_capture_without_a_reason_is_refused(full: House) -> None:
    """Without a reason nothing is captured, and what was typed is still there; a viewer is not even asked."""
    rita, path = full.visitor("reviewer"), f"/traffic/failed-1?at={FAILED.time_us}"
    answer = rita.send("/traffic/failed-1/capture", {"why": " ", "right": "400 mg"}, origin=path)
    assert answer.status_code == 422
    assert "400 mg" in answer.text
    assert [a for t, a in seen(answer).tags if t == "p" and a.get("class") == "wrong"]
    assert not [f for f in full.ledger.all(Failure) if f.interaction_id == "failed-1"]
    assert "/traffic/failed-1/capture" not in full.visitor("viewer").sees(path).forms
    assert full.visitor("viewer").send("/traffic/failed-1/capture", {"why": "so"}).status_code == 403


def test_a_report_leads_back_to_its_incident(full: House) -> None:
    """What is reported of an interaction opens an incident, and the page of the interaction names it."""
    rita = full.visitor("reviewer")
    rita.does(
        "/incidents/report",
        {"text": "Nobody got an answer", "interaction": "failed-1"},
        origin="/incidents?report=failed-1",
    )
    incident = full.ledger.all(Incident)[0]
    page = full.visitor("viewer").sees("/traffic/failed-1")
    assert f"/incidents/{incident.id}" in page.links
    assert "Nobody got an answer" in page.text


def test_two_are_compared(full: House) -> None:
    """Two that are ticked stand beside each other, the earlier one first, and the first sentence says what differs."""
    viewer = full.visitor("viewer")
    answer = viewer.get(f"/traffic/compare?pick={T}:told-1&pick={BEFORE.time_us}:told-0")
    to = answer.headers["location"]
    assert to == f"/traffic/compare?a=told-0&a_at={BEFORE.time_us}&b=told-1&b_at={T}"
    page = viewer.sees(to)
    assert "They differ in prompt (p11 → p12)" in page.text
    assert "only the second guide#3" in page.text
    assert ("ins", {}) in page.tags
    assert viewer.get(to + "&as=json&table=differences").json()[0] == {"field": "prompt", "a": "p11", "b": "p12"}


@pytest.mark.parametrize("query", ["", "?a=told-1", "?a=told-1&b=nobody"])
def test_a_comparison_asks_for_what_it_lacks(full: House, query: str) -> None:
    """With one or none, or one that is not there, the page asks for two ids and keeps what was given."""
    answer = full.visitor("viewer").get(f"/traffic/compare{query}")
    assert answer.status_code == (404 if "nobody" in query else 200)
    assert {a.get("name") for t, a in seen(answer).tags if t == "input"} >= {"a", "b"}
    assert full.visitor("viewer").get("/traffic/compare?pick=1:a").status_code == 422


def test_choices_are_not_asked_for_each_page(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choices of the filters are read once for an application while nothing new comes, or within a minute."""
    asked = []
    real = part.facets
    monkeypatch.setattr(part, "facets", lambda *a, **k: asked.append(k) or real(*a, **k))
    viewer = full.visitor("viewer")
    for _ in range(3):
        viewer.sees("/traffic")
        viewer.sees("/traffic?app=shop")
    assert asked == [{"app": None, "environment": None}, {"app": "shop", "environment": None}]
    record(full.site.warehouse, [replace(SHOP[0], id="late", time_us=T - 3 * DAY)])
    full.site.warehouse.commit()
    viewer.sees("/traffic")
    assert len(asked) == 2
    full.now += 61 * S
    viewer.sees("/traffic")
    assert len(asked) == 3


def test_nothing_is_read_where_nothing_is(tmp_path: Path) -> None:
    """An id that was never there is a 404 with the way back, whatever stands in it."""
    viewer = House(tmp_path).visitor("viewer")
    for id_ in ("nobody", "a/b", "%00", "..%2F..", "x" * 900):
        answer = viewer.get(f"/traffic/{id_}")
        assert answer.status_code == 404
        assert "/traffic" in seen(answer).links
