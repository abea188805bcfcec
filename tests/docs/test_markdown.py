"""What the Markdown files say can be done: their commands exist, their code compiles, their links lead somewhere."""

import ast
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from andon.cli import app

ROOT = Path(__file__).resolve().parents[2]
MADE = (".venv", ".git", "andon-demo", "node_modules", ".pytest_cache", ".hypothesis", ".envs")
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")


def _pages() -> list[Path]:
    found = (p for p in sorted(ROOT.rglob("*.md")) if not set(p.relative_to(ROOT).parts) & set(MADE))
    return [p for p in found if not any(part.startswith(".venv") for part in p.relative_to(ROOT).parts)]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(text: str, *languages: str) -> Iterator[str]:
    for indent, language, body in FENCE.findall(text):
        if language in languages:
            yield textwrap.dedent(body) if indent else body


def _commands(text: str) -> Iterator[list[str]]:
    """The `andon` commands of the shell blocks, as words; a line that ends in a backslash goes on."""
    for block in _blocks(text, "sh", "bash", "shell", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|\||;|\||&(?!\w)", line.strip().removeprefix("$ ")):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:
                    continue  # a quotation that spans several lines holds no command of ours
                while words and (re.match(r"\w+=", words[0]) or words[0] in ("sudo", "time", "exec")):
                    words = words[1:]
                if words and words[0].rsplit("/", 1)[-1] == "andon":
                    yield words[1:]


def _problem(words: list[str]) -> str | None:
    """Why the command line would not understand these words; None when it would."""
    command: Any = typer.main.get_command(app)
    while words and getattr(command, "commands", None):
        if words[0] == "--help":
            return None
        if words[0] not in command.commands:
            return f"{words[0]!r} is none of {', '.join(command.commands)}"
        command, words = command.commands[words[0]], words[1:]
    if getattr(command, "commands", None):
        return f"a command is missing; there are {', '.join(command.commands)}"
    return _wrong_parameters(command, words)


def _wrong_parameters(command: Any, words: list[str]) -> str | None:
    options = {o: p for p in command.params if p.param_type_name == "option" for o in (*p.opts, *p.secondary_opts)}
    given, plain = set(), 0
    rest = iter(words)
    for word in rest:
        option = word.partition("=")[0]
        if option == "--help":
            return None
        if not word.startswith("-"):
            plain += not word.startswith(("<", ">"))
            if word in (">", ">>", "<"):
                next(rest, None)
        elif option not in options:
            return f"{option} is none of {', '.join(options)}"
        else:
            given.add(options[option].name)
            if not options[option].is_flag and "=" not in word:
                next(rest, None)
    missing = [p.name for p in command.params if p.required and p.param_type_name == "option" and p.name not in given]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    many = any(p.nargs == -1 for p in arguments)
    if missing:
        return f"{', '.join(missing)} is missing"
    if plain < sum(p.required for p in arguments) or (plain > len(arguments) and not many):
        return f"{plain} arguments are given; there are {', '.join(p.name for p in arguments) or 'none'}"
    return None


@pytest.mark.parametrize("path", _pages(), ids=_name)
def test_commands_in_the_docs_exist(path: Path) -> None:
    """Every `andon` command in a shell block has a name, options and arguments that the command line understands."""
    found = {" ".join(words): _problem(words) for words in _commands(path.read_text(encoding="utf-8"))}
    wrong = {command: problem for command, problem in found.items() if problem}
    assert not wrong


@pytest.mark.parametrize("path", _pages(), ids=_name)
def test_code_in_the_docs_compiles(path: Path) -> None:
    """Every Python block compiles (at the top level `await` is allowed, as in a notebook)."""
    for block in _blocks(path.read_text(encoding="utf-8"), "python", "py"):
        compile(block, _name(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("path", _pages(), ids=_name)
def test_links_in_the_docs_lead_somewhere(path: Path) -> None:
    """Every relative link leads to a file of the checkout, and one with a fragment to a heading in it."""
    lost = []
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        file, _, fragment = link.partition("#")
        place = (path.parent / file).resolve() if file else path
        if not place.exists() or (fragment and place.suffix == ".md" and fragment not in _anchors(place)):
            lost.append(link)
    assert not lost


def _anchors(path: Path) -> set[str]:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).casefold() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize(
    ("line", "understood"),
    [
        ("andon status", True),
        ("andon nonsense", False),
        ("andon import traffic.jsonl more.parquet", True),
        ("andon import", False),
        ("andon import --nonsense traffic.jsonl", False),
        ("andon golden", False),
        ("andon golden add", True),
        ("ANDON_HOME=x .venv/bin/andon status | head", True),
        ("andon incident close INC-0001 --why 'refusals are back'", True),
        ("andon incident close INC-0001", False),
        ("andon replay a.jsonl \\\n  --out there", True),
    ],
)
def test_the_check_of_commands_bites(line: str, understood: bool) -> None:
    """The check above tells a command that exists from one that does not."""
    (words,) = _commands(f"```sh\n{line}\n```\n")
    assert (_problem(words) is None) is understood
