"""Laws of erasing one user: nothing of theirs is left anywhere, and nothing of others is gone."""

import ast
import json
import sqlite3
import subprocess
import sys
import typing
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sqlalchemy import create_engine, text

import andon
from andon.access import KINDS
from andon.access.run import add_person, person_of
from andon.errors import InputError
from andon.evals import CaseResult, EvalRun
from andon.golden import Case, Failure, LabelRow
from andon.golden.cases import to_failure
from andon.golden.run import add_cases, capture, import_set, label_failures, load_set, queue
from andon.incidents import Incident
from andon.investigations import Investigation
from andon.loop import RECORDS, Loop, open_loop, replay
from andon.rollouts import Arm, Decision
from andon.settings import Settings
from andon.store import Slice
from andon.traffic import Context, Feedback, Interaction, SpanRow, quoted
from andon.traffic.erasure import ERASED, Blanking
from andon.traffic.records import Erasure, LogRow
from andon.traffic.redaction import mark_of
from andon.traffic.run import open_redaction, read_new, record

US = 1_790_000_000_000_000
S = 1_000_000
SECRET = "my very private question about a diagnosis"


def ids(loop: Loop, table: str, column: str = "id") -> list[str]:
    """One column of a table, sorted."""
    return sorted(loop.warehouse.run(Slice(table=table, columns=(column,)))[column].to_pylist())


def traffic(user: str, number: int, query: str) -> Interaction:
    """An interaction of a user."""
    return Interaction(
        id=f"{user[:3]}-{number}",
        time_us=US + number,
        user_id=user,
        session_id=f"s-{user}",
        query=query,
        answer=f"An answer for {user} that nobody else got.",
        contexts=(Context(text="A public passage of the handbook."),),
    )


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    """A loop with traffic, feedback, spans, log records, scores and a captured failure of two users."""
    loop = open_loop(Settings(home=tmp_path / "home", embedder="hashed", settle_s=1))
    for user in ("eve@example.com", "bob"):
        loop.intake.interactions([traffic(user, 1, f"{SECRET} of {user}"), traffic(user, 2, "yes")])
        loop.intake.feedback(
            [
                Feedback(
                    id=f"f-{user[:3]}", interaction_id=f"{user[:3]}-1", time_us=US, kind="thumb", value=0.0, author=user
                )
            ]
        )
    for trace, user in ((1, "eve@example.com"), (2, "bob")):
        attributes = {"metadata": orjson.dumps({"user_id": user}).decode(), "gen_ai.operation.name": "chat"}
        span = SpanRow(
            trace_id=f"{trace:032x}", span_id=f"{trace:016x}", time_us=US, end_us=US + S, attributes=attributes
        )
        loop.intake.records([span])
        said = LogRow(
            id=f"log-{trace}", time_us=US, trace_id=span.trace_id, span_id=span.span_id, name="gen_ai.user.message",
            body={"content": f"{SECRET} in a log of {user}"},
        )  # fmt: skip
        loop.intake.records([said])
        loop.intake.records(
            [SpanRow(trace_id=f"{trace + 8:032x}", span_id=f"{trace:016x}", time_us=US, end_us=US + 1000 * S,
                     attributes=attributes)]
        )  # fmt: skip
    loop.tick(US + 60 * S)
    for item in read_new(loop.warehouse, 0, 100)[0]:
        failure = Failure(
            id=f"F-{item.id}", captured_us=US, app="default", question=str(item.query), answer=item.answer,
            contexts=("A public passage of the handbook.",), interaction_id=item.id,
        )  # fmt: skip
        loop.ledger.put(failure, now_us=US, by="t")
    return loop


def bytes_below(folder: Path) -> bytes:
    """Everything that lies on the disk; SQLite's log is part of it."""
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def test_nothing_of_the_user_is_left_and_nothing_of_others_is_gone(loop: Loop, tmp_path: Path) -> None:
    """Rows of every table and texts of every record of one user are gone, from the files too; the other user's stay."""
    before = {t: ids(loop, t) for t in loop.warehouse.tables()}
    done = loop.erase("eve@example.com", US + 99 * S, "dpo")
    assert done.left == ()
    assert done.rows["interactions"] == 3
    assert done.rows["spans"] == 2
    assert done.rows["logs"] == 1
    assert done.rows["feedback"] >= 1
    assert done.rows["scores"] >= 3
    for table in ("interactions", "spans", "logs", "scores"):
        assert 2 * len(ids(loop, table)) == len(before[table])
    assert set(ids(loop, "interactions", "user_id")) == {"bob"}
    failures = loop.ledger.all(Failure)
    assert sorted(f.question for f in failures if "bob" in str(f.question)) == [
        f"{SECRET} in a log of bob",
        f"{SECRET} of bob",
    ]
    assert sum(f.question == "yes" for f in failures) == 2  # both asked it
    assert sum(f.question == "[erased]" for f in failures) == 2
    mark = mark_of("eve@example.com", open_redaction(loop.settings))
    assert mark.startswith("[email:")
    loop.close()
    left = bytes_below(tmp_path / "home")
    assert b"eve@example.com" not in left
    assert mark.encode() not in left
    assert b"bob" in left


def test_the_proof_does_not_say_who_it_was(loop: Loop) -> None:
    """The record of an erasure holds counts and a keyed digest, no name; a second erasure finds nothing more."""
    done = loop.erase("eve@example.com", US, "dpo")
    assert "eve" not in repr(loop.ledger.get(Erasure, done.id))
    again = loop.erase("eve@example.com", US + 1, "dpo")
    assert (again.rows, again.records, again.left) == ({}, 0, ())
    loop.close()


def test_a_user_that_is_not_there_changes_nothing(loop: Loop) -> None:
    """Erasing somebody unknown, or nobody, removes nothing."""
    before = {t: ids(loop, t) for t in loop.warehouse.tables()}
    assert loop.erase("nobody", US, "dpo").rows == {}
    with pytest.raises(InputError, match="which user"):
        loop.erase("  ", US, "dpo")
    assert {t: ids(loop, t) for t in loop.warehouse.tables()} == before
    loop.close()


def test_the_ledger_stays_readable_by_others(loop: Loop, tmp_path: Path) -> None:
    """After an erasure the database is sound, and every record can be read."""
    loop.erase("eve@example.com", US, "dpo")
    assert loop.ledger.all(Failure)
    loop.close()
    with sqlite3.connect(tmp_path / "home" / "ledger.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def hurt(users: tuple[str, ...] = (), hours: int = 4) -> list[Interaction]:
    """Ten interactions a minute of the app `support`, whose new model refuses in the last hour; the first ones are of users."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(hours * 600):
        moved = number >= (hours - 1) * 600
        rows.append(
            Interaction(
                id=f"i{number:05d}",
                time_us=US + number * 6 * S,
                app="support",
                user_id=users[number % len(users)] if users and number % 97 < 12 else f"u{number % 40}",
                query=f"question {number % 40}",
                answer="x",
                refused=bool(rng.random() < (0.5 if moved else 0.05)),
                task=("refund", "faq")[number % 2],
                model="m-2" if moved else "m-1",
            )
        )
    return rows


def told(home: Path, rows: list[Interaction]) -> Loop:
    """A loop that has seen the traffic, opened its incident, looked into it and written everything down."""
    loop = open_loop(Settings(home=home, window_s=60, settle_s=30, embedder="hashed"))
    record(loop.warehouse, rows)
    replay(loop, ())
    return loop


def versions(home: Path) -> list[tuple[str, str, str]]:
    """Kind, id and body of every version of every record."""
    with create_engine(f"sqlite:///{home / 'ledger.db'}").connect() as connection:
        rows = connection.execute(text("select kind, id, body from versions order by entry"))
        return [(kind, name, body) for kind, name, body in rows]


def classes(kind: str) -> list[type]:
    """The record classes of this name."""
    found = {vars(m).get(kind) for n, m in list(sys.modules.items()) if n.startswith("andon")}
    return [c for c in found if isinstance(c, type) and is_dataclass(c) and "id" in c.__dataclass_fields__]


def readable(kind: str, before: str, after: str) -> bool:
    """Whether every record class that reads the body before reads it after, and there is one."""
    readers = [TypeAdapter(c) for c in classes(kind)]
    able = [r for r in readers if reads(r, before)]
    return bool(able) and all(reads(r, after) for r in able)


def reads(reader: TypeAdapter[object], body: str) -> bool:
    """Whether a class reads a body."""
    try:
        reader.validate_json(body)
    except ValueError:
        return False
    return True


def words_in(value: object) -> set[str]:
    """Every text of a JSON value."""
    if isinstance(value, dict):
        return set().union(*(words_in(v) for v in value.values()))
    if isinstance(value, list):
        return set().union(*(words_in(v) for v in value))
    return {value} if isinstance(value, str) else set()


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Every version of the records of a whole incident, and every text that is a value in them."""
    home = tmp_path_factory.mktemp("book")
    told(home, hurt()).close()
    rows = versions(home)
    assert {"Incident", "Investigation", "Postmortem", "RunbookState", "Signal", "TimelineEvent", "Failure"} <= {
        kind for kind, _, _ in rows
    }
    return rows, sorted(
        set().union(*(words_in(json.loads(body)) for _, _, body in rows)) | {"", "P3", "closed", ERASED}
    )


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_no_name_and_no_text_makes_the_ledger_unreadable(data: st.DataObject, book) -> None:
    """Whatever a client sends as user, text or interaction, every record is read after the erasure and stays what it was.

    Words are those of the record itself. Ids, app, class and severity stay; a text of the user beside the word is gone.
    """
    rows, _ = book
    kind = data.draw(st.sampled_from(sorted({kind for kind, _, _ in rows})))
    body = data.draw(st.sampled_from([b for k, _, b in rows if k == kind]))
    words = sorted(words_in(json.loads(body)) | {""})
    name, said, number = (data.draw(st.sampled_from(words)) for _ in range(3))
    secret = f"{SECRET}, {said}"
    texts = Blanking(
        names=(name, "[email:0123456789ab]"), ids={number}, texts={*words[::2], name, said, secret} - {number}
    )
    for of, before in ((kind, body), ("Failure", _captured(name, secret))):
        was = json.loads(before)
        now = texts(was)
        assert readable(of, before, json.dumps(now)), (of, name, said)
        assert not texts.touches(json.dumps(now))
        kept = ("id", "app", "environment", "impact", "severity", "lead", "metric", "monitor", "scope", "signals")
        assert {k: now.get(k) for k in kept} == {k: was.get(k) for k in kept}
        assert secret not in json.dumps(now, ensure_ascii=False)


def _captured(name: str, secret: str) -> str:
    """The body of a failure with a text of the user, and the user's name in its part of the traffic."""
    failure = Failure(
        id="F", captured_us=US, app="support", question=f"Hello. {secret}", answer="x", segment={"user_id": name or "u"}
    )
    return TypeAdapter(Failure).dump_json(failure).decode()


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_name_alone_is_taken_out_only_where_a_field_names_users(data: st.DataObject, book) -> None:
    """A user that is called like anything in the records changes none of them; a condition on users and their columns do."""
    rows, words = book
    name = data.draw(st.sampled_from(words))
    texts = Blanking(names=(name,), ids=(), texts=())
    assert not [kind for kind, _, body in rows if texts.touches(body)]
    about = {
        "by": name,
        "plan": {
            "where": [{"column": "user_id", "op": "in", "value": [name, "bob"]}, {"column": "task", "value": name}]
        },
        "rows": [{"user_id": name, "task": name}],
        "parts": [{"field": "user_id", "value": name}],
    }
    gone = ERASED if name else ""
    assert texts(about) == {
        "by": name,
        "plan": {
            "where": [{"column": "user_id", "op": "in", "value": [gone, "bob"]}, {"column": "task", "value": name}]
        },
        "rows": [{"user_id": gone, "task": name}],
        "parts": [{"field": "user_id", "value": gone}],
    }


def test_a_word_of_a_closed_list_is_never_a_text_of_a_user() -> None:
    """In no record class that an erasure reaches does erasing a text that is one of a field's allowed words touch that field."""
    import andon.rollouts
    import andon.server  # noqa: F401

    modules = [m for n, m in list(sys.modules.items()) if n.startswith("andon.")]
    seen = {c for m in modules for c in vars(m).values() if isinstance(c, type) and is_dataclass(c)} - {*KINDS}
    asked = 0
    for record_class in seen:
        if not record_class.__module__.startswith("andon.") or not record_class.__module__.endswith("records"):
            continue
        types = typing.get_type_hints(record_class)
        for field in fields(record_class):
            for word in _allowed(types[field.name]):
                texts = Blanking(names={word}, ids={"i1"}, texts={word})
                assert not texts.touches(json.dumps({"interaction_id": "i1", field.name: word})), (
                    record_class,
                    field.name,
                )
                asked += 1
    assert asked > 50


def _allowed(kind: object) -> list[str]:
    if typing.get_origin(kind) is typing.Literal:
        return [str(w) for w in typing.get_args(kind)]
    return [word for part in typing.get_args(kind) for word in _allowed(part)]


@pytest.mark.slow
def test_users_called_like_the_words_of_the_loop_are_erased_and_the_ledger_stays(tmp_path: Path) -> None:
    """Users P2, open, support and INC-0001: their rows go, the incident keeps app, state and severity, all is read again."""
    users = ("P2", "open", "support", "INC-0001")
    loop = told(tmp_path / "home", hurt(users))
    (before,) = loop.ledger.all(Incident)
    assert before.app == "support"
    bodies = versions(tmp_path / "home")
    for user in users:
        done = loop.erase(user, US + 9 * 3600 * S, "dpo")
        assert done.rows["interactions"] > 0
        assert done.left == ()
    assert loop.ledger.all(Incident) == [replace(before, title=loop.ledger.all(Incident)[0].title)]
    assert loop.ledger.history(Incident)
    assert loop.ledger.history(Investigation)
    assert not set(users) & set(ids(loop, "interactions", "user_id"))
    loop.close()
    left = versions(tmp_path / "home")[: len(bodies)]
    assert all(readable(kind, was, body) for (kind, _, was), (_, _, body) in zip(bodies, left, strict=True))


LONG = 'My name is "Eve Example" and I live at\nHauptstrasse 5, Zürich; which treatments of my letter does the plan pay for?'


def labelled(loop: Loop) -> list[Case]:
    """Two users' failures, labelled and added to the golden set, and a note of the team in the line of one of them."""
    rows = [
        Interaction(id="e1", time_us=US, user_id="eve", query=LONG, answer="no idea"),
        Interaction(id="e2", time_us=US, user_id="eve", query="pay me, Eve?", answer="no idea, again"),
        Interaction(
            id="b1", time_us=US, user_id="bob", query="How long may I keep a loan of the library?", answer="?!"
        ),
    ]
    record(loop.warehouse, rows)
    loop.warehouse.commit()
    failures = [to_failure(i, reason="r", source="thumbs-down", captured_us=US) for i in rows]
    capture(loop.ledger, failures, now_us=US)
    labels = [LabelRow(line=1, id=f.id, question=None, ground_truth=f"right {k}") for k, f in enumerate(failures)]
    label_failures(loop.ledger, labels, now_us=US, by="ann")
    add_cases(loop.ledger, loop.embedder, now_us=US, by="ann")
    row = {"question": LONG, "ground_truth": "right 0", "note": LONG, "risk_category": "low"}
    team = loop.settings.home / "set.jsonl"
    team.write_text(json.dumps(row) + "\n")
    import_set(loop.ledger, team, now_us=US, by="ann")
    team.unlink()
    return loop.ledger.all(Case)


def test_the_words_of_a_user_are_found_however_they_are_spelt(tmp_path: Path) -> None:
    """In lines of files, in JSON, in messages that quote and cut, a user's text is found and gone; the check sees it too."""
    loop = open_loop(Settings(home=tmp_path / "home", embedder="hashed", settle_s=1))
    labelled(loop)
    for cut in (25, 60, 200):
        said = CaseResult(
            case_id="C", outcome="error", detail=f"recorded:r holds no answer to {quoted(LONG, cut)}; record it"
        )
        run = EvalRun(id=f"E-{cut}", at_us=US, target="t", golden="g", scorers="s@1", results=(said,))
        loop.ledger.put(run, now_us=US, by="t")
    assert loop.erase("eve", US, "dpo").left == ()
    bodies = "".join(body for _, body in loop.ledger.bodies())
    for word in ("Eve", "Hauptstrasse", "Zürich", "Z\\u00fcrich", "letter"):
        assert word not in bodies
    details = {r.results[0].detail for r in loop.ledger.all(EvalRun)}
    assert details == {'recorded:r holds no answer to "[erased]"; record it'}
    assert "How long may I keep a loan of the library?" in bodies
    loop.close()


@given(
    text=st.text(st.characters(exclude_categories=("Cs",)), min_size=20, max_size=90),
    cut=st.integers(20, 120),
    end=st.text(),
)
@settings(max_examples=200, deadline=None)
def test_no_spelling_of_a_text_escapes(text: str, cut: int, end: str) -> None:
    """Whole, as JSON in JSON, and as `quoted` shows it at any length from twenty characters on: `touches` finds it."""
    texts = Blanking(names=(), ids=(), texts={text})
    line = json.dumps({"note": text, "other": "x"})
    spelt = (text, line, json.dumps(text), f"{quoted(text, cut)}{end}")
    for value in spelt if text.strip() else ():
        assert texts.touches(json.dumps({"line": value})), value


def test_a_line_of_a_file_is_read_as_json() -> None:
    """Escapes that only another program writes hide no text in the line of a case, nor does it hide a short one in a record of theirs."""
    texts = Blanking(names=(), ids={"G-1"}, texts={"my letter is in Zürich, at 5/7 Hauptstrasse", "pay Eve?"})
    line = r'{"note": "my letter is in Z\u00FCrich, at 5\/7 Hauptstrasse", "question": "pay Eve?", "tags": [1]}'
    case = {"id": "G-1", "question": "pay Eve?", "line": line}
    gone = texts(case)
    assert json.loads(gone["line"]) == {"note": ERASED, "question": ERASED, "tags": [1]}
    assert json.loads(texts(case | {"id": "G-2"})["line"]) == {"note": ERASED, "question": "pay Eve?", "tags": [1]}


def test_a_label_that_took_a_users_short_correction_goes_with_it() -> None:
    """The right answer that a reviewer took from the user is the user's text; the same words as a label of others stay."""
    texts = Blanking(names=(), ids={"F-1"}, texts={"9 d"})
    assert texts({"failure": "F-1", "ground_truth": "9 d"}) == {"failure": "F-1", "ground_truth": ERASED}
    assert not texts.touches(json.dumps({"failure": "F-2", "ground_truth": "9 d"}))


def test_what_another_user_began_alike_stays() -> None:
    """The first words of a text, without an ellipsis where it parts from another, are nobody's own."""
    texts = Blanking(names=(), ids=(), texts={"How long may I keep a loan that my mother took out?"})
    for said in ("How long may I keep a loan of the library?", "How long may I keep a loan...", "How long may I..."):
        assert texts.touches(json.dumps({"question": said})) == (said == "How long may I keep a loan...")


def test_a_case_whose_question_is_erased_is_tested_no_more(tmp_path: Path) -> None:
    """Its question gone, a case is retired and its failure dismissed, however short it was; neither is asked or added again."""
    loop = open_loop(Settings(home=tmp_path / "home", embedder="hashed", settle_s=1))
    before = labelled(loop)
    assert len(before) == 3
    done = loop.erase("eve", US, "dpo")
    assert (done.retired, done.dismissed) == (2, 2)
    assert [c.question for c in load_set(loop.ledger)] == ["How long may I keep a loan of the library?"]
    assert {c.retired_why for c in loop.ledger.all(Case) if c.retired} == {
        "what it asks, or what is right, was the text of a user and is erased"
    }
    assert add_cases(loop.ledger, loop.embedder, now_us=US, by="ann").added == ()
    assert queue(loop.ledger, loop.embedder) == []
    again = loop.erase("eve", US, "dpo")
    assert (again.records, again.retired, again.dismissed) == (0, 0, 0)
    loop.close()


def test_kinds_that_only_other_commands_write_are_erased_too(loop: Loop, tmp_path: Path) -> None:
    """Eval runs and decisions are blanked by a process that has only opened the loop, as `andon erase` does."""
    said = f"{SECRET} of {mark_of('eve@example.com', open_redaction(loop.settings))}"
    answered = CaseResult(case_id="C-1", outcome="fail", answer=said)
    loop.ledger.put(
        EvalRun(id="E-1", at_us=US, target="t", golden="g", scorers="s@1", results=(answered,)), now_us=US, by="t"
    )
    arm = Arm(name="a", n=1, events=0)
    decision = Decision(
        id="DEC-1", at_us=US, app="shop", metric="error", control=arm, treatment=arm, outcome="hold", reason=said
    )
    loop.ledger.put(decision, now_us=US, by="t")
    loop.close()
    code = f"""
from pathlib import Path
from andon.loop import open_loop
from andon.settings import Settings
done = open_loop(Settings(home=Path({str(tmp_path / "home")!r}), embedder="hashed")).erase("eve@example.com", {US}, "dpo")
print(done.left)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "()"
    assert said.encode() not in bytes_below(tmp_path / "home")


def test_the_team_is_not_the_users(loop: Loop) -> None:
    """A person of the team whose name somebody typed as a question stays as they are, and the erasure says that nothing is left."""
    name = "Bartholomew Featherstone"
    add_person(loop.ledger, name, "owner", by="root", now_us=US)
    now = US - 3_600_000_000
    kept = Interaction(id="i-1", time_us=now, app="shop", user_id="eve", query=name, answer=SECRET)
    loop.intake.records([kept])
    loop.warehouse.commit()
    assert loop.erase("eve", US, "dpo").left == ()
    person = person_of(loop.ledger, name)
    assert person is not None
    assert person.id == name


def test_every_kind_that_is_read_from_the_ledger_is_one_that_an_erasure_knows() -> None:
    """A record class that a module asks the ledger for is among those of the loop, unless it is a number with a name of ours or about the team."""
    known = [c.__name__ for c in RECORDS]
    assert len(known) == len(set(known))
    asked = set()
    for path in Path(andon.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args:
                on, kind = ast.unparse(call.func.value), call.args[0]
                if on.endswith("ledger") and call.func.attr in ("get", "latest", "all", "history"):
                    asked.add(kind.id if isinstance(kind, ast.Name) else "")
    assert len(asked) > 30
    assert asked - {"", "kind", "ChangeCursor", "WatchCursor"} - {k.__name__ for k in KINDS} <= set(known)
