"""Frames as they travel: several in a TCP segment or SCTP message."""

from __future__ import annotations

from typing import Any, ClassVar

from scapy.config import conf
from scapy.fields import PacketListField
from scapy.layers.inet import TCP
from scapy.layers.sctp import SCTPChunkData
from scapy.packet import Packet, bind_bottom_up, bind_top_down

from dlmtrace.scapy_layer.frames import DLM, HEADER_SIZE, header_value
from dlmtrace.wire.header import MAXIMUM_LENGTH

PORT = 21064
"""The DLM port (protocol page §7.1)."""

_MAJOR_VERSION = 3


def _looks_like_frame(data: bytes) -> bool:
    """Whether the header at the start of ``data`` (16 bytes at least) may be one (protocol page §1.4)."""
    return (
        header_value("h_version", data) >> 16 == _MAJOR_VERSION
        and HEADER_SIZE <= header_value("h_length", data) <= MAXIMUM_LENGTH
    )


def _whole_frame(data: bytes) -> int:
    """Bytes of the whole frame that begins ``data``; 0 when there is none."""
    if len(data) < HEADER_SIZE or not _looks_like_frame(data):
        return 0
    length = header_value("h_length", data)
    return length if length <= len(data) else 0


class FramesField(PacketListField):  # type: ignore[misc]
    """Whole frames one behind the other."""

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, list[Packet]]:
        frames = []
        while length := _whole_frame(s):
            frames.append(DLM(s[:length], _parent=pkt))
            s = s[length:]
        return s, frames


class DLMFrames(Packet):  # type: ignore[misc]
    """The frames of a TCP segment or an SCTP message; what is no whole frame follows as Raw."""

    name = "DLM frames"
    fields_desc: ClassVar[list[Any]] = [FramesField("frames", [], DLM)]

    def mysummary(self) -> str:
        return ", ".join(frame.summary() for frame in self.frames)

    @classmethod
    def tcp_reassemble(cls, data: bytes, metadata: dict[str, Any], session: dict[str, Any]) -> Packet | None:
        """For scapy's TCPSession: all whole frames so far; the start of one more waits for its rest."""
        end = 0
        while length := _whole_frame(data[end:]):
            end += length
        if end:
            packet = cls(data[:end])
            return packet / conf.padding_layer(data[end:]) if data[end:] else packet
        if len(data) < HEADER_SIZE or _looks_like_frame(data):
            return None
        return conf.raw_layer(data)


class _MessageData(DLMFrames):
    """What an SCTP DATA chunk carries, told by the form of its first bytes: scapy does not say the port here."""

    @classmethod
    def dispatch_hook(cls, _pkt: bytes = b"", *args: Any, **kwargs: Any) -> Any:
        below = kwargs.get("_underlayer")
        if isinstance(below, SCTPChunkData):
            # scapy asks the same bindings for what comes behind the chunk: that is the next chunk
            return below.default_payload_class(_pkt)
        return DLMFrames if len(_pkt) >= HEADER_SIZE and _looks_like_frame(_pkt) else conf.raw_layer


for _upper in (DLM, DLMFrames):
    bind_top_down(TCP, _upper, sport=PORT, dport=PORT)
for _port in ("sport", "dport"):
    bind_bottom_up(TCP, DLMFrames, {_port: PORT})
bind_bottom_up(SCTPChunkData, _MessageData, proto_id=0)
