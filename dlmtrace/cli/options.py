"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE",
        help="Captures: pcap or pcapng, plain or compressed (gzip, zstd, xz, bzip2, lz4); - is standard input.",
        show_default=False,
    ),
]

Ports = Annotated[
    list[int] | None,
    typer.Option(
        "--port",
        "-p",
        metavar="PORT",
        min=1,
        max=65535,
        help="TCP or SCTP port of DLM, not 21064; repeatable.",
    ),
]

AnyPort = Annotated[bool, typer.Option("--any-port", help="Find DLM on any port, by the look of its frames.")]

LockspaceNames = Annotated[
    list[str] | None,
    typer.Option(
        "--lockspace-name",
        metavar="NAME",
        help="Show this lockspace by name, select nothing; repeatable. NAME has the id that dlm_controld gives it, "
        "NAME=0xID another one.",
    ),
]
