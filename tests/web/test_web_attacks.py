"""What somebody hostile tries with the pages, and what comes of it."""

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import httpx2
import orjson
import pytest
import uvicorn
from browsing import NAMES, NOW, PASSWORD, House, Visitor, seen
from fastapi import FastAPI
from fastapi.testclient import TestClient
from harmed import HOSTILE, HOUR, NoWork, an_incident, looked_into, raised

from andon.access.run import add_person, end_sessions, found, make_token, remove_person, signed_in
from andon.api.security import Guard
from andon.changes.lines import line_diff
from andon.errors import InputError
from andon.postmortems.lint import lint_text
from andon.postmortems.merging import compare_lines
from andon.store import Ledger
from andon.traffic import Interaction
from andon.traffic.run import record
from andon.web import add_pages, routing, tables, told
from andon.web.app import MOST_OF_ONE
from andon.web.pages import PARTS
from andon.web.routing import SESSION, Read, csrf_of
from andon.web.tables import Column, Table, as_csv

DIGITS = "9" * 5_000
"""More than Python makes a number of."""


def forged(text: str, secret: str = "") -> str:
    """A cookie as somebody would make it who does not know the session."""
    plain = base64.urlsafe_b64encode(
        orjson.dumps({"text": text, "undo": "/settings/people/Eve/role", "fields": {"role": "owner"}})
    )
    return f"{told._seal(plain.decode(), secret) if secret else '0' * 64}.{plain.decode()}"


@pytest.mark.parametrize("role", ["owner", None])
def test_a_forged_sentence_is_not_shown(house: House, role: str | None) -> None:
    """What another server on the same host puts into our cookie is shown nowhere, and never with a ready undo that our proof is in."""
    visitor = house.visitor(role)
    for value in (
        forged("EVIL"),
        forged("EVIL").partition(".")[2],
        forged("EVIL", "another session"),
        ".",
        "é." * 9,
        "a" * 4000,
    ):
        visitor.client.cookies.set(told.COOKIE, quote(value, safe="=._-"))
        assert "EVIL" not in visitor.client.get("/sign-in" if role is None else "/settings").text


def test_what_is_said_is_shown_once_and_to_its_page(house: House) -> None:
    """A secret shown once waits for the page that it is for: another open page that brings itself up to date neither shows nor eats it."""
    ada = house.visitor("owner")
    answer = ada.send("/settings/tokens", {"name": "ci", "scope": "ingest", "ends": "90"})
    assert answer.status_code == 303
    beside = ada.get("/", **{"x-andon-live": "1"})
    assert "Shown once" not in beside.text
    assert "set-cookie" not in beside.headers
    first = ada.get("/settings/tokens", **{"accept-encoding": "gzip"})
    assert "Shown once" in first.text
    assert "content-encoding" not in first.headers, "the length of a compressed page tells of what stands in it"
    assert "Shown once" not in ada.get("/settings/tokens").text


def test_cookies_are_for_https_where_the_browser_is_there(house: House) -> None:
    """Behind a proxy that ends TLS the cookie of the session is for HTTPS only; every cookie that matters is out of reach of scripts."""
    house.visitor("viewer")
    form = {"name": NAMES["viewer"], "password": PASSWORD}
    for origin, secure in (("https://andon.example", True), ("http://127.0.0.1:4318", False)):
        answer = house.visitor(None).client.post(
            "/sign-in", data=form, headers={"origin": origin}, follow_redirects=False
        )
        cookie = answer.headers["set-cookie"].lower()
        assert all(word in cookie for word in (SESSION, "httponly", "samesite=lax"))
        assert ("secure" in cookie) is secure


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "//[",
        "/\tevil",
        "javascript:alert(1)",
        "/x\r\nset-cookie: a=b",
    ],
)
def test_nobody_is_sent_elsewhere(house: House, to: str) -> None:
    """After the sign-in, and after a refusal, one is on this server, whatever the address or the form said."""
    house.visitor("viewer")
    form = {"name": NAMES["viewer"], "password": PASSWORD, "to": to}
    answer = house.visitor(None).client.post("/sign-in", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    refused = house.visitor("viewer").send("/settings/me", {"theme": "x", "zone": "UTC", "from": to})
    assert refused.status_code == 422


def guarded(house: House, token: str = "") -> TestClient:
    """The pages as they are served: with the guard around them, asked by a browser on this machine."""
    app = FastAPI()
    app.add_middleware(Guard, token=token)
    add_pages(app, house.site)
    return TestClient(app, base_url="http://127.0.0.1:4318", client=("127.0.0.1", 5))


def test_our_forms_come_through_the_guard(house: House) -> None:
    """No page hides from us where its forms stand; a form is refused that comes from elsewhere, or from nowhere that a browser names."""
    client = guarded(house)
    for path in ("/sign-in", "/welcome", "/nope", "/"):
        assert client.get(path, follow_redirects=False).headers["referrer-policy"] == "same-origin"
    client.cookies.set(SESSION, house.secrets["owner"])
    form = {"theme": "dark", "zone": "UTC", "csrf": csrf_of(house.secrets["owner"]), "from": "/settings"}
    for origin, site, status in (
        ("http://127.0.0.1:4318", "same-origin", 303), ("null", "same-origin", 303), ("null", "cross-site", 403), ("null", "none", 403),
        ("http://127.0.0.1:3000", "same-site", 403), ("https://evil.example", "cross-site", 403),
    ):  # fmt: skip
        sent = client.post(
            "/settings/me", data=form, headers={"origin": origin, "sec-fetch-site": site}, follow_redirects=False
        )
        assert sent.status_code == status, (origin, site)
    assert client.post("/settings/me", data=form, headers={"origin": "null"}).status_code == 403


def test_every_answer_tells_browsers_to_be_careful(house: House) -> None:
    """Pages, files, refusals, redirects and static files: nothing is sniffed, framed, cached (but what is public) or run."""
    an_incident(house)
    client = guarded(house)
    client.cookies.set(SESSION, house.secrets["owner"])
    paths = [
        "/",
        "/incidents?as=csv",
        "/incidents?as=json&table=x",
        "/nope",
        "/golden/export",
        "/incidents/INC-0001/queries.csv",
        "/evals/cases/x",
        "/live/x",
    ]
    for path in [*paths, "/static/andon.css", "/static/../app.py", "/static/nope"]:
        head = client.get(path, follow_redirects=False).headers
        policy = head["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert not any(word in policy for word in ("unsafe", "*", "http")), path
        assert (head["x-content-type-options"], head["x-frame-options"]) == ("nosniff", "DENY")
        assert "no-store" in head["cache-control"] or path.startswith("/static/")


def every_page() -> list[str]:
    """The paths of all pages, with hostile text where they want a name."""
    name = quote(HOSTILE, safe="")
    return [
        "/".join(name if part.startswith("{") else part for part in e.path.split("/"))
        for p in PARTS
        for e in p.all
        if isinstance(e, Read)
    ]


def test_reading_changes_nothing(tmp_path: Path) -> None:
    """Whoever looks at pages, with whatever role, writes no record and has nothing done."""
    work = NoWork()
    house = House(tmp_path, more={"errands": work})
    raised(house, an_incident(house))
    looked_into(house, text=HOSTILE)
    visitors = [house.visitor(role) for role in ("viewer", "owner")]
    before = house.ledger.last_entry()
    for visitor in visitors:
        for path in (
            *every_page(),
            "/incidents/INC-0001",
            "/incidents/INC-0001/timeline",
            "/traffic?text=x",
            "/monitors",
        ):
            answer = visitor.client.get(path)
            assert answer.status_code < 500, path
            assert not any(tag in answer.text for tag in ("<script>alert", "<img src=x")), path
            visitor.client.head(path)
    assert house.ledger.last_entry() == before
    assert work.asked == []


@pytest.mark.parametrize("path", [
    "/levers?page={}", "/evals?page={}", "/incidents?from={}", "/actions?page={}", "/postmortems?page={}", "/golden?page={}", "/changes?page={}",
    "/monitors?page={}", "/settings/audit?before={}", "/settings/audit/{}", "/labels/list?page={}", "/traffic/i1?at={}", "/traffic?before={}",
    "/traffic/compare?a=i1&a_at={}&b=i1", "/traffic/compare?pick={}:i1&pick={}:i1", "/postmortems/INC-0001?edition={}", "/rollouts?page={}",
])  # fmt: skip
def test_no_number_in_an_address_breaks_a_page(house: House, path: str) -> None:
    """Numbers that are none, too long for Python, signed twice or in another script: the page is shown, or there is none."""
    raised(house, an_incident(house))
    looked_into(house)
    record(house.site.warehouse, [Interaction(id="i1", time_us=NOW - HOUR, app="bot", query="q", answer="a")])
    ada = house.visitor("owner")
    for text in (DIGITS, "--5", "-1", "²", "٣", "1e400", "nan", "9" * 18, "\x00"):
        assert ada.client.get(path.replace("{}", quote(text))).status_code < 500, text


@pytest.mark.parametrize("value", ["1e300", "1e400", "nan", DIGITS, "-1e300", "²"])
def test_no_number_in_a_form_breaks_an_act(house: House, value: str) -> None:
    """A number out of all reason is refused in words."""
    raised(house, an_incident(house))
    rob = house.visitor("responder")
    said = {"kind": "check", "text": "seen", "watch_h": value}
    assert rob.send("/incidents/INC-0001/recovery/criteria", said).status_code == 422
    assert rob.send("/evals/quarantine", {"case": "G-1", "days": value, "why": "flaky"}).status_code == 422


def test_deep_json_is_refused_in_words(house: House) -> None:
    """Brackets within brackets are no way to make a page fail."""
    rita = house.visitor("reviewer")
    for text in ("[" * 90_000, '{"a":' * 40_000):
        said = {"metric": "exact_match", "direction": "down", "expect": text, "version": "1"}
        answer = rita.send("/golden/G-1/measure", said)
        assert answer.status_code == 422
        assert "nested too deep" in seen(answer).text or "not JSON" in seen(answer).text


def test_texts_that_are_slow_to_compare_are_not_compared() -> None:
    """Whatever two texts are, their difference is there at once; the lines of both are in it."""
    one, other = ([str((i * k) % 97) for i in range(60_000)] for k in (1, 31))
    begun = time.monotonic()
    lines = line_diff(["same", *one, "end"], ["same", *other, "end"], "a", "b")
    shown = compare_lines("\n".join(one), "\n".join(other))
    assert time.monotonic() - begun < 5
    assert lines[:2] == ["--- a", "+++ b"]
    assert lines[2].startswith("@@ -1,6000")
    assert sum(x[0] == "-" for x in lines[2:]) == sum(x[0] == "+" for x in lines[2:]) > 50_000
    assert (lines[3], lines[-1]) == (" same", " end")
    assert {kind for kind, _ in shown} == {"in", "out"}
    assert line_diff(one, one) == []
    assert line_diff(["a", "b"], ["a", "c"])[2:] == ["@@ -1,2 +1,2 @@", " a", "-b", "+c"]


@pytest.mark.parametrize("word", ["human error ", "careless ", "if only ", "would could had the been ", "a ", "(["])
def test_the_linter_takes_no_text_for_long(word: str) -> None:
    """A text without the end of a sentence, full of what the linter looks for, does not hold up the server."""
    begun = time.monotonic()
    assert len(lint_text((word * 30_000)[:30_000])) <= 1_000
    assert time.monotonic() - begun < 5


def test_nobody_hides_behind_what_andon_does(tmp_path: Path) -> None:
    """No person has the name by which records tell what Andon or a program did, in no spelling."""
    with pytest.raises(InputError, match="not a person"):
        found(Ledger("sqlite://"), "Andon", PASSWORD, now_us=NOW)
    house = House(tmp_path)
    for name in ("andon", "ANDON", "an-don", "Ａｎｄｏｎ", "GitHub", "ANDON_TOKEN", "a user", "tok_abcdefgh"):
        with pytest.raises(InputError, match="not a person"):
            add_person(house.ledger, name, "viewer", by="Ada", now_us=NOW)
    add_person(house.ledger, "Andona", "viewer", by="Ada", now_us=NOW)


def test_a_page_waits_for_no_password(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many strangers try passwords at once, those who are signed in see their pages."""
    trying, going = threading.Semaphore(0), threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        trying.release()
        going.wait(10)
        raise InputError("wrong")

    monkeypatch.setattr("andon.web.pages.entry.sign_in", slow)
    with served(house) as address:
        threads = [
            threading.Thread(
                target=httpx2.post,
                args=(f"{address}/sign-in",),
                kwargs={"data": {"name": f"n{n}", "password": "x"}, "timeout": 20},
            )
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        assert trying.acquire(timeout=5)
        begun = time.monotonic()
        assert httpx2.get(f"{address}/", cookies={SESSION: house.secrets["owner"]}, timeout=8).status_code == 200
        assert time.monotonic() - begun < 5
        going.set()
        for thread in threads:
            thread.join(10)


@contextmanager
def served(house: House) -> Iterator[str]:
    """The pages of a house on a free port."""
    server = uvicorn.Server(
        uvicorn.Config(house.app, port=0, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    house.site.streams.end()
    server.should_exit = True
    thread.join(5)


@pytest.mark.parametrize("ended", ["removed", "signed out"])
def test_an_open_stream_ends_with_its_session(house: House, ended: str) -> None:
    """Who is removed or signed out hears nothing more, on what was open too."""
    house.visitor("viewer")
    with (
        served(house) as address,
        httpx2.stream("GET", f"{address}/live", cookies={SESSION: house.secrets["viewer"]}, timeout=20) as answer,
    ):
        heard = answer.iter_raw()
        next(heard)
        if ended == "removed":
            remove_person(house.ledger, NAMES["viewer"], why="left", by="Ada", now_us=NOW)
        else:
            end_sessions(house.ledger, NAMES["viewer"], by="Ada", now_us=NOW)
        house.site.streams.tell("news", NOW)
        assert b"news" not in b"".join(heard), "the stream is over, and told nothing"


def test_a_slow_ledger_holds_up_nobody_else(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is asked who listens, and the ledger takes its time to say so, the server answers others: traffic comes in there."""
    asked = threading.Event()

    def slow(*how: Any) -> Any:
        if not asked.is_set():
            asked.set()
            time.sleep(1.5)
        return signed_in(*how)

    monkeypatch.setattr("andon.web.app.signed_in", slow)
    with served(house) as address:
        opened: list[httpx2.Client] = []
        listener = threading.Thread(target=lambda: opened.append(_open(address, house.secrets["owner"])[0]))
        listener.start()
        assert asked.wait(5)
        begun = time.monotonic()
        assert httpx2.get(f"{address}/static/andon.css", timeout=8).status_code == 200
        assert time.monotonic() - begun < 1.0
        listener.join(10)
        opened[0].close()


def test_nobody_takes_all_streams(house: House) -> None:
    """One person has so many event streams open and no more; another one has one all the same."""
    house.visitor("viewer")
    with served(house) as address:
        mine = [_open(address, house.secrets["viewer"]) for _ in range(MOST_OF_ONE)]
        assert all(m.status_code == 200 for _, m in mine)
        client, more = _open(address, house.secrets["viewer"])
        assert more.status_code == 503
        other, owners = _open(address, house.secrets["owner"])
        assert owners.status_code == 200
        for c in (client, other, *(c for c, _ in mine)):
            c.close()


def _open(address: str, secret: str) -> tuple[httpx2.Client, httpx2.Response]:
    client = httpx2.Client(cookies={SESSION: secret}, timeout=10)
    return client, client.send(client.build_request("GET", f"{address}/live"), stream=True)


def test_a_role_that_was_taken_counts_at_once(house: House) -> None:
    """Who is removed does nothing with a page that is still open, and is no one any more for the next request."""
    vic = house.visitor("reviewer")
    an_incident(house)
    remove_person(house.ledger, NAMES["reviewer"], why="left", by="Ada", now_us=NOW)
    assert vic.send("/incidents/INC-0001/note", {"text": "still here"}).status_code == 401
    assert vic.get("/").headers["location"].startswith("/sign-in")
    assert signed_in(house.ledger, vic.secret, NOW) is None


def test_names_come_from_the_session(house: House) -> None:
    """Who does something is who is signed in, whatever the form says."""
    an_incident(house)
    rita = house.visitor("reviewer")
    rita.does("/incidents/INC-0001/note", {"text": "seen", "by": "Ada", "author": "Ada", "person": "Ada"})
    assert [e.by for e in house.ledger.trail(["TimelineEvent"], limit=5)][:1] == ["Rita"]


def test_tokens_read_and_do_nothing(house: House) -> None:
    """A program with the scope to read sees what a viewer sees; it does nothing, and other scopes see nothing."""
    made = {s: make_token(house.ledger, "ci", [s], by="Ada", now_us=NOW)[1] for s in ("read", "ingest", "levers")}
    client = house.visitor(None).client
    for scope, secret in made.items():
        head = {"authorization": f"Bearer {secret}"}
        assert client.get("/incidents?as=json", headers=head).status_code == (200 if scope == "read" else 401)
        assert client.get("/settings/people", headers=head, follow_redirects=False).status_code == (
            403 if scope == "read" else 303
        )
        assert client.post("/settings/me", data={"theme": "dark", "zone": "UTC"}, headers=head).status_code == 401
        assert client.get("/live", headers=head).status_code == 401


def test_passwords_are_not_guessed(tmp_path: Path) -> None:
    """After five wrong passwords the right one is not tried either, in any spelling of the name; nothing is told of who there is."""
    house = House(tmp_path)
    stranger = house.visitor(None)
    said = {
        stranger.send("/sign-in", {"name": name, "password": "wrong"}, origin="/sign-in").text.count("wrong; type both")
        for name in ("Ada", "Nobody")
    }
    assert said == {1}
    for name in ("ada", "ADA", "A da", "Ada"):
        stranger.send("/sign-in", {"name": name, "password": "wrong"})
    assert stranger.send("/sign-in", {"name": "Ada", "password": PASSWORD}).status_code == 409


def test_the_first_owner_is_who_holds_the_token(tmp_path: Path) -> None:
    """Where others reach the server, nobody becomes its owner without ANDON_TOKEN, and guessing it ends soon."""
    house = House(tmp_path)
    site = replace(house.site, ledger=Ledger("sqlite://"), settings=replace(house.site.settings, token="t" * 32))
    app = FastAPI()
    add_pages(app, site)
    stranger = Visitor(TestClient(app, base_url="http://127.0.0.1:4318"))
    form = {"name": "Eve", "password": PASSWORD, "again": PASSWORD}
    codes = [stranger.send("/welcome", {**form, "token": f"guess {n}"}).status_code for n in range(6)]
    assert codes == [422] * 5 + [409]
    assert stranger.send("/welcome", {**form, "token": "t" * 32}).status_code == 409
    house.now += 16 * 60 * 1_000_000
    assert stranger.send("/welcome", {**form, "token": "t" * 32}).status_code == 303
    assert stranger.send("/welcome", {**form, "name": "Mallory", "token": "t" * 32}).status_code == 409, (
        "there is an owner now"
    )


def test_spreadsheets_run_nothing() -> None:
    """A cell that a spreadsheet would take for a formula begins with an apostrophe, behind spaces and in wide letters too."""
    texts = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "  =1", "＝1+1", "＠x", "－1", "\x1b]8;;=x"]
    rows = [{"a": t} for t in texts]
    lines = as_csv(Table(name="t", title="t", columns=[Column(key="a", title="a")], rows=rows))
    assert lines.count("'") == len(texts) - 2, "a carriage return and an escape are taken out"
    assert "\x1b" not in lines


def test_forms_have_an_end(house: House) -> None:
    """A form that is too large, has too many fields, is no form or no text is refused, and the stranger's is not even read as one."""
    ada = house.visitor("owner")
    csrf = csrf_of(ada.secret)
    kind = {"content-type": "application/x-www-form-urlencoded"}
    large = urlencode({"csrf": csrf, "theme": "x" * (routing.LONGEST + 1)}).encode()
    many = urlencode([("csrf", csrf), *(("f", "1") for _ in range(3_000))]).encode()
    for body, head in (
        (large, kind),
        (many, kind),
        (b"csrf=\xff\xfe", kind),
        (b"{}", {"content-type": "application/json"}),
    ):
        assert ada.client.post("/settings/me", content=body, headers=head).status_code == 422
    assert house.visitor(None).client.post("/settings/me", content=large, headers=kind).status_code == 401


def test_no_form_holds_up_who_takes_requests_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two megabytes of percent signs take a second to read as a form: a stranger's are not read, and nobody's in the event loop."""
    read: list[tuple[str, int]] = []

    def parse(text: str, **how: Any) -> list[tuple[str, str]]:
        read.append((threading.current_thread().name, len(text)))
        return parse_qsl(text, **how)

    monkeypatch.setattr(routing, "parse_qsl", parse)
    head = {"content-type": "application/x-www-form-urlencoded"}
    large = b"name=" + b"%" * (routing.LONGEST - 10)
    stranger, ada = house.visitor(None), house.visitor("owner")
    assert stranger.client.post("/sign-in", content=large, headers=head).status_code == 422
    assert stranger.client.post("/settings/me", content=large, headers=head).status_code == 401
    assert read == []
    assert ada.client.post("/settings/me", content=large, headers=head).status_code == 403
    assert stranger.send("/sign-in", {"name": "Ada", "password": PASSWORD}).status_code == 303
    assert len(read) == 2
    assert all(name.startswith("AnyIO worker") for name, _ in read)


@pytest.mark.parametrize("name", ["a?b", "a#b", "a b", "ä/ö", 'a"&<b', "a;b+c"])
def test_a_name_of_any_signs_is_one_place(house: House, name: str) -> None:
    """Whatever signs are in a name: its page links to itself, and a form that is refused there is shown there again, with why."""
    record(house.site.warehouse, [Interaction(id=name, time_us=NOW - HOUR, app="bot", query="q", answer="a")])
    house.site.warehouse.commit()
    rita, path = house.visitor("reviewer"), f"/traffic/{quote(name, safe='')}"
    page = rita.sees(path)
    files = [to for to in page.links if "as=" in to]
    assert files
    assert all(rita.get(to).status_code == 200 for to in files)
    origin = next(a["value"] for t, a in page.tags if t == "input" and a.get("name") == "from") or ""
    refused = rita.send(f"{path}/capture", {"why": ""}, origin=origin)
    assert refused.status_code == 422
    assert any(a.get("class") == "wrong" for t, a in seen(refused).tags if t == "p"), "the reason stands in the form"
    assert any(to.endswith("/capture") for to in seen(refused).forms)


def test_a_file_that_lacks_rows_says_so(house: House) -> None:
    """Files end somewhere: one that may lack rows is told from one that has all, by its name, its headers and in Markdown."""
    rows = [
        Interaction(id=f"i{n}", time_us=NOW - HOUR - n, app="bot", query="q", user_id=str(n % 2), answer="a") for n in range(tables.MOST + 2)
    ]  # fmt: skip
    record(house.site.warehouse, rows)
    house.site.warehouse.commit()
    vic = house.visitor("viewer")
    for query, kept in (("", tables.MOST), ("user_id=1&", tables.MOST // 2 + 1)):
        cut = kept == tables.MOST
        table, words = vic.get(f"/traffic?{query}as=csv"), vic.get(f"/traffic?{query}as=md&table=traffic")
        assert table.text.count("\r\n") == kept + 1
        assert ("first-10000" in table.headers["content-disposition"]) is cut
        assert ("andon-cut" in table.headers) is ("andon-cut" in words.headers) is cut
        assert ("there may be more" in words.text) is cut
