"""The repository's captures and the kernels' own record of the same events (see captures/MANIFEST.md).

A capture *file* is named without its compression suffix (`rst-3.2-tcp.pcap`); a *scenario* is one recorded session
(`rst-3.2-tcp`), with one or more capture files, one JSON of facts, and a trace, a kernel log and a log of the lock
load for each boot of each node.
"""

import importlib.util
import json
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import zstandard

REPOSITORY = Path(__file__).resolve().parent.parent
CAPTURES = REPOSITORY / "captures"

SCENARIOS = sorted(path.stem for path in CAPTURES.glob("*.json"))
CAPTURE_FILES = sorted(path.name.removesuffix(".zst") for path in CAPTURES.glob("*.pcap*.zst"))


def capture_path(file: str) -> Path:
    """Path of a compressed capture, as users would give it to `dlmtrace`."""
    return CAPTURES / f"{file}.zst"


@lru_cache(maxsize=8)
def capture_bytes(file: str) -> bytes:
    """The plain bytes of a capture."""
    return _decompressed(capture_path(file))


def scenario_of(file: str) -> str:
    """The scenario that a capture file belongs to."""
    return max((name for name in SCENARIOS if file.startswith(f"{name}.")), key=len)


@lru_cache(maxsize=8)
def scenario(name: str) -> dict[str, Any]:
    """Facts of a scenario: nodes, clocks, lockspaces, events with host time, forged RSTs, frame counts."""
    facts: dict[str, Any] = json.loads((CAPTURES / f"{name}.json").read_text())
    return facts


def kernel_record(name: str, node: int, kind: str, boot: int = 1) -> str | None:
    """What a node's kernel noted: kind is `trace`, `dmesg`, `oplog`, `debugfs.txt` or `glocks.txt`.

    None when this scenario has no such record (5.10 has no DLM trace events).
    """
    path = CAPTURES / f"{name}.node{node}{'' if boot == 1 else f'.boot{boot}'}.{kind}.zst"
    return _decompressed(path).decode(errors="replace") if path.exists() else None


@cache
def stand_alone_counter() -> ModuleType:
    """captures/lab/walk.py, which finds frames with no code of dlmtrace: a second opinion."""
    spec = importlib.util.spec_from_file_location("walk", CAPTURES / "lab" / "walk.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _decompressed(path: Path) -> bytes:
    with path.open("rb") as compressed, zstandard.ZstdDecompressor().stream_reader(compressed) as plain:
        return plain.read()
