"""Laws of the commands about actions, review, search and learning: one function each, harmless output, honest exit codes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from records_made import DAY, HOUR, action, draft, incident

from andon.cli.screen import now_us
from andon.postmortems import ActionItem, Published, Review, render_markdown
from andon.store import Ledger

Type = Callable[..., tuple[int, str, str]]
HOSTILE = "\x1b]0;owned\x07 rose\nINC-9999: fake"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one incident, its draft and two proposals; all times are a few hours ago."""
    book = Ledger.open(tmp_path / "home" / "ledger.db")
    at = now_us() - 5 * HOUR
    i = incident(
        title=f"refusals {HOSTILE}", onset_us=at - HOUR, onset_low_us=at - 2 * HOUR, onset_high_us=at, alarmed_us=at, last_signal_us=at,
    )  # fmt: skip
    book.put(i, now_us=at, by="andon")
    book.put(draft(i, action(title=HOSTILE), action("INC-0001-A2", kind="detect"), summary=(f"The index was stale. {HOSTILE}",)), now_us=at, by="andon")  # fmt: skip
    book.close()
    return tmp_path


def kept(home: Path, kind: type) -> list:
    """What the ledger of the home holds of a kind."""
    book = Ledger.open(home / "home" / "ledger.db")
    found = book.all(kind)
    book.close()
    return found


def test_an_action_from_proposal_to_proof(home: Path, type_: Type) -> None:
    """List, take, prove by a drill with a real lever: exit 1 before, 0 after; done ones leave the list."""
    code, out, _ = type_("action", "list")
    assert (code, out.count("proposed")) == (0, 2)
    code, out, _ = type_("action", "take", "INC-0001-A1", "--owner", "ann", "--due", "10d")
    assert code == 0
    assert "INC-0001-A1 is ann's" in out
    assert type_("action", "prove", "INC-0001-A1")[0] == 1
    type_("lever", "declare", "strict", "--default", "false", "--safe", "true")
    type_("lever", "hold", "strict", "--why", "drill", "--for", "10m")
    code, out, _ = type_("action", "prove", "INC-0001-A1")
    assert (code, "proved" in out) == (0, True)
    assert "INC-0001-A1" not in type_("action", "list")[1]
    assert "INC-0001-A1" in type_("action", "list", "--all")[1]
    assert [(i.id, i.state) for i in kept(home, ActionItem)] == [("INC-0001-A1", "done")]


def test_an_action_says_how_it_is_proved(home: Path, type_: Type) -> None:
    """`show` tells what, who, the test and the numbered steps to its proof, on harmless lines; a done one has none left."""
    code, out, _ = type_("action", "show", "INC-0001-A1")
    assert code == 0
    assert "\x1b" not in out
    assert "done when lever strict has a safe value" in out
    assert "  1. andon action take INC-0001-A1 --owner NAME" in out
    assert "andon action prove INC-0001-A1" in out
    type_("action", "take", "INC-0001-A1", "--owner", "ann", "--due", "10d")
    type_("lever", "declare", "strict", "--default", "false", "--safe", "true")
    type_("lever", "hold", "strict", "--why", "drill", "--for", "10m")
    type_("action", "prove", "INC-0001-A1")
    _, out, _ = type_("action", "show", "INC-0001-A1")
    assert "tested " in out
    assert "  1." not in out


def test_a_test_that_cannot_be_run_exits_3(home: Path, type_: Type) -> None:
    """Cannot tell is neither met nor failed: exit 3, for every kind that lacks its data."""
    for k, test in enumerate(
        ("case passes G-1 x5", "gate blocks staging", "monitor fires bot/production/refusal.up/all"), 1
    ):
        code, out, _ = type_(
            "action", "add", "INC-0001", "t", "--kind", "detect", "--owner", "ann", "--criterion", test
        )
        assert code == 0, out
        code, out, _ = type_("action", "prove", f"INC-0001-B{k}")
        assert code == 3, out
        assert "cannot tell" in out


def test_claims_and_drops(home: Path, type_: Type) -> None:
    """A claim leaves the action open with its link; a drop needs its reason; both are refused where they make no sense."""
    assert type_("action", "claim", "INC-0001-A1")[0] == 2
    type_("action", "take", "INC-0001-A1", "--owner", "ann")
    code, out, _ = type_("action", "claim", "INC-0001-A1", "--link", "https://jira.example/X-1")
    assert (code, "stays open" in out) == (0, True)
    assert type_("action", "drop", "INC-0001-A2", "--why", "duplicate")[0] == 0
    items = {i.id: i for i in kept(home, ActionItem)}
    assert (items["INC-0001-A1"].state, items["INC-0001-A1"].link) == ("open", "https://jira.example/X-1")
    assert (items["INC-0001-A2"].state, items["INC-0001-A2"].why) == ("dropped", "duplicate")
    assert type_("action", "list", "--overdue")[1].strip() == "no action to do"


@pytest.mark.parametrize(
    "words",
    [
        ("action", "take", "INC-0001-A9", "--owner", "ann"),
        ("action", "take", "INC-0001-A1", "--owner", " "),
        ("action", "take", "INC-0001-A1", "--owner", "ann", "--due", "2020-01-01T00:00:00Z"),
        ("action", "take", "INC-0001-A1", "--owner", "ann", "--criterion", "be careful"),
        ("action", "add", "INC-0001", "t", "--kind", "hope", "--owner", "a", "--criterion", "lever exists x"),
        ("action", "list", "--incident", "INC-0404"),
        ("action", "sync", "--repo", "acme/bot"),
        ("postmortem", "edit", "INC-0001", "--section", "Blame", "--text", "x"),
        ("postmortem", "edit", "INC-0001"),
        ("postmortem", "edit", "INC-0001", "--section", "Fix"),
        ("postmortem", "edit", "INC-0001", "--template", "none"),
        ("postmortem", "factor", "INC-0001", "people", "ann"),
        ("postmortem", "resolve", "INC-0001", "C1", "--answer", "x"),
        ("postmortem", "publish", "INC-0001"),
        ("postmortem", "amend", "INC-0001", "--why", "x"),
        ("postmortem", "search", "?"),
        ("learning", "--since", "soon"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(home: Path, type_: Type, words: tuple[str, ...], monkeypatch) -> None:
    """What is refused is said in one line, without a traceback, and nothing is written."""
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    code, _, err = type_(*words)
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith("error: ")
    assert kept(home, ActionItem) == []


def test_a_postmortem_from_draft_to_amendment(home: Path, type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edit, comment, resolve, sign by another, publish, amend: each step shows what is missing, and the history keeps all."""
    _, out, _ = type_("postmortem", "show", "INC-0001")
    empty = [line.rsplit("EMPTY", 1)[0].strip() for line in out.splitlines() if line.rstrip().endswith("EMPTY")]
    assert empty
    (home / "text.md").write_text("It was found late.", encoding="utf-8")
    for name in empty:
        assert type_("postmortem", "edit", "INC-0001", "--section", name, "--file", "text.md")[0] == 0
    type_("postmortem", "comment", "INC-0001", "why?")
    assert "missing: 1 comment open (C1)" in type_("postmortem", "show", "INC-0001")[1]
    type_("postmortem", "resolve", "INC-0001", "C1", "--answer", "said now")
    assert "does not count" in type_("postmortem", "sign", "INC-0001")[1]
    assert type_("postmortem", "publish", "INC-0001")[0] == 2
    monkeypatch.setenv("USER", "bob")
    assert "nothing is missing" in type_("postmortem", "sign", "INC-0001")[1]
    assert type_("postmortem", "publish", "INC-0001")[0] == 0
    assert "nothing has changed since" in type_("postmortem", "show", "INC-0001")[1]
    assert type_("postmortem", "factor", "INC-0001", "incentives", "dates were fixed")[0] == 0
    type_("postmortem", "sign", "INC-0001")
    assert type_("postmortem", "amend", "INC-0001", "--why", "incentives were missing")[0] == 0
    _, out, _ = type_("postmortem", "history", "INC-0001")
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["1", "2"]
    assert "incentives were missing" in out
    assert "ann" not in out  # who wrote a section and signed it: that did not count
    assert "## Signed off\n\nbob on" in render_markdown(kept(home, Published)[0].postmortem)
    assert kept(home, Published)[0].postmortem.status == "amended"
    assert "It was found late" in type_("postmortem", "show", "INC-0001", "--text")[1]


def test_nobody_signs_without_a_name(home: Path, type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment names nobody, signing, publishing and amending are refused: two such people would be one."""
    for name in ("USER", "LOGNAME"):
        monkeypatch.setenv(name, " ")
    for words in (("sign", "INC-0001"), ("publish", "INC-0001"), ("amend", "INC-0001", "--why", "x")):
        code, _, err = type_("postmortem", *words)
        assert (code, "set USER to your name" in err) == (2, True)
    assert kept(home, Review) == kept(home, Published) == []
    assert type_("postmortem", "comment", "INC-0001", "why?")[0] == 0  # a remark needs no name
    monkeypatch.setenv("LOGNAME", "cid")
    assert "cid signed" in type_("postmortem", "sign", "INC-0001")[1]


def test_a_commitment_that_changes_hands_says_whose_it_was(home: Path, type_: Type) -> None:
    """Taking what is somebody else's says so, and the record keeps both; taking one's own again or a proposal does not."""
    take = ("action", "take", "INC-0001-A1", "--owner")
    for owner, said in (("mia", False), ("mia", False), ("tom", True)):
        assert ("INC-0001-A1 was mia's" in type_(*take, owner)[1]) == said
    book = Ledger.open(home / "home" / "ledger.db")
    assert [v.record.owner for v in book.history(ActionItem, "INC-0001-A1")] == ["mia", "tom"]
    book.close()


def test_search_and_learning_speak(home: Path, type_: Type) -> None:
    """Search names the incident and the passage; learning says that one incident is too few, and what is unresolved."""
    code, out, _ = type_("postmortem", "search", "stale index")
    assert code == 0
    assert out.startswith("INC-0001  Summary  (words: stale, index)")
    assert "nothing fits" in type_("postmortem", "search", "zebra", "--since", "1h")[1]
    type_("action", "take", "INC-0001-A1", "--owner", "ann")
    type_("action", "prove", "INC-0001-A1")
    code, out, _ = type_("learning")
    assert code == 0
    assert "too few to tell" in out
    assert "not proved" in out
    assert "incidents: 0" in type_("learning", "--since", "1h")[1]


def test_no_text_is_obeyed_by_the_terminal(home: Path, type_: Type) -> None:
    """Titles and summaries with escapes and line ends are shown on one line, without what a terminal obeys."""
    type_("action", "take", "INC-0001-A1", "--owner", HOSTILE)
    for words in (
        ("action", "list"), ("postmortem", "search", "stale"), ("learning",), ("postmortem", "show", "INC-0001"),
    ):  # fmt: skip
        _, out, err = type_(*words)
        assert not {"\x1b", "\x07"} & set(out + err)
        assert not [line for line in out.splitlines() if line.startswith("INC-9999")]


def test_an_overdue_action_is_listed_as_such(home: Path, type_: Type) -> None:
    """What is past its date is in the list of overdue actions with how late it is."""
    book = Ledger.open(home / "home" / "ledger.db")
    late = action(state="open", owner="ann", due_us=now_us() - 3 * DAY)
    book.put(late, now_us=now_us(), by="ann")
    book.close()
    _, out, _ = type_("action", "list", "--overdue")
    assert "overdue by 3 d" in out
