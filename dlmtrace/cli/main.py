"""The command ``dlmtrace``: its subcommands, its exit status and its messages."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from typing import Annotated

import typer

from dlmtrace import __version__
from dlmtrace.cli.analyze import EXAMPLES as ANALYZE_EXAMPLES
from dlmtrace.cli.analyze import analyze
from dlmtrace.cli.annotate import EXAMPLES as ANNOTATE_EXAMPLES
from dlmtrace.cli.annotate import annotate
from dlmtrace.cli.browse import EXAMPLES as BROWSE_EXAMPLES
from dlmtrace.cli.browse import browse
from dlmtrace.cli.decode import EXAMPLES as DECODE_EXAMPLES
from dlmtrace.cli.decode import decode
from dlmtrace.cli.explain import EXAMPLES as EXPLAIN_EXAMPLES
from dlmtrace.cli.explain import explain
from dlmtrace.cli.export import EXAMPLES as EXPORT_EXAMPLES
from dlmtrace.cli.export import export
from dlmtrace.cli.extras import MissingExtra
from dlmtrace.cli.graph import EXAMPLES as GRAPH_EXAMPLES
from dlmtrace.cli.graph import graph
from dlmtrace.cli.info import EXAMPLES as INFO_EXAMPLES
from dlmtrace.cli.info import info
from dlmtrace.cli.interruption import INTERRUPTED
from dlmtrace.cli.ladder import EXAMPLES as LADDER_EXAMPLES
from dlmtrace.cli.ladder import ladder
from dlmtrace.cli.live import EXAMPLES as LIVE_EXAMPLES
from dlmtrace.cli.live import live
from dlmtrace.cli.query import EXAMPLES as QUERY_EXAMPLES
from dlmtrace.cli.query import query
from dlmtrace.cli.report import EXAMPLES as REPORT_EXAMPLES
from dlmtrace.cli.report import report
from dlmtrace.cli.streams import EXAMPLES as STREAMS_EXAMPLES
from dlmtrace.cli.streams import streams

UNUSABLE = 2
"""Exit status when input or arguments cannot be used."""

app = typer.Typer(
    name="dlmtrace",
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command(epilog=DECODE_EXAMPLES)(decode)
app.command(epilog=INFO_EXAMPLES)(info)
app.command(epilog=ANALYZE_EXAMPLES)(analyze)
app.command(epilog=STREAMS_EXAMPLES)(streams)
app.command(epilog=EXPLAIN_EXAMPLES)(explain)
app.command(epilog=REPORT_EXAMPLES)(report)
app.command(epilog=GRAPH_EXAMPLES)(graph)
app.command(epilog=ANNOTATE_EXAMPLES)(annotate)
app.command(epilog=LADDER_EXAMPLES)(ladder)
app.command(epilog=LIVE_EXAMPLES)(live)
app.command(epilog=EXPORT_EXAMPLES)(export)
app.command(epilog=QUERY_EXAMPLES)(query)
app.command(epilog=BROWSE_EXAMPLES)(browse)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"dlmtrace {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Dissect and analyse captures of the Linux kernel's Distributed Lock Manager (DLM)."""
    if context.invoked_subcommand is None:
        print(context.get_help(), end="")


def main() -> None:
    """Run the command line; one line on standard error for every failure."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads for matrices would only wait
    gc.set_threshold(100_000, 50, 100)  # batches make very many objects and hardly a cycle
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end like any Unix tool when the reader of a pipe goes away
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an encoding without arrows is no reason to fail
    try:
        status = app(standalone_mode=False, prog_name="dlmtrace")
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        print(f"dlmtrace: {message}", file=sys.stderr)
        status = UNUSABLE
    sys.exit(status)


def _message(error: Exception) -> str | None:
    """What to tell the user about an error that is the input's, the arguments' or the system's, None for a bug."""
    if hasattr(error, "format_message"):  # a usage error; typer brings its own click, whose classes it does not export
        return str(error.format_message())
    from dlmtrace.capture.packets import UnusableInput

    if isinstance(error, UnusableInput | MissingExtra):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'standard output'}: {error.strerror or error}"
    return None
