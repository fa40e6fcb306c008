"""Compressed captures: gzip, zstd, xz, bzip2 and lz4, told by their first bytes and decoded as the bytes come.

Several members, frames or streams behind each other are one capture, as the command line tools have it.  Damage never
raises: what was decoded before it stays, and ``Decompressor.damage`` says what was wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

MAGICS: dict[str, tuple[bytes, ...]] = {
    "gzip": (b"\x1f\x8b",),
    # The second kind is a skippable frame, which pzstd writes in front (RFC 8878 §3.1.2).
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes((kind, 0x2A, 0x4D, 0x18)) for kind in range(0x50, 0x60))),
    "xz": (b"\xfd7zXZ\x00",),
    "bzip2": (b"BZh",),
    "lz4": (b"\x04\x22\x4d\x18",),
}
LONGEST_MAGIC = 6
PIECE = 2048  # compressed bytes a step: bounds what one step may blow up to, and what is lost in front of damage
XZ_MEMORY = 256 << 20  # the largest preset needs 65 MiB


class _Decoder(Protocol):
    """One member, frame or stream, with the interface of ``lzma.LZMADecompressor``.

    It has more to give of the input it took when, and only when, it gave as much as ``max_length`` allowed.
    """

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipMember:
    """``zlib.decompressobj`` keeps the input it did not take in ``unconsumed_tail``; here it is carried on."""

    def __init__(self) -> None:
        import zlib

        self._member = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._member.decompress(self._member.unconsumed_tail + data, max_length)


class _ZstdFrame:
    """``zstandard``'s decompressobj knows no bound on its output: all of a piece comes at once and is kept here."""

    def __init__(self) -> None:
        import zstandard

        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._decoded = memoryview(b"")

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof) and not self._decoded

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if data:
            self._decoded = memoryview(self._frame.decompress(data))
        decoded, self._decoded = bytes(self._decoded[:max_length]), self._decoded[max_length:]
        return decoded


def _decoder(compression: str) -> tuple[_Decoder, type[Exception]]:
    """A decoder of one member and the error that it raises on damaged data."""
    decoder: Any
    if compression == "gzip":
        import zlib

        return _GzipMember(), zlib.error
    if compression == "zstd":
        import zstandard

        return _ZstdFrame(), zstandard.ZstdError
    if compression == "xz":
        import lzma

        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY), lzma.LZMAError
    if compression == "bzip2":
        import bz2

        return bz2.BZ2Decompressor(), OSError
    import lz4.frame

    decoder = lz4.frame.LZ4FrameDecompressor()
    return decoder, RuntimeError


def compression_of(head: bytes) -> str:
    """Name of the compression that ``head`` (the first LONGEST_MAGIC bytes of a file) begins, "" for none."""
    for compression, magics in MAGICS.items():
        if head.startswith(magics):
            return compression
    return ""


class Decompressor:
    """Decodes what ``read`` delivers.

    ``read()`` gives some compressed bytes, b"" at the end; ``head`` are those already read from the front.
    ``damage`` is None, or says in a few words why decoding stopped before the input did.
    """

    def __init__(self, compression: str, read: Callable[[], bytes], head: bytes) -> None:
        self.compression = compression
        self.damage: str | None = None
        self._read = read
        self._input = memoryview(head)
        self._decoder, self._error = _decoder(compression)
        self._full = False  # the last step gave as much as it might: the decoder has more
        self._between = False  # behind a member, where the next may begin
        self._ended = False

    @property
    def has_input(self) -> bool:
        """Whether a step can be made without reading."""
        return bool(self._input) or self._full

    def step(self, limit: int) -> bytes | None:
        """At most ``limit`` decoded bytes; b"" when this step gave none, None at the end."""
        if self._ended or (self._between and not self._next_member()):
            return None
        piece = b""
        if not self._full:
            piece = self._take_piece()
            if not piece:
                self._stop(f"the {self.compression} data ends too early")
                return None
        try:
            decoded = self._decoder.decompress(piece, limit)
        except self._error as error:
            self._stop(f"the {self.compression} data is damaged ({error})")
            return None
        self._full = len(decoded) == limit
        if self._decoder.eof:
            self._input = memoryview((self._decoder.unused_data or b"") + bytes(self._input))
            self._between, self._full = True, False
        return decoded

    def _take_piece(self) -> bytes:
        if not self._input:
            self._input = memoryview(self._read())
        piece, self._input = bytes(self._input[:PIECE]), self._input[PIECE:]
        return piece

    def _next_member(self) -> bool:
        """Prepare for the next member; False at the end of the input.  Zero bytes between members are padding."""
        head = bytes(self._input).lstrip(b"\0")
        while len(head) < LONGEST_MAGIC and (more := self._read()):
            head = (head + more).lstrip(b"\0")
        self._input = memoryview(head)
        if not head:
            self._ended = True
        elif compression_of(head) != self.compression:
            self._stop(f"{self.compression} data is followed by something else")
        else:
            self._decoder, self._error = _decoder(self.compression)
            self._between = False
        return not self._ended

    def _stop(self, damage: str) -> None:
        self.damage = damage
        self._ended = True
