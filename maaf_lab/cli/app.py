"""The command itself: what stands before every subcommand, what is printed where, and how errors are told."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
import warnings
from itertools import pairwise
from typing import Annotated

import typer
from typer.core import TyperGroup

import maaf_lab
from maaf_lab.errors import ConfigError, LabError
from maaf_lab.utils.registry import YOUR_MODULES, import_yours
from maaf_lab.utils.wording import printable

STOPPED = {  # what Ctrl-C leaves behind, where no command says more
    "train": "stopped; the same command goes on",
    "table": "stopped; the same command goes on",
    "tables": "stopped; the same command goes on",
    "demo": "stopped; the same command goes on",
    "search": "stopped; what was embedded so far is kept, and the same command goes on",
    "make": "stopped; what is there is unfinished, and the same command starts over",
    "evaluate": "stopped; the same command starts over",
    "check": "stopped before all of it was checked",
}


class _Commands(TyperGroup):
    """typer takes an EOFError, as a cut file raises it, for the end of what somebody types, and says "Aborted." alone."""

    def parse_args(self, context: typer.Context, args: list[str]) -> list[str]:
        """An empty word is what a variable of the shell that nobody set leaves; as a path it would be the current folder."""
        for before, word in pairwise(["maaf-lab", *args]):
            option = before if word == "" else word[:-1] if re.fullmatch("--[a-z-]+=", word) else ""
            if option and option != "--text":
                raise ConfigError(f"{option}: expected a value, found an empty word; name one, or leave the option out")
        return super().parse_args(context, args)

    def invoke(self, context: typer.Context) -> object:
        try:
            return super().invoke(context)
        except EOFError as error:
            raise RuntimeError(f"a file ends too early: {error}") from error
        except KeyboardInterrupt as stop:
            say(f"\nmaaf-lab: {str(stop) or STOPPED.get(context.invoked_subcommand or '', 'stopped')}")
            raise typer.Exit(getattr(stop, "code", 130)) from stop


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The lab for composed image retrieval: MAAF, the systems it is compared with, its tables and figures.",
    epilog="A folder that is left out is the lab's own, as in the notebooks: data/, runs/ or report/ in the folder that "
    "MAAF_LAB_HOME names, else in the lab's clone, else here.",
)


def _tell_version(asked: bool) -> None:
    if asked:
        answer(f"maaf-lab {maaf_lab.__version__}")
        raise typer.Exit


@app.callback()
def your_modules(
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="a module of yours that registers datasets, systems or encoders; stands before the command"),
    ] = None,
    _version: Annotated[bool, typer.Option("--version", help="the lab's version", callback=_tell_version, is_eager=True)] = False,
) -> None:
    if with_:
        sys.path.append(os.getcwd())  # a console script does not look there by itself
        os.environ[YOUR_MODULES] = ",".join([*filter(None, [os.environ.get(YOUR_MODULES)]), *with_])
        import_yours()  # before anything is trained


def answer(text: object) -> None:
    """What a command answers."""
    print(printable(text, "\n\t"))


def say(text: object) -> None:
    """What it says besides."""
    print(printable(text, "\n\t"), file=sys.stderr)


def main() -> None:
    """The console script: the lab's own errors are a message and exit code 2.

    Any other error is a defect of the lab: one line that says where its full report is, and exit code 1. What a terminal
    cannot show is replaced.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", ".*decompression bomb")  # a large photo that Pillow still opens
    warnings.formatwarning = lambda message, *_args, **_named: f"maaf-lab: {printable(message)}\n"
    try:
        app()
    except LabError as error:
        say(f"maaf-lab: {error}")
        sys.exit(2)
    except Exception as error:
        said = printable(error).strip()[:200]
        say(f"maaf-lab: a defect of the lab, {type(error).__name__}{f' ({said})' if said else ''}. {_report(error)}")
        sys.exit(1)


def _report(error: Exception) -> str:
    """Saves what a defect can be found by; says where."""
    text = "".join([f"maaf-lab {' '.join(sys.argv[1:])[:2000]}\n\n", *traceback.format_exception(error)])
    try:
        handle, name = tempfile.mkstemp(prefix="maaf-lab-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as why:
        return f"Its report could not be saved ({why})"
    return f"The full report, to be sent to the lab's authors: {name}"
