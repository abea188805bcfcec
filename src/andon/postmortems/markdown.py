"""A postmortem as Markdown, by a template: one of three that are built in, or a team's own.

A template is Markdown with Jinja expressions. It runs in a sandbox; whatever it prints is made harmless (`inert`) unless
it is one of our blocks, so that a team's template cannot forget to escape what came from traffic.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from andon.errors import ConfigError, InputError
from andon.incidents import duration, odds
from andon.monitors.verdicts import percent
from andon.postmortems.blocks import BLOCKS, EVIDENCE_HEAD
from andon.postmortems.draft import minute
from andon.postmortems.escaping import FOR_PEOPLE, inert, table, written
from andon.postmortems.records import Postmortem
from andon.postmortems.review import digest_of, vouching

__all__ = [
    "BUILT_IN",
    "built_in",
    "check_template",
    "hints_of",
    "inert",
    "render_markdown",
    "sections_of",
    "signed_text",
]

BUILT_IN = {
    "llm": "LLM incident: impact, timeline, what explains it, detection, prevention",
    "ml": "classical ML: what the model was for, diagnosis checklist, causes by layer, failed assumption",
    "questions": "the four questions, each answered with evidence",
}
"""Name of each built-in template, and what it is for."""

_EVIDENCE = table(EVIDENCE_HEAD, ())
_REFERENCE = re.compile(r"\[\[(E\d{1,4})\]\]\(#evidence\)")
"""A reference that `prose` made; in whatever people and traffic write, brackets are escaped."""

KEPT = 32
"""Templates that are kept ready to run."""

VALUES = ("incident", "investigation", "postmortem", "review")
FILTERS = ("minute", "duration", "percent", "odds")


class _Safe(str):
    """Markdown that we made: printed as it is. Joined with anything it is text again, and escaped again."""

    __slots__ = ()


def render_markdown(p: Postmortem) -> str:
    """The whole document by the template of its review; a team's own is the source that is kept in the record.

    Raises:
        ConfigError: the team's template cannot be read or fails; the message names its line.
    """
    name = p.review.template
    source = p.layout or (built_in(name) if name in BUILT_IN else built_in("llm"))
    where = f"templates/{name}.md"
    text = _run(p, source, where)
    if _EVIDENCE not in text:  # the template leaves the block out, so nothing is there to be led to
        text = _REFERENCE.sub(r"[\1]", text)
    if not p.layout and name not in BUILT_IN:
        text += f"\n\nThe template {inert(name)} was not at hand; this is the template llm.\n"
    return f"{_tidy(text)}{_unasked(p, source, where)}{_signatures(p)}\n"


def signed_text(p: Postmortem) -> str:
    """The Markdown of which a sign-off is: without status, sign-offs, comments and the time at which it was drafted."""
    review = replace(p.review, status="draft", signoffs=(), comments=())
    return render_markdown(replace(p, review=review, at_us=p.investigation.at_us))


def sections_of(template: str, source: str = "") -> tuple[str, ...]:
    """Names of the sections that a template asks people to write, in their order.

    Args:
        template: name of a built-in template, or of the team's own, for messages.
        source: text of the team's own template (`Postmortem.layout`); empty for a built-in one.

    Raises:
        InputError: no built-in template has this name, and no source is given.
        ConfigError: the source is not a template.
    """
    return _asked(source or built_in(template), f"templates/{template}.md")


def hints_of(template: str, source: str = "") -> dict[str, str]:
    """What a template asks in each section that people write, in their order; arguments and refusals as of `sections_of`."""
    file, hints = f"templates/{template}.md", {}
    for call in _parsed(source or built_in(template), file).find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "people" and call.args:
            texts = [str(a.value) for a in call.args if isinstance(a, nodes.Const)]
            hints[texts[0] if texts else ""] = texts[1] if len(texts) > 1 else ""
    return {name: hints.get(name, "") for name in sections_of(template, source)}


def built_in(name: str) -> str:
    """Source of a built-in template.

    Raises:
        InputError: there is none of this name.
    """
    if name not in BUILT_IN:
        raise InputError(f"there is no template {name!r}; built in are {', '.join(BUILT_IN)}")
    return _source(name)


@cache
def _source(name: str) -> str:
    return PackageLoader("andon.postmortems").get_source(Environment(), f"{name}.md")[0]  # noqa: S701 - read, not run


def check_template(source: str, file: str) -> tuple[str, ...]:
    """Read a template without running it; returns the sections that it asks people to write.

    Raises:
        ConfigError: it cannot be read, or names what is not there; file, line and what is allowed are said.
    """
    tree = _parsed(source, file)
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Macro)):
        raise ConfigError(
            f"{file}, line {node.lineno}: a template stands alone, without macros or other files; write the text out"
        )
    bound = {n.name for n in tree.find_all(nodes.Name) if n.ctx != "load"} | {"loop"}
    allowed = {*BLOCKS, *VALUES, "people", *_environment().globals, *bound}
    for name in tree.find_all(nodes.Name):
        if name.name not in allowed:
            raise ConfigError(f"{file}, line {name.lineno}: {name.name!r} is not known; {_allowed()}")
    return tuple(dict.fromkeys(name for _, name in _people(tree, file)))


@lru_cache(maxsize=KEPT)
def _asked(source: str, file: str) -> tuple[str, ...]:
    """Names of the sections that a template asks people to write, in their order."""
    return tuple(dict.fromkeys(name for _, name in _people(_parsed(source, file), file)))


@lru_cache(maxsize=KEPT)
def _compiled(source: str, file: str) -> Template:
    """A template that was checked, ready to run. Checking and compiling cost more than running it."""
    check_template(source, file)
    environment = _environment()
    try:
        code = environment.compile(source, name=file, filename=file)
    except TemplateError as error:  # a filter that is not there, for instance
        raise ConfigError(f"{file}, line {getattr(error, 'lineno', '?')}: {error}; {_allowed()}") from error
    return environment.template_class.from_code(environment, code, environment.make_globals(None))


def _allowed() -> str:
    return (
        f"a template may print the blocks {', '.join(BLOCKS)}, fields of {', '.join(VALUES)} through the filters "
        f"{', '.join(FILTERS)}, and people('section', 'what it asks')"
    )


def _people(tree: nodes.Template, file: str) -> list[tuple[int, str]]:
    found = []
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "people":
            first = call.args[0] if call.args else None
            if not isinstance(first, nodes.Const) or not str(first.value).strip():
                raise ConfigError(
                    f"{file}, line {call.lineno}: people() needs the name of the section in quotes, such as "
                    "people('What went well', 'hint')"
                )
            found.append((call.lineno, str(first.value)))
    return found


def _parsed(source: str, file: str) -> nodes.Template:
    try:
        return _environment().parse(source, filename=file)
    except TemplateSyntaxError as error:
        raise ConfigError(f"{file}, line {error.lineno}: {error.message}; {_allowed()}") from error


@dataclass(frozen=True, slots=True)
class _Printer:
    """What a template calls to leave a place for people."""

    p: Postmortem

    def people(self, section: str, asks: str = "") -> _Safe:
        texts = [w for w in self.p.review.sections if w.section == section and w.text.strip()]
        if texts:
            return _Safe(written(self.p, texts[-1]))
        return _Safe(f"{FOR_PEOPLE}{': ' if asks else '.'}{inert(asks, 400, blank='')}")


def _run(p: Postmortem, source: str, file: str) -> str:
    values: dict[str, Any] = {name: _Block(make, p) for name, make in BLOCKS.items()}
    values |= {"incident": p.incident, "investigation": p.investigation, "postmortem": p, "review": p.review}
    template = _compiled(source, file)
    try:
        return template.render(values, people=_Printer(p).people)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise ConfigError(f"{file}, line {_line(error, file)}: {error}; {_allowed()}") from error


def _line(error: Exception, file: str) -> int | str:
    """The line of the template in which an error arose."""
    trace = error.__traceback__
    found: int | str = "?"
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


@dataclass(frozen=True, slots=True)
class _Block:
    """A block that is made when it is printed."""

    make: Callable[[Postmortem], str]
    p: Postmortem

    def __str__(self) -> str:
        return self.make(self.p)


def _printed(value: object) -> str:
    """What an expression of a template prints: our blocks as they are, everything else harmless and on one line."""
    if isinstance(value, _Safe):
        return value
    if isinstance(value, _Block):
        return str(value)
    if isinstance(value, StrictUndefined):
        return str(value)  # raises, and says which name it was
    if callable(value):
        raise TypeError("what is called needs its arguments in brackets, such as people('Fix', 'what stopped it?')")
    return inert("" if value is None else str(value), 2000)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        autoescape=False,  # `_printed` escapes for Markdown, which is more than HTML needs
        finalize=_printed,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for names, name in ((env.globals, "lipsum"), (env.filters, "random")):
        names.pop(name)  # the same record gives the same bytes
    env.filters |= {"minute": minute, "duration": duration, "percent": percent, "odds": odds}
    return env


def _tidy(text: str) -> str:
    """Without more than one empty line in a row, which empty blocks leave."""
    out: list[str] = []
    for line in text.strip().split("\n"):
        if line.strip() or (out and out[-1]):
            out.append(line.rstrip())
    return "\n".join(out)


def _unasked(p: Postmortem, source: str, file: str) -> str:
    """What people wrote under names that this template does not ask for: nothing that was written is lost."""
    asked = _asked(source, file)
    latest = {w.section: w for w in p.review.sections if w.section not in asked and w.text.strip()}
    return "".join(f"\n\n## {inert(w.section)}\n\n{written(p, w)}" for w in latest.values())


def _signatures(p: Postmortem) -> str:
    """Who stands by this very text and wrote none of it; a sign-off of another text has lapsed, and is none.

    What is published holds only sign-offs of its own text, whatever a later version of the templates makes of it.
    """
    signed = vouching(p.review)
    if signed and p.status not in ("published", "amended"):
        digest = digest_of(signed_text(p))
        signed = tuple(s for s in signed if s.digest == digest)
    if not signed:
        return ""
    names = "; ".join(f"{inert(s.by)} on {minute(s.at_us)[:10]}" for s in signed)
    return f"\n\n## Signed off\n\n{names}."
