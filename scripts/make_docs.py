"""Write docs/reference/ from the code: `python scripts/make_docs.py`.

`pages` gives the text of every page; the tests compare it with what is in the folder, so the pages cannot drift.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer.main

from andon import cli, settings
from andon.scores import LABELS, SCORERS
from andon.traffic import FEEDBACK_SYNONYMS, READINGS, SEGMENTS, SYNONYMS, VERSIONS
from andon.traffic import records as traffic_records

__all__ = ["FOLDER", "commands", "pages", "write"]

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
MADE = "<!-- Written by `make docs` from the code: change the code, not this page. -->"


def pages() -> dict[str, str]:
    """Every page of the reference: file name -> text."""
    made = {"cli.md": _cli(), "fields.md": _fields(), "metrics.md": _metrics(), "otlp.md": _otlp()}
    made["settings.md"] = _settings()
    return {name: "\n".join((MADE, "", *lines, "")) for name, lines in sorted(made.items())}


def write(folder: Path = FOLDER) -> list[Path]:
    """Write the pages; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in pages().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of the command line, as (words, command), in the order of `andon --help`."""
    yield from _below((), typer.main.get_command(cli.app))


def _below(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if words:
        yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _below((*words, name), inner)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells)]


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _prose(text: str) -> str:
    """Docstring text in Markdown."""
    return " ".join(text.replace("``", "`").split())


def _cli() -> list[str]:
    doc = inspect.getdoc(cli) or ""
    lines = ["# Command line", "", "This page lists every command of `andon` with its arguments and options."]
    lines += [
        "",
        _prose(doc.partition("\n\n")[2]),
        "",
        "Where and how a command works is set by [settings](settings.md).",
    ]
    found = list(commands())
    leaves = [(words, command) for words, command in found if not getattr(command, "commands", None)]
    summary = ((_link(words), _sentence(command.help)) for words, command in leaves)
    lines += ["", *_table(("command", "what it does"), summary)]
    for words, command in found:
        lines += ["", f"{'#' * (len(words) + 1)} `andon {' '.join(words)}`", "", _prose(command.help or "")]
        if not getattr(command, "commands", None):
            lines += _parameters(words, command)
    return lines


def _link(words: tuple[str, ...]) -> str:
    return f"[`andon {' '.join(words)}`](#andon-{'-'.join(words)})"


def _sentence(text: str | None) -> str:
    return _prose((text or "").split("\n\n")[0])


def _parameters(words: tuple[str, ...], command: Any) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = ["andon", *words, *(_argument(p) for p in arguments), *(_option(p) for p in options if p.required)]
    usage += ["[OPTIONS]"] if any(not p.required for p in options) else []
    lines = ["", "```text", " ".join(usage), "```"]
    if command.params:
        rows = [(f"`{_argument(p)}`", p.help or "", "required" if p.required else "") for p in arguments]
        rows += [(f"`{_option(p)}`", p.help or "", _default(p)) for p in options]
        lines += ["", *_table(("parameter", "meaning", "default"), rows)]
    return lines


def _argument(p: Any) -> str:
    return (p.metavar or p.name.upper()) + ("..." if p.nargs == -1 else "")


def _option(p: Any) -> str:
    name = ", ".join((*p.opts, *p.secondary_opts))
    return name if p.is_flag else f"{name} {(p.metavar or p.name.upper())}"


def _default(p: Any) -> str:
    if p.required:
        return "required"
    if p.multiple:
        return "may be repeated"
    silent = p.default is None or p.default is False or p.default == "" or callable(p.default)
    return "" if silent else f"`{p.default}`"


def _settings() -> list[str]:
    lines = [
        "# Settings",
        "",
        "This page lists every setting of Andon: an environment variable, read once at start.",
        "",
        "Every default is meant to be right without being set. A value of the wrong form, and an `ANDON_` variable that is",
        "not in this list, end the start with an error: a misspelt setting would otherwise be ignored in silence.",
        "",
    ]
    rows = (
        (f"`{name}`", f"`{default}`" if default else "(empty)", about) for name, default, about in settings.describe()
    )
    return lines + _table(("variable", "default", "meaning"), rows)


def _metrics() -> list[str]:
    harms = {"up": "high", "down": "low", "both": "high or low"}
    lines = [
        "# Metrics",
        "",
        "This page lists every metric that Andon measures by itself, and what people lose when it moves the bad way.",
        "",
        "A `binary` metric is 0 or 1 for each interaction and is watched as a rate. A `number` is watched by two",
        "charts: its typical value (the share of the reference that a value is worse than) and its tail (the share of values in",
        "the worst fifth of the reference, or in its worst fiftieth where the number is of seconds, tokens or money). A metric",
        'that does not apply to an interaction has no value: never 0 for "cannot tell". A changed version is a changed measure.',
        "",
        "## Measured on every interaction",
        "",
    ]
    rows = ((f"`{s.name}`", s.about, s.kind, s.unit, harms[s.bad], s.harm, s.version) for s in SCORERS)
    lines += _table(("metric", "what the number is", "kind", "unit", "harmful when", "what is lost", "version"), rows)
    lines += [
        "",
        "## Given by people",
        "",
        "Feedback of these kinds becomes a metric at the time when it was given.",
        "",
    ]
    given = ((f"`{name}`", about, f"`{kind}`", harms[bad], harm) for name, (kind, bad, harm, about) in LABELS.items())
    lines += _table(("metric", "what the number is", "kind of feedback", "harmful when", "what is lost"), given)
    lines += [
        "",
        "## Your own",
        "",
        "A package adds metrics with an entry point of the group `andon.scorers`: a sequence of `andon.scores.Scorer`.",
        "The built-in ones come in by the same door. Every metric, built in or not, can be the measure of a golden case and",
        "of a comparison of two versions.",
    ]
    return lines


def _fields() -> list[str]:
    lines = [
        "# Fields",
        "",
        "This page lists every field of the traffic that Andon takes in, and every other name under which it may arrive.",
        "",
        "It holds for files (JSON lines, JSON, CSV, Parquet), for `POST /v1/interactions` and `POST /v1/feedback`, and for the client.",
        "The field's own name wins over its synonyms. Null is the same as not sent. Unknown keys become attributes, as",
        "text. Names that end in `_ms` are divided by 1000. A row without an id gets one made from its content, so that",
        "sending it again adds nothing. The only thing that a row must have is a time: ISO 8601 text, or a number since",
        "1970 in seconds, milliseconds, microseconds or nanoseconds.",
    ]
    described = _described(traffic_records)
    for name, heading in (("Interaction", "An interaction"), ("Feedback", "Feedback")):
        synonyms = SYNONYMS if name == "Interaction" else FEEDBACK_SYNONYMS
        lines += ["", f"## {heading}", "", _record_doc(name), ""]
        rows = ((f"`{f}`", f"`{kind}`", about, _codes(synonyms.get(f, ()))) for f, kind, about in described[name])
        lines += _table(("field", "type", "meaning", "also read as"), rows)
    for name, heading in (("Context", "A context"), ("ToolCall", "A tool call"), ("Step", "A step")):
        lines += ["", f"## {heading}", "", _record_doc(name), ""]
        lines += _table(("field", "type", "meaning"), ((f"`{f}`", f"`{k}`", about) for f, k, about in described[name]))
    lines += [
        "",
        "## Versions",
        "",
        "A value of these fields that was never seen before is recorded as a change of this kind.",
        "",
    ]
    lines += _table(("field", "kind of change"), ((f"`{f}`", kind) for f, kind in VERSIONS.items()))
    lines += [
        "",
        "## Segments",
        "",
        "Quality is watched apart by these fields and by each pair of them, because a mean over",
    ]
    return [*lines, f"them hides harm: {_codes(SEGMENTS)}."]


def _record_doc(name: str) -> str:
    return _prose(inspect.getdoc(getattr(traffic_records, name)) or "")


def _described(module: Any) -> Mapping[str, list[tuple[str, str, str]]]:
    """Fields of the module's classes as (name, type, docstring), read from its source."""
    found = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = list(_fields_of(node))
    return found


def _fields_of(node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    following = [*node.body[1:], None]
    for statement, after in zip(node.body, following, strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and after.value.value
            yield statement.target.id, ast.unparse(statement.annotation), _prose(str(said)) if said else ""


def _otlp() -> list[str]:
    where = {
        "trace": "root span, then the others in time order",
        "top": "outermost spans of the application",
        "call": "the model call that answered",
        "calls": "sum over the model calls",
        "embedding": "embedding spans",
        "retrieval": "retrieval spans",
        "tool": "tool spans",
        "any": "every span",
    }
    lines = [
        "# OpenTelemetry",
        "",
        "This page lists the attributes of spans from which Andon reads each field of an interaction.",
        "",
        "One trace that holds at least one span of an AI system becomes one interaction, whose id is the trace id. Read are",
        "OpenTelemetry GenAI in all its generations, OpenInference, OpenLLMetry and the Vercel AI SDK; the first name that is",
        "present is taken. What was said in span events or log records is read like the attributes.",
        "",
    ]
    rows = ((f"`{r.field}`", _codes((*r.names, *r.parts)), where[r.of], r.kind) for r in READINGS)
    lines += _table(("field", "attributes, in reading order", "read from", "kind"), rows)
    own = sorted({n for r in READINGS for n in r.names if n.startswith("andon.")})
    lines += [
        "",
        "## Our own names",
        "",
        "An application says what no convention carries with these attributes, on any span, or with the same name after",
        "`metadata.` (OpenInference) or `traceloop.association.properties.` (OpenLLMetry):",
        "",
        f"{_codes(own)}, and `andon.judge_version` on an evaluation.",
        "",
        "## Tokens",
        "",
        "`input_tokens` is everything that went in; what was read from a cache or written to one is part of it, and stands",
        "apart as well. `output_tokens` is everything that came out, reasoning included. A sender whose input leaves the cache",
        "out is converted. A call that two libraries recorded counts once.",
        "",
        "## Everything else",
        "",
        "Other short attributes of the root span are kept as attributes, feature flags as `feature_flag.KEY`. What the fields",
        "mean is on the page [fields](fields.md).",
    ]
    return lines


def main() -> None:
    """Write the pages and say which."""
    for path in write():
        sys.stdout.write(f"{path.relative_to(FOLDER.parents[1])}\n")


if __name__ == "__main__":
    main()
