"""Laws of `andon check`: levers' rules are read, and what would keep one from pulling is said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from andon.cli import main
from andon.levers import Lever
from andon.levers.run import declare
from andon.store import Ledger

NOW = 1_790_000_000_000_000
RULE = """
[[pull]]
name = "hold the model"
lever = "model.version"
by = "maria"
signal = "refusal"
for = "4h"
"""

Check = Callable[[], tuple[int, str, str]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the command in an empty folder; exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.argv", ["andon", "check"])

    def run() -> tuple[int, str, str]:
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_without_a_store_rules_are_read_and_none_is_made(check: Check, tmp_path: Path) -> None:
    """Each rule is told as a sentence, and that levers were not looked at; nothing is created by looking."""
    (tmp_path / "andon.toml").write_text(RULE, encoding="utf-8")
    code, out, _ = check()
    assert code == 0
    assert (
        "1 pull rule\n  hold the model: maria holds model.version at its safe value in production for 4 h when" in out
    )
    assert "whether they could pull was not checked" in out
    assert not (tmp_path / "home").exists()


def test_without_rules_nothing_is_said_of_levers(check: Check) -> None:
    """An empty folder is a configuration, too."""
    code, out, _ = check()
    assert (code, "pull" in out, "not checked" in out) == (0, False, False)


def test_a_rule_that_could_not_pull_is_named(check: Check, tmp_path: Path) -> None:
    """A lever that nobody declared makes exit 1, with file and entry; once it is declared, 0."""
    (tmp_path / "andon.toml").write_text(RULE, encoding="utf-8")
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    code, out, _ = check()
    assert code == 1
    assert 'andon.toml, pull 1: rule "hold the model" cannot pull: there is no lever model.version' in out
    declare(ledger, Lever(id="model.version", kind="string", default="new", safe="old"), NOW, "ann")
    ledger.close()
    code, out, _ = check()
    assert (code, "cannot pull" in out, "not checked" in out) == (0, False, False)


def test_a_rule_that_looks_at_nothing_is_warned_of(check: Check, tmp_path: Path) -> None:
    """A name of an application that no traffic has is a warning, which is no reason to fail."""
    (tmp_path / "andon.toml").write_text(RULE + 'app = "mdeical"\n', encoding="utf-8")
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    declare(ledger, Lever(id="model.version", kind="string", default="new", safe="old"), NOW, "ann")
    ledger.close()
    code, out, _ = check()
    assert code == 0
    assert (
        'warning: andon.toml, pull 1: rule "hold the model" looks at nothing: no interaction with refusal matches all traffic of '
        "app mdeical in production in the last 7 d"
    ) in " ".join(out.split())


def test_a_breaker_that_cannot_see_is_exit_2(check: Check, tmp_path: Path) -> None:
    """Traffic that settles after its window is never in it."""
    breaker = RULE.replace('signal = "refusal"', 'metric = "refusal"\nabove = 0.5\nwithin = "1m"')
    (tmp_path / "andon.toml").write_text(f"settle_s = 45\n{breaker}", encoding="utf-8")
    code, _, err = check()
    assert code == 2
    assert "within" in err
    assert "settle_s" in err


@pytest.mark.parametrize(
    ("bad", "named"),
    [('for = "4h"', "for"), ('signal = "refusal"', "condition"), ('lever = "model.version"', "lever")],
)
def test_a_rule_that_cannot_be_read_is_exit_2(check: Check, tmp_path: Path, bad: str, named: str) -> None:
    """It names file, entry and key."""
    (tmp_path / "andon.toml").write_text(RULE.replace(bad, ""), encoding="utf-8")
    code, _, err = check()
    assert code == 2
    assert "andon.toml, pull 1" in err
    assert named in err
