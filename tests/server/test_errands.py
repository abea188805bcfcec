"""Laws of errands: long work that people ask for on the page, done by real processes beside the server."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import eventually

from andon.errors import InputError, StateError
from andon.evals import EvalRun
from andon.evals.records import Baseline
from andon.golden import Case, CoverageMap, Failure
from andon.golden import run as golden
from andon.golden.cases import case_id
from andon.incidents import Incident
from andon.investigations import Investigation
from andon.loop import open_loop
from andon.postmortems import Postmortem
from andon.server import create_server
from andon.server.errand_work import VERBS, checked
from andon.server.errands import KEPT, MOST_WAITING, Errand, Errands
from andon.settings import Settings, load
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS

START_US = 1_772_409_600_000_000
OF = 20
SECRET = "andon-secret-that-nobody-may-see"
LONG_S = 90.0

SLOW = r"""
read line; rule=${line##*rule }; rule=${rule%%\?*}
echo "$rule" >> "$1"; sleep 0.3; echo "Article $rule"
"""


def case(n: int) -> Case:
    """The n-th question of a legal assistant."""
    question, truth = f"Which article holds rule {n}?", f"Article {n}"
    return Case(
        id=case_id("legal", question, truth), question=question, ground_truth=truth, app="legal", answer=None,
        contexts=(), source="", failure_reason="", added_date="2026-03-01",
    )  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A store with twenty cases, an incident that a probe opened, and a baseline whose program takes its time."""
    folder = tmp_path_factory.mktemp("errands")
    (folder / "andon.toml").write_text(
        f'[[probe]]\nname = "weekly"\napp = "legal"\ntarget = "recorded:{folder}/model.jsonl"\nevery = "7d"\n',
        encoding="utf-8",
    )
    rows = [{"question": case(n).question, "answer": "Article 0"} for n in range(OF)]
    (folder / "model.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    (folder / "slow.sh").write_text(SLOW, encoding="utf-8")
    made = load(
        {
            "ANDON_HOME": str(folder / "home"),
            "ANDON_CONFIG": str(folder / "andon.toml"),
            "ANDON_EMBEDDER": "hashed",
            "ANDON_TOKEN": SECRET,
        }
    )
    loop = open_loop(made)
    for n in range(OF):
        loop.ledger.put(case(n), now_us=START_US, by="ann")
    loop.probe(START_US)
    loop.tick(START_US)
    assert [i.id for i in loop.ledger.all(Incident)] == ["INC-0001"]
    spec = f"command:/bin/sh {folder}/slow.sh {folder}/asked.txt"
    baseline = Baseline(id="legal", target=spec, run="E-of-old", by="ann", at_us=START_US)
    loop.ledger.put(baseline, now_us=START_US, by="ann")
    loop.close()
    return made


@pytest.fixture(scope="module")
def errands(settings: Settings) -> Iterator[Errands]:
    """Errands over that store, closed at the end."""
    made = Errands(settings)
    yield made
    made.close()


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The ledger, as the server's process reads it."""
    with_store = Ledger.open(settings.home / "ledger.db")
    yield with_store
    with_store.close()


def asked(settings: Settings) -> list[str]:
    """The questions that the program was asked until now, in order."""
    file = settings.home.parent / "asked.txt"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def done(errands: Errands, what: str, **args: object) -> Errand:
    """The errand after its end."""
    return errands.wait(errands.ask(what, "ann", **args), LONG_S)


def test_what_is_asked_for_is_told_from_the_asking_to_its_end(errands: Errands, ledger: Ledger) -> None:
    """An investigation waits, works and is done, in this order and each told; the ledger has it; no secret is in the arguments."""
    heard: list[Errand] = []
    end = errands.told(heard.append)
    wrong = errands.told(lambda errand: 1 / 0)  # one who listens wrongly keeps nobody else from hearing
    errand_id = errands.ask("investigate", "ann", incident="INC-0001")
    assert errands.ask("investigate", "ben", incident="INC-0001") == errand_id, "the same work is not done twice"
    eventually(lambda: "long" in errands.processes)
    command = Path(f"/proc/{errands.processes['long']}/cmdline")
    assert not command.exists() or SECRET.encode() not in command.read_bytes()
    errand = errands.wait(errand_id, LONG_S)
    eventually(lambda: bool(heard) and heard[-1].over)
    end()
    wrong()
    assert (errand.state, errand.what, errand.about, errand.by) == ("done", "investigate", "INC-0001", "ann"), errand
    assert errand.done_us is not None
    assert errand.done_us >= errand.at_us
    assert errand.result is not None
    assert errand.result["incident"] == "INC-0001"
    assert errand.text.startswith("INC-0001 was investigated")
    states = [e.state for e in heard]
    assert states == sorted(states, key=("waiting", "working", "done").index)
    assert {"waiting", "working", "done"} == set(states)
    assert any("INC-0001" in e.text for e in heard if e.state == "working")
    versions = ledger.history(Investigation, "INC-0001")
    assert versions[-1].record.at_us == errand.result["at_us"]


def test_every_verb_does_what_its_command_does(errands: Errands, ledger: Ledger) -> None:
    """Exit criteria are measured, a draft is drafted anew, failures are captured, a probe is asked, one process doing all."""
    drafts = len(ledger.history(Postmortem, "INC-0001"))
    recovered = done(errands, "recover", incident="INC-0001")
    assert recovered.state == "done", recovered
    assert recovered.result is not None
    assert recovered.result["state"] == "open"
    process = errands.processes["long"]
    assert done(errands, "redraft", incident="INC-0001").state == "done"
    assert len(ledger.history(Postmortem, "INC-0001")) == drafts + 1
    captured = done(errands, "capture", since="24h")
    assert captured.state == "done", captured
    assert errands.processes["long"] == process
    probed = done(errands, "probe", name="weekly")
    assert probed.state == "done", probed
    assert probed.result is not None
    assert (probed.result["failed"], probed.result["problem"]) == (OF - 1, "")
    refused = done(errands, "prove", action="INC-0001-A9")
    assert refused.state == "failed"
    assert "INC-0001-A9" in refused.error
    unknown = done(errands, "investigate", incident="INC-0404")
    assert "INC-0404" in unknown.error


def test_labels_become_cases_beside_the_server(errands: Errands, ledger: Ledger) -> None:
    """Settled labels become cases in the name of who asked, what is near a case is refused, and a map of coverage is kept."""
    one = Failure(id="F-1", captured_us=START_US, app="zoo", question="What does the emu eat?", answer="Stones")
    two = Failure(id="F-2", captured_us=START_US, app="zoo", question="what does the emu eat ?", answer="Glass")
    for f in (one, two):
        ledger.put(f, now_us=START_US, by="andon")
        golden.give_label(ledger, f.id, answer="Seeds and insects", now_us=START_US, by="ann")
    added = done(errands, "add")
    assert added.state == "done", added
    assert added.result is not None
    assert (added.result["added"], added.result["refused"], added.result["baselines"]) == (1, 1, [])
    (made,) = (c for c in ledger.all(Case) if c.app == "zoo")
    assert ledger.latest(Case, made.id).by == "ann"  # type: ignore[union-attr]
    covered = done(errands, "cover", app="zoo")
    assert covered.state == "done", covered
    kept = ledger.get(CoverageMap, "zoo")
    assert kept is not None
    assert (kept.by, kept.found.whole) == ("ann", None)


@pytest.mark.parametrize(
    "spec",
    ["python:os:getcwd", "command:touch pwned", "https://10.0.0.1/latest/meta-data", "file:/etc/passwd", "baseline:other"],
)  # fmt: skip
def test_nobody_chooses_a_target_by_a_request(errands: Errands, ledger: Ledger, spec: str) -> None:
    """A target that nobody at the machine wrote down is refused, whatever its form, and nothing is asked."""
    runs = ledger.ids(EvalRun)
    refused = done(errands, "evaluate", target=spec)
    assert refused.state == "failed"
    assert "not the name of a known target" in refused.error
    assert "baseline:legal, probe:weekly" in refused.error
    assert ledger.ids(EvalRun) == runs


def begun(errands: Errands, **args: object) -> str:
    """An eval of the slow program that has come some way."""
    errand_id = errands.ask("evaluate", "ann", target="baseline:legal", **args)
    eventually(lambda: ((e := errands.get(errand_id)) is not None) and (e.over or (e.share or 0) > 0.1), LONG_S)
    return errand_id


def test_an_eval_that_is_stopped_or_killed_goes_on_where_it_was(
    errands: Errands, settings: Settings, ledger: Ledger
) -> None:
    """Stopped by somebody, then killed: each says what to do, what waits behind is done, and nothing answered is asked twice."""
    errand_id = begun(errands)
    assert errands.ask("evaluate", "ben", target="baseline:legal") == errand_id
    errands.stop(errand_id, "ben")
    stopped = errands.wait(errand_id, LONG_S)
    assert (stopped.state, stopped.stopped_by) == ("failed", "ben"), stopped
    assert "ask again with resume" in stopped.error
    answered = asked(settings)
    assert 0 < len(answered) < OF
    with pytest.raises(StateError, match="failed already"):
        errands.stop(errand_id, "ben")

    errand_id = begun(errands, resume=True)
    behind = errands.ask("recover", "ann", incident="INC-0001")
    assert (waiting := errands.get(behind)) is not None
    assert waiting.state == "waiting", "errands are done one after the other"
    os.kill(errands.processes["long"], signal.SIGKILL)
    failed = errands.wait(errand_id, 10)
    assert failed.state == "failed", failed
    assert "signal 9" in failed.error
    assert "resume" in failed.error
    assert errands.wait(behind, LONG_S).state == "done"

    went_on = done(errands, "evaluate", target="baseline:legal", resume=True)
    assert went_on.state == "done", went_on
    assert went_on.result is not None
    assert (went_on.result["passed"], went_on.result["failed"], went_on.result["errors"]) == (OF, 0, 0)
    assert ledger.get(EvalRun, went_on.result["run"]) is not None
    assert set(asked(settings)) == {str(n) for n in range(OF)}
    assert len(asked(settings)) <= OF + 4, "only what was on its way when the process was killed is asked again"
    assert all(asked(settings).count(rule) == 1 for rule in answered)
    eventually(lambda: "long" not in errands.processes)  # the next one is to see the newest code of a target


@pytest.mark.parametrize("after_s", [0.0, 0.2])
def test_a_stop_before_the_process_is_there_counts(settings: Settings, after_s: float) -> None:
    """Who stops an eval while its process still starts has stopped it: no question is asked, and no money spent."""
    errands, before = Errands(settings), len(asked(settings))
    try:
        errand_id = errands.ask("evaluate", "ann", target="baseline:legal")
        eventually(lambda: (e := errands.get(errand_id)) is not None and e.state == "working", LONG_S)
        time.sleep(after_s)
        errands.stop(errand_id, "ben")
        stopped = errands.wait(errand_id, LONG_S)
        assert (stopped.state, stopped.stopped_by) == ("failed", "ben"), stopped
        assert len(asked(settings)) == before
        assert done(errands, "recover", incident="INC-0001").state == "done", "what comes next is done"
    finally:
        errands.close()


def test_two_who_stop_one_errand_are_answered(settings: Settings) -> None:
    """Of several who stop what waits one does it, and the others are told so: nobody meets an error of ours."""

    class Slow(Errands):
        def change(self, errand_id: str, **now: object) -> None:
            time.sleep(0.01)
            super().change(errand_id, **now)

    errands = Slow(settings)
    try:
        errands.ask("investigate", "ann", incident="INC-9999")
        waits = [errands.ask("recover", "ann", incident=f"INC-{n}") for n in range(20)]
        said: list[str] = []

        def stop(errand_id: str) -> None:
            try:
                errands.stop(errand_id, "ben")
                said.append("stopped")
            except StateError:
                said.append("over")
            except Exception as error:
                said.append(repr(error))

        threads = [threading.Thread(target=stop, args=(i,)) for i in waits for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(said) == ["over"] * 60 + ["stopped"] * 20
    finally:
        errands.close()


def test_what_must_not_wait_has_a_process_that_is_kept(settings: Settings) -> None:
    """Freezing is done beside long work by a process that was kept ready; one that died resting costs no errand; others end."""
    errands = Errands(settings, idle_s=0.3)
    try:
        errands.warm()
        long_one = errands.ask("investigate", "ann", incident="INC-0001")
        assert done(errands, "freeze", app="legal").state == "done"
        assert errands.wait(long_one, LONG_S).state == "done"
        eventually(lambda: set(errands.processes) == {"quick"})
        process = errands.processes["quick"]
        began = time.monotonic()
        assert done(errands, "freeze", app="legal").state == "done"
        assert time.monotonic() - began < 3, "it is ready"
        assert errands.processes["quick"] == process
        os.kill(process, signal.SIGKILL)
        assert done(errands, "freeze").state == "done"
    finally:
        errands.close()
    assert errands.processes == {}


def test_the_end_of_the_parent_is_the_end_of_the_process(settings: Settings) -> None:
    """A server that is killed leaves no process behind that goes on with its store."""
    plain = {"home": str(settings.home), "config": settings.config, "embedder": "hashed"}
    code = f"""
import time
from pathlib import Path
from andon.server.errands import Errands
from andon.settings import Settings
plain = {plain!r}
errands = Errands(Settings(**{{**plain, "home": Path(plain["home"])}}))
i = errands.ask("recover", "ann", incident="INC-0001")
errands.wait(i, 60)
print(errands.processes["long"], errands.get(i).state, flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    try:
        assert parent.stdout is not None
        child, state = parent.stdout.readline().split()
        assert state == b"done"
        os.kill(int(child), 0)
    finally:
        parent.kill()
        parent.communicate()
    eventually(lambda: _gone(int(child)), 20)


def _gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_server_closes_its_errands_and_what_waited_says_so(tmp_path: Path, settings: Settings) -> None:
    """Only so many wait and so many are known; what waits can be stopped; at the end of the server the rest fails and says why."""
    errands = Errands(settings)
    first = errands.ask("investigate", "ann", incident="INC-9999")  # its process takes its time to start
    eventually(lambda: (begun := errands.get(first)) is not None and begun.state == "working")
    for n in range(KEPT + 20):
        waiting = errands.ask("investigate", "ann", incident=f"INC-{n}")
        errands.stop(waiting, "ann")
        assert (stopped := errands.get(waiting)) is not None
        assert stopped.error == "stopped by ann before it was begun"
    assert len(errands.all()) <= KEPT + 1
    waits = [errands.ask("recover", "ann", incident=f"INC-{n}") for n in range(MOST_WAITING)]
    with pytest.raises(StateError, match=f"{MOST_WAITING} errands wait already"):
        errands.ask("recover", "ann", incident="INC-X")
    server = create_server(
        Warehouse(tmp_path / "home", SCHEMAS), Ledger.open(tmp_path / "home" / "ledger.db"), None, errands=errands
    )
    began = time.monotonic()
    server.abandon()
    assert time.monotonic() - began < 10
    ends = [errands.wait(i, 5) for i in (first, *waits)]
    assert {e.state for e in ends} == {"failed"}
    assert all("Andon was stopped" in e.error for e in ends[1:])
    with pytest.raises(StateError, match="being stopped"):
        errands.ask("freeze", "ann")
    assert errands.processes == {}


def test_only_known_verbs_with_their_arguments_are_taken(settings: Settings) -> None:
    """What is wrong with a request is said at once, with what is allowed; no process is started for it."""
    errands = Errands(settings)
    for what, args, said in (
        ("erase", {}, "allowed are investigate"),
        ("investigate", {}, "needs incident"),
        ("investigate", {"incident": 7}, "must be of type str"),
        ("investigate", {"incident": "INC-0001", "force": True}, "it takes incident"),
        ("evaluate", {"target": "x" * 501}, "1 to 500"),
        ("evaluate", {"target": "x", "budget_usd": float("nan")}, "finite"),
        ("evaluate", {"target": "x", "repeats": True}, "type int"),
    ):
        with pytest.raises(InputError, match=said):
            errands.ask(what, "ann", **args)
    with pytest.raises(InputError, match="no errand is called"):
        errands.wait("nobody", 0)
    assert errands.get("nobody") is None
    assert errands.all() == []
    assert errands.processes == {}
    errands.close()


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=600) | st.lists(st.text())
NAMES = sorted({name for v in VERBS.values() for name in (*v.takes, *v.may_take)})


@given(what=st.sampled_from([*VERBS, "other"]), args=st.dictionaries(st.sampled_from([*NAMES, "x"]), VALUES))
def test_whatever_is_asked_is_right_or_refused(what: str, args: dict[str, object]) -> None:
    """Arguments come out with the names and types of their verb, and as JSON; everything else is an InputError."""
    try:
        verb, given_ = checked(what, args)
    except InputError:
        return
    known = {**verb.takes, **verb.may_take}
    assert set(verb.takes) <= set(given_) <= set(known)
    assert all(type(v) is known[k] for k, v in given_.items())
    assert json.loads(json.dumps(given_, allow_nan=False)) == given_
