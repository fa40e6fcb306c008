"""The options that select frames, as several commands have them; ``selectors.Selectors`` reads their texts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

SELECTION = "Selection: a frame is shown when it meets every option given"


def _selecting(name: str, metavar: str, help: str) -> Any:
    return typer.Option(name, metavar=metavar, help=help, rich_help_panel=SELECTION)


Senders = Annotated[list[str] | None, _selecting("--node", "IDS", "Sender: 1, 1-3 or 1,3.")]
Receivers = Annotated[list[str] | None, _selecting("--peer", "IDS", "Receiver.")]
Commands = Annotated[
    list[str] | None, _selecting("--command", "NAMES", "MSG, RCOM, OPTS, ACK, FIN; MSG also inside OPTS.")
]
Types = Annotated[
    list[str] | None, _selecting("--type", "NAMES", "Type of MSG or RCOM: REQUEST, 'NAMES*', or its number.")
]
Lockspaces = Annotated[
    list[str] | None, _selecting("--lockspace", "NAMES", "NAME, NAME=0xID (both then shown by name) or 0xID.")
]
Resources = Annotated[
    list[str] | None,
    _selecting("--resource", "PATTERN", "Frames that carry a resource name like it; 2/17 is GFS2's glock 2/17."),
]
Sequences = Annotated[list[str] | None, _selecting("--seq", "RANGES", "Sequence number: 7, 3-9 or 3-.")]
Packets = Annotated[list[str] | None, _selecting("--packet", "RANGES", "Packet with the frame's first or last byte.")]
Connections = Annotated[list[str] | None, _selecting("--connection", "RANGES", "Connection: c1, c2-c4.")]
Moments = Annotated[
    list[str] | None,
    _selecting("--time", "FROM..TO", "Seconds since the first packet, or ISO 8601; UTC when nothing else is said."),
]
