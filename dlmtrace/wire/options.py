"""DLM_OPTS: envelope of a sequenced frame, and its options (protocol page §4, fs/dlm/dlm_internal.h)."""

from __future__ import annotations

import construct as C

from dlmtrace.wire.enums import Command
from dlmtrace.wire.fields import Enumerated

Options = C.Struct(
    "o_nextcmd" / Enumerated(C.Int8ul, Command) * "h_cmd of the inner frame: MSG, RCOM or FIN",
    "o_pad" / C.Int8ul * "Zero",
    "o_optlen" / C.Int16ul * "Bytes of options before the inner frame; 0 from every kernel",
    "o_pad2" / C.Int32ul * "Zero",
)
"""Behind the header of an OPTS frame, 8 bytes."""

OptionHeader = C.Struct(
    "t_type" / C.Int16ul * "Kind of option; the kernel defines none",
    "t_length" / C.Int16ul * "Bytes of this option; read here with these 8 included",
    "t_pad" / C.Int32ul * "Zero",
)
"""Head of one option, 8 bytes.  No kernel sends or reads one; whether t_length counts the head is not defined."""

Option = OptionHeader + C.Struct(
    # a t_length below 8 asks for less than nothing: construct refuses it, and the list of options ends there
    "t_value" / C.Bytes(C.this.t_length - OptionHeader.sizeof()) * "Content of the option",
)

OptionList = C.Struct(
    "options" / C.GreedyRange(Option) * "Options as far as they can be read",
    "unread" / C.GreedyBytes * "Bytes behind the last option that could be read",
)
"""The o_optlen bytes between OPTS and its inner frame."""
