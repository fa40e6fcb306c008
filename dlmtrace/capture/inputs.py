"""The bytes of one capture file or pipe, decompressed, in windows that the format readers index."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import select
import stat
import time

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.compression import LONGEST_MAGIC, Decompressor, compression_of
from dlmtrace.capture.packets import TAIL, UnusableInput

STANDARD_INPUT = "-"
PIPE_SIZE = 1 << 20  # what an unprivileged process may ask for (pipe(7))
CHUNK = 1 << 16  # compressed bytes read at once
DECODED = 1 << 18  # bytes decoded at once: some decoders set aside as much as they are allowed
PAUSE = 0.01  # a producer silent for so many seconds has nothing more just now
PATIENCE = 0.1  # bytes are handed on at the latest so many seconds after the first of them came

Bytes = npt.NDArray[np.uint8]


class _Disk:
    """The bytes as they lie on disk or come from a pipe.  Errors of reading end them and are kept in ``failure``."""

    def __init__(self, path: str) -> None:
        self.position = 0
        self.failure: str | None = None
        self._file = io.FileIO(0 if path == STANDARD_INPUT else path, closefd=path != STANDARD_INPUT)
        status = os.fstat(self._file.fileno())
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)
        if stat.S_ISFIFO(status.st_mode):
            # A larger pipe is a larger batch; the kernel may refuse it.
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._file, fcntl.F_SETPIPE_SZ, PIPE_SIZE)

    def close(self) -> None:
        self._file.close()

    def readinto(self, target: memoryview) -> int:
        """Put some bytes into ``target``; 0 at the end only."""
        try:
            count = self._file.readinto(target) or 0
        except OSError as error:
            self.failure = f"reading failed ({error.strerror})"
            return 0
        self.position += count
        return count

    def read(self) -> bytes:
        """Some bytes, none at the end only."""
        chunk = bytearray(CHUNK)
        return bytes(chunk[: self.readinto(memoryview(chunk))])

    def is_ready(self, seconds: float) -> bool:
        """Whether there is something to read, or the end, within ``seconds``."""
        return self.size is not None or bool(self._poll.poll(1000 * seconds))


class Input:
    """A file, or a pipe as it fills, decompressed when its first bytes say so.

    ``name`` for messages; ``size`` in bytes on disk, None for a pipe; ``compression`` is "" for a plain file.
    Raises UnusableInput when it cannot be opened or read, or is empty.
    """

    def __init__(self, path: str) -> None:
        self.name = "standard input" if path == STANDARD_INPUT else path
        try:
            self._disk = _Disk(path)
        except FileNotFoundError:
            raise UnusableInput(f"{self.name}: no such file") from None
        except IsADirectoryError:
            raise UnusableInput(f"{self.name}: a directory; name the capture files in it") from None
        except OSError as error:
            raise UnusableInput(f"{self.name}: {error.strerror}") from None
        self.size = self._disk.size
        self._head = b""  # taken from disk and not given yet
        while len(self._head) < LONGEST_MAGIC and (more := self._disk.read()):
            self._head += more
        if not self._head:
            self.close()
            raise UnusableInput(f"{self.name}: {self._disk.failure or 'empty, a capture file is expected'}")
        self.compression = compression_of(self._head)
        self._decompressor: Decompressor | None = None
        if self.compression:
            self._decompressor = Decompressor(self.compression, self._disk.read, self._head)
            self._head = b""

    @property
    def position(self) -> int:
        """Bytes taken from disk."""
        return self._disk.position

    @property
    def damage(self) -> str | None:
        """Why the bytes stopped early, None when they did not."""
        return self._disk.failure or (self._decompressor.damage if self._decompressor else None)

    def close(self) -> None:
        """Let go of the file; standard input stays open."""
        self._disk.close()

    def readinto(self, target: memoryview) -> int:
        """Fill ``target`` from a file, or with what a pipe holds and a busy producer adds; 0 at the end only."""
        filled, deadline = 0, 0.0
        while filled < len(target):
            got = self._step(target[filled:])
            if got is None:
                break
            if got and not filled:
                deadline = time.monotonic() + PATIENCE
            filled += got
            if filled and not self._has_more(deadline):
                break
        return filled

    def read(self, count: int) -> bytes:
        """``count`` bytes, fewer at the end only; waits for them."""
        target = bytearray(count)
        filled = 0
        while filled < count and (got := self.readinto(memoryview(target)[filled:])):
            filled += got
        return bytes(target[:filled])

    def _has_more(self, deadline: float) -> bool:
        """Whether more bytes can be had without waiting for a slow producer."""
        if self._decompressor and self._decompressor.has_input:
            return True
        return self._disk.is_ready(min(PAUSE, max(0.0, deadline - time.monotonic())))

    def _step(self, target: memoryview) -> int | None:
        """Put some bytes into ``target``: their number (0: none in this step), None at the end."""
        if self._decompressor:
            decoded = self._decompressor.step(min(DECODED, len(target)))
            if decoded is None:
                return None
            target[: len(decoded)] = decoded
            return len(decoded)
        if self._head:
            count = min(len(self._head), len(target))
            target[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        return self._disk.readinto(target) or None


class Windows:
    """Successive windows of an input, each a fresh buffer that begins with the bytes the one before left over.

    ``base`` is the place of the next window's first byte in the uncompressed capture; ``left`` the number of bytes
    left over.
    """

    def __init__(self, source: Input, head: bytes, base: int = 0) -> None:
        self._source = source
        self._rest: Bytes = np.frombuffer(head, np.uint8)
        self.base = base

    @property
    def left(self) -> int:
        return len(self._rest)

    def following(self, size: int) -> tuple[Bytes, int] | None:
        """Buffer and number of bytes in it (TAIL zero bytes follow them); None when there is nothing new.

        The window holds ``size`` bytes, twice the left-over bytes when that is more: so it grows until a record fits.
        """
        size = max(size, 2 * len(self._rest))
        buffer = np.empty(size + TAIL, np.uint8)
        buffer[: len(self._rest)] = self._rest
        got = self._source.readinto(buffer.data[len(self._rest) : size])
        if not got:
            return None
        filled = len(self._rest) + got
        if filled < size // 2:  # a slow pipe: later stages keep the buffer, so keep it small
            buffer = buffer[: filled + TAIL].copy()
        buffer[filled : filled + TAIL] = 0
        return buffer, filled

    def keep(self, buffer: Bytes, used: int, filled: int) -> None:
        """Bytes from ``used`` on begin the next window."""
        self._rest = buffer[used:filled]
        self.base += used
