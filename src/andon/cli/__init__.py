"""The command line: parse, call one function of a stage, show the result.

Exit codes: 0 done (or the gate passes), 1 the gate fails, 2 the input or the configuration is wrong, 3 the gate is
undecided, 4 it could not be run (the store or something beyond a seam failed, the output could not be written, or something
happened that nobody expected). Ctrl-C ends with 130, as in every shell.
"""

import sys
import traceback
from functools import cache
from pathlib import Path

import typer
from typer.main import get_command

from andon.cli import (
    access,
    backups,
    channels,
    config,
    evals,
    golden,
    incidents,
    investigations,
    ledgers,
    levers,
    monitors,
    postmortems,
    probes,
    rollouts,
    shift,
    traffic,
    truth,
    work,
)
from andon.cli.screen import fail
from andon.errors import AndonError, SeamError, StoreError

__all__ = ["app", "main"]

app = typer.Typer(
    name="andon",
    help="Every failure of an AI system is paid for once: detect, stop, explain, and turn it into a test.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
traffic.add_to(app)
work.add_to(app)
incidents.add_to(app)
investigations.add_to(app)
postmortems.add_to(app)
golden.add_to(app)
evals.add_to(app)
probes.add_to(app)
levers.add_to(app)
rollouts.add_to(app)
config.add_to(app)
monitors.add_to(app)
channels.add_to(app)
access.add_to(app)
ledgers.add_to(app)
backups.add_to(app)
truth.add_to(app)
shift.add_to(app)


_command = cache(get_command)  # to build all commands takes longer than most of them


def main() -> None:
    """Run the command line; an error of ours is one line on stderr and an exit code, never a traceback."""
    try:
        _command(app)()
    except AndonError as error:
        fail(f"{error} (type {error.commands})" if error.commands else str(error))
        sys.exit(4 if isinstance(error, (StoreError, SeamError)) else 2)
    except SystemExit as done:
        if isinstance(done.__context__, OSError | typer.Abort):  # a closed pipe, or no more input: typer and rich say 1
            sys.exit(4)
        raise
    except Exception as error:  # whatever else happens is no verdict: Python would say 1
        where = traceback.extract_tb(error.__traceback__)[-1]
        fail(f"{type(error).__name__}: {error} (unexpected, in {Path(where.filename).name}, line {where.lineno})")
        sys.exit(4)
