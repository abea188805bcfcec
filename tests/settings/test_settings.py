"""Settings: the environment over the file `andon.toml`, read once, nothing ignored in silence."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from andon.errors import AndonError, ConfigError
from andon.monitors.objectives import check_config, objectives_of
from andon.settings import HIGH_RISK, Settings, describe, is_high_risk, load

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"
NAMES = [f.name for f in fields(Settings) if "env" in f.metadata]
SECRETS = ["ledger", "embedder_key", "writer_key", "judge_key", "token", "github_secret", "redact_key", "channels"]

SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: cited}
spec:
  service: shop
  budgetingMethod: Occurrences
  indicator:
    metadata: {name: i}
    spec:
      ratioMetric:
        good: &it {metricSource: {type: andon, spec: {metric: citation_valid}}}
        total: *it
  objectives: [{target: 0.98}]
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a file below the working directory, which is fresh; `andon.toml` unless another name is given."""
    monkeypatch.chdir(tmp_path)

    def make(text: str | bytes, name: str = "andon.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def refused(env: dict[str, str] | None = None) -> str:
    """The message with which these settings are refused."""
    with pytest.raises(ConfigError) as error:
        load(env or {})
    return str(error.value)


def test_without_anything_every_setting_has_its_default(write: Callable[..., Path]) -> None:
    """No variable and no file give the defaults, and what the file does not say keeps its default."""
    assert load({}) == Settings()
    assert load({"ANDON_CONFIG": ""}) == Settings()
    write(b"\xef\xbb\xbfport = 80")  # a byte order mark is no part of the file
    assert load({}) == Settings(port=80)


def test_a_setting_of_the_file_is_one_of_the_environment(write: Callable[..., Path]) -> None:
    """A key of the file gives what the variable of that name gives, in the type of the setting."""
    write('window_s = 60\nfalse_pages_per_month = 2\nsample = 0.5\nhome = "here"\nembedder = "hashed"\n')
    env = {"WINDOW_S": "60", "FALSE_PAGES_PER_MONTH": "2", "SAMPLE": "0.5", "HOME": "here", "EMBEDDER": "hashed"}
    chosen = load({})
    assert chosen == load({f"ANDON_{k}": v for k, v in env.items()})
    assert (type(chosen.home), type(chosen.false_pages_per_month)) == (type(Path()), float)


def test_the_environment_wins(write: Callable[..., Path]) -> None:
    """What both say is what the environment says; the rest of the file still holds."""
    write("window_s = 60\nport = 80\n")
    chosen = load({"ANDON_WINDOW_S": "120"})
    assert (chosen.window_s, chosen.port) == (120, 80)


def test_a_file_that_is_named_must_exist(write: Callable[..., Path]) -> None:
    """ANDON_CONFIG takes the place of the file in the working directory, and a file that it names must be there."""
    write("port = 1")
    other = write("port = 2", "etc/andon.toml")
    chosen = load({"ANDON_CONFIG": str(other)})
    assert (chosen.port, chosen.config) == (2, str(other))
    assert load({}).config == "andon.toml"
    message = refused({"ANDON_CONFIG": "nowhere.toml"})
    assert "nowhere.toml cannot be read" in message
    assert "ANDON_CONFIG" in message


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_refused_in_the_file(name: str, write: Callable[..., Path]) -> None:
    """A secret in the file is refused with the variable to use instead and the reason, and is not repeated in the message."""
    assert load({f"ANDON_{name.upper()}": "hunter2"}) == Settings(**{name: "hunter2"})
    write(f'{name} = "hunter2"')
    message = refused()
    assert f"andon.toml: {name} is a secret" in message
    assert f"ANDON_{name.upper()}" in message
    assert "hunter2" not in message


def test_every_other_setting_may_stand_in_the_file(write: Callable[..., Path]) -> None:
    """Every setting but the secrets and the name of the file itself is a key of the file."""
    for name in sorted({*NAMES} - {*SECRETS, "config"}):
        default = getattr(Settings(), name)
        write(f"{name} = {json.dumps(str(default) if isinstance(default, Path) else default)}")
        assert load({}) == Settings()
    write('config = "other.toml"')
    assert "'config' is not a setting" in refused()


@pytest.mark.parametrize("key", ["windows_s", "WINDOW_S", "ANDON_WINDOW_S", "tables", "window-s", "objectives"])
def test_a_misspelt_key_is_refused_with_the_right_ones(key: str, write: Callable[..., Path]) -> None:
    """A key that is not known is refused by name, and the message lists those that are."""
    write(f"port = 80\n{key} = 1\n")
    message = refused()
    assert f"andon.toml: '{key}' is not a setting" in message
    assert "window_s" in message
    assert "objective, monitor, openslo" in message
    assert "embedder_key" not in message
    assert "ANDON_WINDOWS is not a setting" in refused({"ANDON_WINDOWS": "1"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('window_s = "60"', ["window_s = '60'", "whole number", "300"]),
        ("window_s = 60.5", ["window_s = 60.5", "whole number"]),
        ("window_s = true", ["window_s = True", "whole number"]),
        ("window_s = 0", ["window_s = 0", "greater than 0"]),
        ("window_s = 0x" + "f" * 5_000, ["window_s", "38 digits"]),
        ("false_pages_per_month = nan", ["false_pages_per_month = nan", "number"]),
        ("false_pages_per_month = -inf", ["false_pages_per_month = -inf"]),
        ("settle_s = -1", ["settle_s = -1", "0 or more"]),
        ("sample = 5", ["sample = 5", "at most 1"]),
        ("port = 70000", ["port = 70000", "65535"]),
        ("grpc_port = -1", ["grpc_port = -1", "65535"]),
        ("home = 5", ["home = 5", "quotation marks"]),
        ("redact = ['email']", ["redact = a list of 1", "quotation marks"]),
        ("[redact]\nemail = true", ["redact = a table of 1"]),
        ("url = 2026-01-01", ["url", "quotation marks"]),
        ('home = "in/side"\ninbox = "in"', ["inbox = 'in'", "must not contain"]),
        ("window_s = 60\nwindow_s = 70\nport = 1", ["andon.toml", "line 2"]),
        ("window_s 60", ["andon.toml", "line 1"]),
        (b"url = '\xff'", ["andon.toml", "UTF-8", "byte 7"]),
        ("openslo = 'slo.yaml'", ["openslo", '["slo/*.yaml"]']),
        ("openslo = [1]", ["openslo", '["slo/*.yaml"]']),
        ("openslo = ['slo/*.yaml']", ["openslo", "slo/*.yaml", "matches no file"]),
        ("x = " + "[" * 5_000, ["andon.toml"]),
    ],
    ids=lambda v: str(v)[:30],
)
def test_a_file_that_is_not_understood_is_named(text: Any, words: list[str], write: Callable[..., Path]) -> None:
    """A wrong value, and a file that is no TOML, are refused with the key or the line, the value and what is allowed."""
    write(text)
    message = refused()
    assert not [w for w in words if w not in message]


@pytest.mark.parametrize("value", ["nan", "inf", "two"])
def test_a_variable_that_is_no_number_is_refused(value: str, write: Callable[..., Path]) -> None:
    """A number in the environment is a finite one, and a limit on it is told with the variable as it was written."""
    assert f"ANDON_FALSE_PAGES_PER_MONTH='{value}'" in refused({"ANDON_FALSE_PAGES_PER_MONTH": value})
    write("port = 80")
    assert "ANDON_PORT=70000 must be" in refused({"ANDON_PORT": "70000"})


def test_a_folder_in_the_place_of_the_file_is_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    """A folder called andon.toml is refused, not passed over."""
    (tmp_path / "andon.toml").mkdir()
    assert "andon.toml cannot be read" in refused()


def test_a_folder_that_may_not_be_entered_is_told(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was left in the folder of somebody else is told which file cannot be seen, and how to go on; a file that is named is read."""
    named = write("port = 80", "etc/andon.toml")
    seen = Path.stat

    def stat(path: Path, **given: Any) -> Any:
        if path == Path("andon.toml"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return seen(path, **given)

    monkeypatch.setattr(Path, "stat", stat)
    message = refused()
    assert "andon.toml in the working directory cannot be seen: Permission denied" in message
    assert "cd /" in message
    assert "ANDON_CONFIG" in message
    assert load({"ANDON_CONFIG": str(named)}).port == 80


@pytest.mark.skipif(os.geteuid() == 0, reason="THIS USER MAY ENTER EVERY FOLDER, so none was closed to it")
def test_a_folder_that_is_closed_is_told(write: Callable[..., Path], tmp_path: Path) -> None:
    """The same with the system's own refusal."""
    write("port = 80")
    tmp_path.chmod(0o000)
    try:
        assert "cannot be seen" in refused()
    finally:
        tmp_path.chmod(0o700)


def test_openslo_files_are_read_relative_to_the_file(write: Callable[..., Path]) -> None:
    """The patterns of `openslo` start at the folder of the file; each document is told by file and number."""
    write('openslo = ["slo/*.yaml", "more.yaml", "slo/a.yaml"]', "etc/andon.toml")
    write(SLO, "etc/slo/b.yaml")
    write(f"{SLO}\n---\n{SLO.replace('cited', 'other')}\n---\n", "etc/slo/a.yaml")
    write("", "etc/more.yaml")
    chosen = load({"ANDON_CONFIG": "etc/andon.toml"})
    places = ["slo/a.yaml, document 1", "slo/a.yaml, document 2", "slo/a.yaml, document 3", "slo/b.yaml, document 1"]
    assert [place for place, _ in chosen.tables["openslo"]] == [f"etc/{p}" for p in places]
    with pytest.raises(AndonError, match=r"etc/slo/b\.yaml, document 1, metadata\.name"):
        check_config(chosen)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", ["slo.yaml", "line 1"]),
        ("a: 1\na: 2", ["slo.yaml", "'a' is given twice", "line 1"]),
        ("a: &x [*x]", ["slo.yaml"]),
        ("a: !!python/object:os.system {}", ["slo.yaml", "python"]),
        ("a: 2026-99-99", ["slo.yaml"]),
        ("? [1, 2]\n: x", ["slo.yaml"]),
        ("? 2026-01-01\n: x", ["slo.yaml"]),
        ("a: " + "[" * 3_000, ["slo.yaml"]),
        (b"\xff\xfe\xfd", ["slo.yaml"]),
        ("a: \x00", ["slo.yaml"]),
    ],
    ids=lambda v: str(v)[:30],
)
def test_a_file_that_is_no_yaml_is_named(text: Any, words: list[str], write: Callable[..., Path]) -> None:
    """YAML that cannot be read, repeats a key or asks for more than plain values is refused with the file and the line."""
    write(text, "slo.yaml")
    write('openslo = ["slo.yaml"]')
    message = refused()
    assert not [w for w in words if w not in message]


def test_settings_go_through_a_pipe(write: Callable[..., Path]) -> None:
    """What a process is handed as JSON is the same configuration: tables are plain values, dates among them are text."""
    write(
        f'openslo = ["slo.yaml"]\n[[objective]]\nname = "a"\nmetric = "error"\nat_most = 0.01\n{"app = 2026-01-01"}\n'
    )
    write(SLO.replace("service: shop", "service: 2026-01-01"), "slo.yaml")
    chosen = load({})
    plain = json.loads(json.dumps({k: str(v) if isinstance(v, Path) else v for k, v in asdict(chosen).items()}))
    again = Settings(**{**plain, "home": Path(plain["home"])})
    assert objectives_of(again.tables) == objectives_of(chosen.tables)
    assert [(o.name, o.app) for o in objectives_of(again.tables)] == [("a", "2026-01-01"), ("cited", None)]
    assert hash(chosen) == hash(load({}))


def test_every_setting_describes_itself() -> None:
    """The description has every variable with its default and a sentence, and the tables, which are none, are not in it."""
    assert [variable for variable, _, _ in describe()] == [f"ANDON_{name.upper()}" for name in NAMES]
    assert ("ANDON_CONFIG", "andon.toml") in [d[:2] for d in describe()]
    assert all(about.endswith((".", "off.", "told.")) for _, _, about in describe())


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text("ab/. é", max_size=5),
    st.lists(st.text("ab*", max_size=3), max_size=2),
    st.fixed_dictionaries({"task": st.text("ab", max_size=2)}),
)  # fmt: skip
KEYS = st.one_of(st.sampled_from([*NAMES, "openslo"]), st.text("xyz_", min_size=3, max_size=5))
TABLE_KEYS = st.one_of(
    st.sampled_from(["name", "metric", "at_most", "where", "beyond", "watch", "weight", "app"]),
    st.text("ab", min_size=1),
)


def toml_of(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_of, value))}]"
    return str(value).lower() if isinstance(value, bool | float) else json.dumps(value, ensure_ascii=False)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    top=st.dictionaries(KEYS, VALUES, max_size=3),
    tables=st.lists(
        st.tuples(st.sampled_from(["objective", "monitor"]), st.dictionaries(TABLE_KEYS, VALUES, max_size=4)),
        max_size=2,
    ),
)
def test_any_file_is_understood_or_refused_by_name(
    top: dict[str, Any], tables: list[tuple[str, dict[str, Any]]], write: Callable[..., Path]
) -> None:
    """Any keys and values give settings that hold what was written, or an error of ours that names a key and the file."""
    lines = [f"{k} = {toml_of(v)}" for k, v in top.items()]
    for kind, row in tables:
        lines += [f"[[{kind}]]", *(f"{k} = {toml_of(v)}" for k, v in row.items())]
    write("\n".join(lines))
    message = ""
    try:
        chosen = load({})
        said = check_config(chosen)
    except AndonError as error:
        message = str(error)
    if message:
        required = ("name", "metric", "at_most", "watch") if tables else ()
        assert any(key in message for key in (*top, *required, *(k for _, row in tables for k in row)))
        assert "andon.toml" in message or "retention" in message
    else:
        for key in {*top} - {"openslo"}:
            assert getattr(chosen, key) == type(getattr(chosen, key))(top[key])
        assert len(said) == 2 + len(tables)


def blocks(page: str) -> list[str]:
    """The TOML blocks of a guide."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    return [part.split("```")[0] for part in text.split("```toml\n")[1:]]


@pytest.mark.parametrize(
    ("page", "i"), [(p, i) for p in ("configure.md", "set-objectives.md") for i in range(len(blocks(p)))]
)
def test_the_files_in_the_guides_are_understood(page: str, i: int, write: Callable[..., Path]) -> None:
    """Every andon.toml that a guide shows is understood as it stands, each table of it as one objective or rule."""
    text = blocks(page)[i]
    write(text)
    guide = (HOW_TO / "set-objectives.md").read_text(encoding="utf-8")
    write(guide.split("```yaml\n")[1].split("```")[0], "slo/medical.yaml")
    chosen = load({})
    slos = 2 if "openslo" in text else 0
    said = check_config(chosen)
    assert said[0].startswith(str(text.count("[[objective]]") + slos))
    assert len(said) == 2 + text.count("[[") + slos


def test_the_check_of_the_guide_is_what_is_printed(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """`andon check` prints the lines that the guide shows, for the file of the guide, and then what it found of the places."""
    monkeypatch.setenv("COLUMNS", "400")
    write(blocks("set-objectives.md")[0])
    done = check()
    guide = (HOW_TO / "set-objectives.md").read_text(encoding="utf-8")
    assert done.exit_code == 0
    shown, found = guide.split("```text\n")[1].split("```")[0], done.output.splitlines()
    assert found[: len(shown.splitlines())] == shown.splitlines()
    places = [line.partition(":")[0].partition("=")[0] for line in found[len(shown.splitlines()) :]]
    assert places == ["ledger", "ANDON_HOME", "engine", "channels"]


def test_the_check_refuses_and_tells_of_a_missing_file(write: Callable[..., Path]) -> None:
    """`andon check` says that there is no file where there is none, and ends with our error where one is wrong."""
    assert "there is no andon.toml" in check().output
    write('retention = "forever"')
    assert isinstance(check().exception, ConfigError)
    write("[[objective]]\nname = 'a'")
    assert "metric is missing" in str(check().exception)


def check() -> Any:
    """Run the command by itself."""
    from andon.cli import config

    app = typer.Typer()
    config.add_to(app)
    return CliRunner().invoke(app, [])


def test_a_high_risk_is_high_however_it_is_spelt() -> None:
    """Letters and blanks make no category another one; no category is not high."""
    assert all(is_high_risk(f" {c.title()}") for c in HIGH_RISK)
    assert not any(is_high_risk(c) for c in (None, "", "low", "highest"))
