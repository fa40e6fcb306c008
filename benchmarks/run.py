#!/usr/bin/env python3
"""Run dlmtrace beside tshark and tcptrace on generated captures, in turn, and print Markdown tables.

  run.py                       everything: 20 MB, 200 MB and 1 GB, all variants; takes about half an hour
  run.py --sizes 20 --rounds 5 throughput    one table, small

A tool that needs more than a minute is not repeated. The file is in the page cache; MB/s are of wall time, which a busy
machine stretches: compare it with the CPU time. Memory is the largest resident set of the process.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
VARIANTS = ["plain", "span", "reordered", "directions"]
DLMTRACE = str(Path(sys.executable).parent / "dlmtrace")
PATIENCE = 60  # seconds after which a tool is not run again
FIELDS = ["frame.number", "frame.time_epoch", "ip.src", "ip.dst", "tcp.stream", "dlm3.h.cmd", "dlm3.h.length"]


def tshark(*arguments: str) -> list[str]:
    return ["tshark", "-n", "-o", "tcp.reassemble_out_of_order:TRUE", *arguments]


INFO = [DLMTRACE, "info"]
TOOLS = [
    INFO,
    [DLMTRACE, "analyze", "--fail-on", "never"],
    tshark("-q", "-z", "io,stat,0", "-r"),
    tshark("-T", "fields", *(word for field in FIELDS for word in ("-e", field)), "-r"),
    ["tcptrace", "-n"],
]


def generated(variant: str, megabytes: int) -> Path:
    """That capture, made now if it is not there, by a process of its own: a child's memory counts from ours."""
    command = [sys.executable, HERE / "generate.py", variant, str(megabytes)]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def read_through(path: Path) -> None:
    """Into the page cache."""
    with path.open("rb", buffering=0) as capture:
        while capture.read(1 << 20):
            pass


class Measurement(NamedTuple):
    seconds: float
    cpu_seconds: float
    mebibytes: float


class Result(NamedTuple):
    command: list[str]
    size: int  # bytes of capture
    measurements: list[Measurement]

    @property
    def label(self) -> str:
        """The command as one would type it, before the file."""
        return f"`{' '.join([Path(self.command[0]).name, *self.command[1:]])}`"

    @property
    def seconds(self) -> float:
        return statistics.median(measurement.seconds for measurement in self.measurements)

    @property
    def cpu_seconds(self) -> float:
        return statistics.median(measurement.cpu_seconds for measurement in self.measurements)

    @property
    def rate(self) -> float:
        """MB/s of wall time."""
        return self.size / 1e6 / self.seconds

    @property
    def memory(self) -> float:
        return max(measurement.mebibytes for measurement in self.measurements)


def measure(command: Sequence[str]) -> Measurement:
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    messages = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}\n{messages.decode()}")
    return Measurement(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turn(runs: Sequence[tuple[list[str], Path]], rounds: int) -> list[Result]:
    """Run all commands once, then all again: a change of the machine's load meets every tool."""
    for _, path in runs:
        read_through(path)
    results = [Result(command, path.stat().st_size, []) for command, path in runs]
    for _ in range(rounds):
        for result, (_, path) in zip(results, runs, strict=True):
            if not result.measurements or result.measurements[0].seconds < PATIENCE:
                result.measurements.append(measure([*result.command, str(path)]))
    return results


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def throughput(sizes: Sequence[int], variants: Sequence[str], tools: Sequence[str], rounds: int) -> None:
    """Whole captures: every variant at the middle size, the plain one at all sizes."""
    print("## Throughput\n")
    files = [("plain", size) for size in sizes] if "plain" in variants else []
    files += [(variant, sorted(sizes)[len(sizes) // 2]) for variant in variants if variant != "plain"]
    for variant, size in files:
        path = generated(variant, size)
        results = in_turn([(command, path) for command in TOOLS if Path(command[0]).name in tools], rounds)
        print(f"{variant}, {path.stat().st_size / 1e6:.0f} MB\n")
        rows = [
            [
                r.label,
                f"{r.seconds:.2f}",
                f"{r.cpu_seconds:.2f}",
                f"{r.rate:.0f}",
                f"{r.memory:.0f}",
                str(len(r.measurements)),
            ]
            for r in results
        ]
        print(table(["command", "wall s", "CPU s", "MB/s", "memory MiB", "runs"], rows), flush=True)


def first_packets(source: Path, count: int) -> Path:
    """A capture of the first packets of another."""
    with source.open("rb") as file:
        capture = file.read(24)
        for _ in range(count):
            record = file.read(16)
            capture += record + file.read(struct.unpack_from("<I", record, 8)[0])
    path = source.with_name(f"first-{count}.pcap")
    path.write_bytes(capture)
    return path


def start_up(rounds: int) -> None:
    print("## Start-up: 100 packets\n")
    path = first_packets(generated("plain", 20), 100)
    results = in_turn([(INFO, path), (tshark("-r"), path)], 5 * rounds)
    rows = [
        [
            r.label,
            f"{r.seconds:.3f}",
            f"{min(measurement.seconds for measurement in r.measurements):.3f}",
            f"{r.cpu_seconds:.3f}",
            f"{r.memory:.0f}",
            str(len(r.measurements)),
        ]
        for r in results
    ]
    print(table(["command", "wall s", "best s", "CPU s", "memory MiB", "runs"], rows), flush=True)


def decode(sizes: Sequence[int], rounds: int) -> None:
    """JSON of every frame; tshark gets the smallest capture, since only the rate is compared."""
    print("## Decoding to JSON\n")
    runs = [
        ([DLMTRACE, "decode", "--format", "jsonl"], generated("plain", sorted(sizes)[len(sizes) // 2])),
        (tshark("-T", "json", "-r"), generated("plain", min(sizes))),
    ]
    results = in_turn(runs, rounds)
    slowest = min(result.rate for result in results)
    rows = [
        [
            r.label,
            f"{r.size / 1e6:.0f}",
            f"{r.seconds:.2f}",
            f"{r.cpu_seconds:.2f}",
            f"{r.rate:.1f}",
            f"{r.rate / slowest:.1f}",
            f"{r.memory:.0f}",
            str(len(r.measurements)),
        ]
        for r in results
    ]
    print(
        table(["command", "MB", "wall s", "CPU s", "MB/s", "times the slower", "memory MiB", "runs"], rows), flush=True
    )


def versions() -> str:
    def first_line(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().splitlines()[0]

    return ", ".join(
        [
            f"{os.cpu_count()} CPUs",
            f"CPython {platform.python_version()}",
            first_line(DLMTRACE, "--version"),
            first_line("tshark", "--version").split(" (Git")[0],
            first_line("tcptrace", "-v").split(" -- ")[1].replace("version", "tcptrace"),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help="throughput, start-up, decode (default: all)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 200, 1000], metavar="MB")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--tools", nargs="+", default=["dlmtrace", "tshark", "tcptrace"], help="for throughput")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    makers: dict[str, Callable[[], None]] = {
        "throughput": lambda: throughput(options.sizes, options.variants, options.tools, options.rounds),
        "start-up": lambda: start_up(options.rounds),
        "decode": lambda: decode(options.sizes, options.rounds),
    }
    unknown = set(options.tables) - set(makers)
    if unknown:
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    for tool in ("tshark", "tcptrace"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not installed (Debian: apt install {tool})")
    print(versions() + "\n")
    for name in options.tables or makers:
        makers[name]()


if __name__ == "__main__":
    main()
