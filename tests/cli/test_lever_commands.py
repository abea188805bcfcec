"""The commands of levers: what is typed at night, what it prints, and that nothing wrong is half written."""

import ast
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from andon.changes import Change
from andon.cli import levers as commands
from andon.cli.levers import unreviewed
from andon.cli.screen import now_us
from andon.incidents import Incident
from andon.levers import Effect, FirstRead, Pull, Version
from andon.levers.run import hold, start_split
from andon.loop import Loop
from andon.rollouts import Experiment
from andon.store import Ledger

Type = Callable[..., tuple[int, str, str]]
HOUR_US = 3_600_000_000
PROMPT = "Say: ask a doctor."
PATIENT = partial(commands.freeze_within, seconds=60.0)  # a busy machine is no failure


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """The ledger of the home in which commands are typed."""
    (tmp_path / "home").mkdir()
    return Ledger.open(tmp_path / "home" / "ledger.db")


@pytest.fixture
def as_(type_: Type, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Type a command as somebody."""

    def typed(name: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("USER", name)
        monkeypatch.setenv("LOGNAME", name)
        return type_(*words)

    return typed


def _written(ledger: Ledger) -> list[tuple[str, str]]:
    return list(ledger.bodies())


def _cite(type_: Type) -> None:
    assert type_("lever", "declare", "cite", "--default", "true", "--safe", "false")[0] == 0


def _incident(ledger: Ledger, name: str = "INC-0007") -> None:
    incident = Incident(
        id=name, title="t", app="bot", environment="production", metric="m", lead="", onset_us=1, onset_low_us=1,
        onset_high_us=1, alarmed_us=1, last_signal_us=1,
    )  # fmt: skip
    ledger.put(incident, now_us=1, by="andon")


def _prompt(as_: Type, *texts: str) -> list[str]:
    """A lever for prompts, with versions that ann wrote; returns their digests."""
    as_("ann", "lever", "declare", "prompt", "--kind", "string", "--default", "Hello.", "--safe", PROMPT)
    for text in texts:
        code, out, _ = as_("ann", "lever", "version", "add", "prompt", "--value", text, "--why", f"why {text}")
        assert code == 0, out
    found = as_("ann", "lever", "version", "list", "prompt")[1].splitlines()[1:]
    return [next(r for r in found if r.rstrip().endswith(f"why {t}")).split()[0] for t in texts]


def _live(as_: Type, digest: str) -> None:
    """Approve a version and bring it to production."""
    for words in (("version", "approve"), ("promote", "--to", "staging"), ("promote", "--to", "production")):
        act, options = words[: 1 + (words[0] == "version")], words[1 + (words[0] == "version") :]
        assert as_("bob", "lever", *act, "prompt", digest, *options, "--why", "good")[0] == 0


def test_a_hold_says_until_when_and_how_it_ends(type_: Type) -> None:
    """A hold prints one line that says what is held until when, and the command that ends it, which does."""
    _cite(type_)
    code, out, _ = type_("lever", "hold", "cite", "--why", "INC", "--for", "4h", "--environment", "staging")
    held, end = out.splitlines()[:2]
    assert code == 0
    assert re.fullmatch(r"cite is held at false in staging until \S+Z \(pull-cite-00001\)", held)
    words = re.fullmatch(r'end it: andon (.*) --why "\.\.\."', end)
    assert words is not None
    code, out, _ = type_(*words[1].split(), "--why", "mended", "--environment", "staging")
    assert code == 0
    assert out.startswith("cite is released in staging (pull-cite-00001): true (the default) is served again\n")


def test_a_release_reminds_of_the_exit_criterion(type_: Type) -> None:
    """Who releases is told what should be true by then."""
    _cite(type_)
    type_("lever", "hold", "cite", "--why", "x", "--for", "4h", "--exit", "accuracy above 95 %")
    assert "accuracy above 95 %" in type_("lever", "release", "cite", "--why", "y")[1]


def test_a_dry_run_tells_all_and_writes_nothing(as_: Type, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then, the holder who would be superseded, the end, what is served after it and the change; nothing is written or frozen."""
    _cite(partial(as_, "ann"))
    as_("bob", "lever", "hold", "cite", "--value", "true", "--why", "keep it", "--for", "1h")
    _incident(ledger)
    before = _written(ledger)
    monkeypatch.setattr(Loop, "freeze", lambda *_: pytest.fail("a dry run froze evidence"))
    code, out, _ = as_("ann", "lever", "hold", "cite", "--why", "x", "--for", "2h", "--dry-run")
    assert code == 0
    assert "cite in production: true -> false\n" in out
    assert re.search(r"pull-cite-00001 by bob holds it until \S+Z and would be superseded: keep it\n", out)
    assert re.search(r"it ends at \S+Z; then true \(the default\) is served\n", out)
    assert "in the log of changes: lever cite held at false (true -> false)\n" in out
    assert "evidence first: INC-0007\n" in out
    assert "a dry run froze" not in out
    assert _written(ledger) == before


def test_evidence_is_frozen_before_the_lever_moves(
    type_: Type, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When evidence is frozen there is no pull yet; the pull says what was frozen, and is later."""
    _cite(type_)
    _incident(ledger)
    monkeypatch.setattr(commands, "freeze_within", PATIENT)
    seen: list[int] = []

    def freeze(loop: Loop, app: str | None, now_us: int) -> list[str]:
        assert app is None
        assert not ledger.all(Pull)
        seen.append(now_us)
        return ["INC-0007"]

    monkeypatch.setattr(Loop, "freeze", freeze)
    out = type_("lever", "hold", "cite", "--why", "x", "--for", "2h")[1]
    (pull,) = ledger.all(Pull)
    assert "evidence of INC-0007 is frozen" in out
    assert pull.evidence == "evidence of INC-0007 is frozen"
    assert len(seen) == 1
    assert pull.at_us > seen[0]
    assert pull.until_us == pull.at_us + 2 * HOUR_US


@pytest.mark.parametrize("error", [OSError("disk full"), RuntimeError("a fault of ours")])
def test_evidence_that_cannot_be_frozen_stops_nobody(
    type_: Type, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever happens while evidence is frozen, the lever is held, and both the person and the pull are told."""
    _cite(type_)
    _incident(ledger)

    def freeze(*_: object) -> list[str]:
        raise error

    monkeypatch.setattr(commands, "freeze_within", PATIENT)
    monkeypatch.setattr(Loop, "freeze", freeze)
    code, out, _ = type_("lever", "hold", "cite", "--why", "x", "--for", "2h")
    (pull,) = ledger.all(Pull)
    assert code == 0
    assert str(error) in out
    assert str(error) in pull.evidence


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hold", "cit", "--for", "1h"), "declared: cite, "),
        (("hold", "cite", "--for", "1h", "--value", "no"), "true or false"),
        (("hold", "cite", "--for", "1h", "--incident", "INC-0404"), "INC-0404"),
        (("hold", "cite", "--for", "1h", "--environment", "qa"), "staging and production"),
        (("hold", "prompt", "--for", "1h", "--version", "abcd", "--value", "x"), "exclude"),
        (("hold", "prompt", "--for", "1h", "--version", "abcd"), "is no version"),
        (("hold", "prompt", "--for", "1h", "--value", "a new text"), "--break-glass"),
        (("hold", "prompt", "--for", "1h", "--value", "@nothing.txt"), "nothing.txt"),
        (("hold", "prompt", "--for", "1h", "--value", "@latin.txt"), "UTF-8"),
        (("hold", "cite", "--for", "91d"), "90 days"),
        (("hold", "cite", "--for", "soon"), "soon"),
        (("hold", "cite", "--for", "0m"), "after now"),
        (("hold", "cite", "--for", "2020-01-01T00:00:00Z"), "after now"),
        (("hold", "prompt", "--for", "25h", "--value", "a new text", "--break-glass"), "a day"),
        (("hold", "limits", "--for", "1h", "--value", "null"), "not a value of limits"),
        (("hold", "limits", "--for", "1h", "--value", "{"), "not JSON"),
        (("hold", "limits", "--for", "1h", "--value", "7"), "object or array"),
        (("hold", "limits", "--for", "1h", "--value", '{"a": 1, "a": 2}'), "twice"),
        (("hold", "limits", "--for", "1h", "--value", '{"a": NaN}'), "not a value of limits"),
        (("hold", "limits", "--for", "1h", "--value", DEEP), "deep"),
        (("hold", "top_k", "--for", "1h", "--value", "many"), "not a number"),
        (("hold", "top_k", "--for", "1h", "--value", "inf"), "finite"),
        (("release", "cite"), "nothing holds cite"),
        (("release", "cite", "--environment", "qa"), "staging and production"),
        (("rollback", "prompt", "--for", "1h"), "was ever promoted"),
        (("rollback", "prompt", "--for", "1h", "--environment", "qa"), "staging and production"),
        (("review", "pull-cite-00009"), "waiting for a review: none"),
        (("version", "add", "prompt"), "--value or by --file"),
        (("version", "add", "prompt", "--value", "a", "--file", "latin.txt"), "--value or by --file"),
        (("version", "add", "prompt", "--value", "a", "--from", "abcd"), "is no version"),
        (("version", "approve", "prompt", "abcd"), "is no version"),
        (("promote", "prompt", "abcd", "--to", "staging"), "is no version"),
    ],
)
def test_wrong_input_is_refused_and_nothing_is_written(
    type_: Type, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    """One line of error that names what is wrong or allowed, exit 2, nothing written and nothing frozen."""
    _cite(type_)
    type_("lever", "declare", "prompt", "--kind", "string", "--default", "Hello.", "--safe", PROMPT)
    type_("lever", "declare", "limits", "--kind", "object", "--default", '{"n": 1}', "--safe", "[]")
    type_("lever", "declare", "top_k", "--kind", "number", "--default", "8", "--safe", "3")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    _incident(ledger)
    before = _written(ledger)
    monkeypatch.setattr(Loop, "freeze", lambda *_: pytest.fail("evidence was frozen for wrong input"))
    code, out, err = type_("lever", *words, "--why", "x")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert "Traceback" not in err
    assert _written(ledger) == before


@pytest.mark.parametrize("words", [("--dry-run",), ()])
def test_a_dry_run_refuses_what_a_hold_refuses(as_: Type, words: tuple[str, ...]) -> None:
    """Production is shown nothing unapproved, and a dry run says so as the hold does."""
    (digest,) = _prompt(as_, "short")
    code, _, err = as_("ann", "lever", "hold", "prompt", "--version", digest, "--why", "x", "--for", "1h", *words)
    assert code == 2
    assert "is not approved" in err


def test_a_broken_glass_is_loud_ends_and_is_reviewed_by_another(as_: Type, ledger: Ledger) -> None:
    """It says which rule was broken, when it ends and who looks at it; it waits in `unreviewed` until another person did."""
    _prompt(as_)
    hold = ("lever", "hold", "prompt", "--value", "brief", "--why", "worse harm", "--for", "2h", "--break-glass")
    code, out, _ = as_("ann", *hold)
    loud = [line for line in out.splitlines() if line.startswith("BREAK GLASS: ")]
    assert code == 0
    assert "ann overrides a rule" in loud[0]
    assert "nothing unapproved is served to production" in loud[0]
    assert "--break-glass" not in loud[0]
    assert re.search(r"ends by itself at \S+Z, and somebody else than ann reviews it", loud[1])
    assert "andon lever review pull-prompt-00001" in loud[2]
    (waiting,) = unreviewed(ledger)
    assert "pull-prompt-00001" in waiting
    assert "by ann" in waiting
    review = ("lever", "review", "pull-prompt-00001", "--why", "right")
    code, _, err = as_("Ann", *review)
    assert code == 2
    assert "ask another person" in err
    assert as_("", *review)[0] == 2  # nobody knows who
    assert as_("bob", *review)[0] == 0
    assert unreviewed(ledger) == []
    assert as_("carol", *review)[0] == 2


def test_a_glass_is_not_broken_without_need(as_: Type, ledger: Ledger) -> None:
    """Where no rule stands against a value, --break-glass breaks nothing: nobody has to review it, and it may last."""
    _cite(partial(as_, "ann"))
    out = as_("ann", "lever", "hold", "cite", "--why", "x", "--for", "3d", "--break-glass")[1]
    (pull,) = ledger.all(Pull)
    assert "no glass is broken" in out
    assert not pull.break_glass
    assert "BREAK GLASS" not in out


def test_a_rollback_holds_what_was_live_before(as_: Type, ledger: Ledger) -> None:
    """Without --to it holds the version before the present one, with --to an earlier one; never one that was not live."""
    first, second, third, never = _prompt(as_, "one", "two", "three", "four")
    for digest in (first, second, third):
        _live(as_, digest)
    back = ("lever", "rollback", "prompt", "--why", "worse", "--for", "1h")
    dry = as_("bob", *back, "--dry-run")[1]
    assert f'-> version {second}, "two"' in dry
    assert not ledger.all(Pull)
    assert as_("bob", *back)[0] == 0
    assert as_("bob", *back, "--to", first)[0] == 0
    assert [p.digest for p in sorted(ledger.all(Pull), key=lambda p: p.at_us)] == [second, first]
    code, _, err = as_("bob", *back, "--to", never)
    assert code == 2
    assert "was never live in production" in err
    assert first in err
    out = as_("bob", "lever", "release", "prompt", "--why", "mended")[1]
    assert f'version {third}, "three" is served again' in out


def test_versions_are_written_read_and_approved_by_two(as_: Type, tmp_path: Path) -> None:
    """A file is taken as it is; the same value is the same version; the author cannot approve it, nor can nobody."""
    text = "You help.\nBe brief.\n"
    (tmp_path / "p.txt").write_text(text)
    _prompt(as_)
    add = ("lever", "version", "add", "prompt", "--file", "p.txt", "--why", "calm")
    code, out, _ = as_("ann", *add)
    digest = re.match(r"prompt@([0-9a-f]{12}) is written", out)
    assert code == 0
    assert digest is not None
    assert "written by ann at" in as_("bob", *add)[1]
    with_ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    (version,) = with_ledger.all(Version)
    assert (version.value, version.by) == (text, "ann")
    approve = ("lever", "version", "approve", "prompt", digest[1][:4], "--why", "read")
    for name in (" ANN", ""):
        assert as_(name, *approve)[0] == 2
    assert "is approved by bob" in as_("bob", *approve)[1]
    assert "was approved by bob before" in as_("bob", *approve)[1]
    assert [a.by for a in with_ledger.all(Version)[0].approvals] == ["bob"]


def test_a_diff_shows_what_nobody_sees(as_: Type) -> None:
    """A diff against what is approved, or between two: a character without a shape is written out, and no escape reaches the terminal."""
    first = _prompt(as_, "Refuse dosage.")[0]
    as_("bob", "lever", "version", "approve", "prompt", first, "--why", "x")
    hidden = "Refuse\u200b dosage.\x1b[2J\u202e"
    out = as_("ann", "lever", "version", "add", "prompt", "--value", hidden, "--why", "hidden", "--from", first)[1]
    second = out.split("@")[1][:12]
    plain = ("-Refuse dosage.", "+Refuse\\u200b dosage.\\x1b[2J\\u202e")
    for names in ((second,), (first, second)):
        lines = as_("ann", "lever", "version", "diff", "prompt", *names)[1].splitlines()
        assert [line for line in lines if line[0] in "-+" and line[:3] not in ("---", "+++")] == list(plain)
    assert lines[1].endswith(first)
    assert lines[2].endswith(second)


def test_staging_comes_before_production(as_: Type, ledger: Ledger) -> None:
    """Unapproved: not in production; approved: staging first; back to the declared default always."""
    one, two = _prompt(as_, "one", "two")

    def promote(digest: str, to: str, *more: str) -> tuple[int, str, str]:
        return as_("bob", "lever", "promote", "prompt", digest, "--to", to, "--why", "x", *more)

    assert promote(one, "staging")[0] == 0
    assert "is not approved" in promote(one, "production")[2]
    for digest in (one, two):
        as_("bob", "lever", "version", "approve", "prompt", digest, "--why", "x")
    code, _, err = promote(two, "production")
    assert code == 2
    assert "not live in staging" in err
    assert f"andon lever hold prompt --version {two}" in err
    for digest in (one, two):
        assert promote(digest, "staging")[0] == 0
        assert promote(digest, "production")[0] == 0
    before = _written(ledger)
    assert "is live in production already" in promote(two, "production")[1]
    assert _written(ledger) == before
    assert promote("default", "production")[1] == "the default of prompt is live in production\n"
    assert "the default of prompt is live in production already" in promote("default", "production")[1]


def test_a_changed_default_is_a_value_that_production_may_see(as_: Type, ledger: Ledger) -> None:
    """A lever is declared anew with an approved default; else the refusal says how to approve or to hold it. Never another kind."""
    _prompt(as_)
    new = ("lever", "declare", "prompt", "--default", "New.", "--safe", PROMPT)
    before = _written(ledger)
    code, _, err = as_("bob", *new)
    assert code == 2
    assert "andon lever version add prompt" in err
    assert "andon lever hold prompt --value ... --break-glass" in err
    as_boolean = ("--kind", "boolean", "--default", "true", "--safe", "false")
    assert "is a string lever and stays one" in as_("bob", "lever", "declare", "prompt", *as_boolean)[2]
    assert _written(ledger) == before
    digest = as_("ann", "lever", "version", "add", "prompt", "--value", "New.", "--why", "x")[1].split("@")[1][:12]
    as_("bob", "lever", "version", "approve", "prompt", digest, "--why", "x")
    assert as_("bob", *new)[0] == 0


@pytest.mark.parametrize(
    ("kind", "default", "safe"),
    [
        ("boolean", "true", "false"),
        ("number", "8", "3"),
        ("string", 'a "b" \\ \u202e\n', ""),
        ("object", '{"a": [true, null, 1.5]}', "[]"),
    ],
)
def test_the_line_of_code_gives_the_default(type_: Type, kind: str, default: str, safe: str) -> None:
    """The line that `show` and `declare` print is Python, asks for the lever's type and carries its default."""
    declare = ("lever", "declare", "k", "--kind", kind, "--default", default, "--safe", safe)
    for out in (type_(*declare)[1], type_("lever", "show", "k")[1]):
        line = next(line for line in out.splitlines() if line.startswith("  client."))
        call = ast.parse(line.strip(), mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Attribute)
        assert call.func.attr == {"number": "get_float_value"}.get(kind, f"get_{kind}_value")
        key, value = (ast.literal_eval(a) for a in call.args)
        wanted = {"boolean": True, "number": 8.0, "string": default}.get(kind) or json.loads(default)
        assert (key, value, type(value)) == ("k", wanted, type(wanted))


def test_an_experiment_that_a_hold_overrides_is_named(as_: Type, ledger: Ledger) -> None:
    """List, dry run, hold and release name the experiment that splits the users, and what its arms are given."""
    digest = _prompt(as_, "new")[0]
    as_("bob", "lever", "version", "approve", "prompt", digest, "--why", "x")
    plan = Experiment(
        id="EXP-0001", kind="ab", app="default", lever="prompt", control=None, treatment=digest, share=0.25, hypothesis="h",
        metric="error", better="down", effect=0.01, base=0.05, planned=(1, 1), days=7.0, by="ann", at_us=1,
    )  # fmt: skip
    start_split(ledger, plan, why="x", by="ann", now_us=now_us())
    split = f"version {digest} for 0.25 of the users and the default for the others (EXP-0001)"
    assert split in as_("ann", "lever", "list")[1]
    hold = ("lever", "hold", "prompt", "--why", "x", "--for", "1h")
    dry = as_("ann", *hold, "--dry-run")[1]
    assert re.search(r"EXP-0001 splits its users until \S+Z: all of them would be given this\n", dry)
    assert f"then {split} is served" in dry
    assert "EXP-0001 splits its users: all of them are given this meanwhile" in as_("ann", *hold)[1]
    assert f"{split} is served again" in as_("ann", "lever", "release", "prompt", "--why", "y")[1]
    late = as_("ann", *hold[:-1], "8d", "--dry-run")[1]  # the experiment is over by then
    assert 'then "Hello." (the default) is served' in late


def test_long_values_come_from_files_and_are_shown_short(type_: Type, ledger: Ledger, tmp_path: Path) -> None:
    """`@file` reads a text or an object whole; no command prints all of it, and the line of code names what it leaves out."""
    text = "Be kind.\n" * 2_000
    (tmp_path / "p.txt").write_text(text)
    (tmp_path / "o.json").write_text(json.dumps({"allow": ["search"] * 500}))
    declare = ("lever", "declare", "p", "--kind", "string", "--default", "@p.txt", "--safe", "@p.txt")
    outs = [type_(*declare)[1]]
    outs.append(type_("lever", "declare", "o", "--kind", "object", "--default", "@o.json", "--safe", "[]")[1])
    outs += [type_("lever", "hold", k, "--why", "x", "--for", "1h")[1] for k in "po"]
    outs += [type_("lever", "show", k)[1] for k in "po"] + [type_("lever", "list")[1]]
    assert {p.lever: p.value for p in ledger.all(Pull)} == {"p": text, "o": []}
    assert max(len(line) for out in outs for line in out.splitlines()) < 400
    assert 'client.get_string_value("p", DEFAULT)' in outs[0]
    assert "(18,000 characters)" in outs[0]


def test_show_tells_what_a_pull_was_and_did(as_: Type, ledger: Ledger) -> None:
    """Who, why, trade-off, exit, how it ended, the first read, the effect, and the versions with their approvals and places."""
    one, two = _prompt(as_, "one", "two")
    _live(as_, one)
    _live(as_, two)
    hold = ("lever", "hold", "prompt", "--why", "harm", "--for", "1h", "--trade-off", "dull", "--exit", "gate passes")
    as_("ann", *hold)
    (pull,) = ledger.all(Pull)
    read = FirstRead(id=pull.id, at_us=pull.at_us + 1_300_000)
    effect = Effect(
        id=f"{pull.id}:refusal", pull=pull.id, metric="refusal", direction="up", scope={}, before_x=1, before_n=2, after_x=0,
        after_n=2, difference=-0.5, low=-0.9, high=0.1, from_us=0, until_us=1, at_us=1, text="refusals fell by half",
    )  # fmt: skip
    for record in (read, effect):
        ledger.put(record, now_us=1, by="t")
    out = as_("ann", "lever", "show", "prompt")[1]
    assert re.search(r'production: held at "Say: ask a doctor\." by ann until \S+Z: harm\n', out)
    assert f'staging: version {two}, "two"\n' in out
    for text in (
        "why: harm",
        "trade-off: dull",
        "to be released when: gate passes",
        "first read by an application 1.3 s after",
        "effect: refusals fell by half",
        "  holds\n",
        "no incident was open",
    ):
        assert text in out
    rows = {line.split()[0]: line for line in out.splitlines() if line[:12] in (one, two)}
    assert "staging before; production before" in rows[one]
    assert re.search(r"bob +not asked +staging since \S+ by bob; production since", rows[two])
    as_("bob", "lever", "release", "prompt", "--why", "gate passed")
    assert "by bob: gate passed" in as_("ann", "lever", "show", "prompt")[1]
    listed = as_("ann", "lever", "list")[1].splitlines()[1]
    assert listed.count(f'version {two}, "two"') == 2


def test_what_people_write_fakes_no_line(as_: Type, ledger: Ledger) -> None:
    """Escapes and line ends in reasons, names and values stay within their line, in every command that shows them."""
    evil = "x\x1b[2J\nBREAK GLASS: all is well\u202e"
    _prompt(as_)
    as_("ann", "lever", "version", "add", "prompt", "--value", evil, "--why", evil)
    hold = ("lever", "hold", "prompt", "--value", evil, "--for", "1h", "--why", evil)
    more = ("--trade-off", evil, "--exit", evil, "--break-glass")
    typed = [
        as_("eve\nBREAK GLASS: x", *hold, *more),
        as_("ann", "lever", "hold", "prompt", "--why", evil, "--for", "1h", "--dry-run"),
        as_("ann", "lever", "show", "prompt"),
        as_("ann", "lever", "list"),
        as_("ann", "lever", "version", "list", "prompt"),
        as_("ann", "lever", "release", "prompt", "--why", evil),
        as_("ann", "lever", "show", "prompt"),
    ]
    (waiting,) = unreviewed(ledger)
    for code, out, _ in [*typed, (0, waiting, "")]:
        assert code == 0
        assert not {"\x1b", "\u202e"} & set(out)
        assert not [line for line in out.splitlines() if line.startswith(("BREAK GLASS: all", "BREAK GLASS: x"))]


def test_a_gate_is_computed_from_a_run(as_: Type, ledger: Ledger, tmp_path: Path) -> None:
    """A run that lost cases fails (exit 1) and keeps the version out of production until a later run passes (exit 0)."""
    (digest,) = _prompt(as_, "one")
    cases = [{"question": f"question {k}", "ground_truth": f"answer {k}", "risk_category": "shop"} for k in range(30)]
    (tmp_path / "golden.jsonl").write_text("".join(json.dumps(c) + "\n" for c in cases))
    for name, answer in (("good", "answer {}"), ("now", "answer {}."), ("bad", "nothing")):
        rows = [{"question": f"question {k}", "answer": answer.format(k)} for k in range(30)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        target = ("--golden", "golden.jsonl", "--target", f"recorded:{name}.jsonl", "--out", f"{name}.json")
        as_("ann", "eval", "run", *target)
    gate = (
        "lever",
        "version",
        "gate",
        "prompt",
        digest,
        "--golden",
        "golden.jsonl",
        "--baseline",
        "now.json",
        "--vouch",
    )
    code, out, _ = as_("ann", *gate, "--run", "bad.json")
    assert code == 1, out
    assert f"prompt@{digest}: fail." in out
    as_("bob", "lever", "version", "approve", "prompt", digest, "--why", "x")
    as_("bob", "lever", "promote", "prompt", digest, "--to", "staging", "--why", "x")
    live = ("lever", "promote", "prompt", digest, "--to", "production", "--why", "x")
    code, _, err = as_("bob", *live)
    assert code == 2
    assert "the gate did not pass" in err
    text = (tmp_path / "bad.json").read_text()
    (tmp_path / "typed.json").write_text(text.replace('"outcome": "fail"', '"outcome": "pass"'))
    assert (tmp_path / "typed.json").read_text() != text
    before = _written(ledger)
    code, _, err = as_("ann", *gate, "--run", "typed.json")
    assert (code, "was changed after it was saved" in err) == (2, True)
    assert _written(ledger) == before
    code, out, _ = as_("ann", *gate, "--run", "good.json")
    assert code == 0, out
    assert "does not say which version it tested, ann says that it was this one" in out
    assert as_("bob", *live)[0] == 0
    (version,) = ledger.all(Version)
    assert [g.outcome for g in version.gates] == ["fail", "pass"]
    assert all(g.run and g.by == "ann" for g in version.gates)


def test_a_lever_that_stays_long_shows_its_last_pulls(as_: Type, ledger: Ledger) -> None:
    """A page of a lever ends with the newest pulls, and says how many it leaves out."""
    _cite(partial(as_, "ann"))
    as_("ann", "lever", "hold", "cite", "--why", "pull 0", "--for", "1h")
    (pull,) = ledger.all(Pull)
    for k in range(1, 8):
        made = replace(pull, id=f"pull-cite-{k + 1:05d}", at_us=pull.at_us + k, why=f"pull {k}")
        ledger.put(made, now_us=made.at_us, by="ann")
    out = as_("ann", "lever", "show", "cite")[1]
    assert re.findall(r"why: (pull \d)", out) == [f"pull {k}" for k in (7, 6, 5, 4, 3)]
    assert "3 earlier pulls are not shown" in out


def test_a_rule_is_named_once(as_: Type, ledger: Ledger) -> None:
    """What a rule pulled names the rule once wherever it is shown, by its author: rule and person."""
    _prompt(as_)
    by = "rule careful prompt of ann"
    now = now_us()
    hold(ledger, "prompt", why="harm", by=by, until_us=now + HOUR_US, now_us=now, rule="careful prompt")
    (change,) = ledger.all(Change)
    assert (change.author, "careful" in change.title) == (by, False)
    for words in (("show", "prompt"), ("list",)):
        lines = [line for line in as_("ann", "lever", *words)[1].splitlines() if "careful prompt" in line]
        assert lines
        assert all(line.count("careful prompt") == 1 and by in line for line in lines)


def test_pulls_are_shown_in_the_order_in_which_they_came(as_: Type, ledger: Ledger) -> None:
    """The newest pull stands first, also where the clock of the one before was days ahead."""
    _prompt(as_)
    now = now_us()
    for at_us in (now + 72 * HOUR_US, now):
        hold(ledger, "prompt", why="harm", by="ann", until_us=at_us + HOUR_US, now_us=at_us)
    out = as_("ann", "lever", "show", "prompt")[1]
    assert 0 < out.index("pull-prompt-00002: ") < out.index("pull-prompt-00001: ")


def test_of_many_incidents_the_newest_are_named(as_: Type, ledger: Ledger) -> None:
    """An unknown incident is answered with the ten newest that there are, and how many more."""
    _cite(partial(as_, "ann"))
    for n in range(14):
        _incident(ledger, f"INC-{n:04d}")
    _, _, err = as_("ann", "lever", "hold", "cite", "--why", "x", "--for", "1h", "--incident", "INC-9999")
    assert re.findall(r"INC-00\d\d", err) == [f"INC-{n:04d}" for n in range(13, 3, -1)]
    assert "and 4 older" in err
