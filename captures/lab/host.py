"""Commands on the host and in the lab's network namespace, and where things lie."""

import os
import subprocess
from pathlib import Path

LAB = Path(__file__).resolve().parent
BUILT = LAB / "built"  # kernels and initramfs images, by build.sh
RUN = LAB / "run"  # what a running scenario needs; emptied at its next start
RECORDED = LAB / "recorded"  # captures and records of finished scenarios

NAMESPACE = "dlmlab"
PORT = 21064

os.environ["PATH"] += ":/usr/sbin:/sbin"


def run(command: str, check: bool = True) -> str:
    """Run a shell command, return what it printed; RuntimeError with that text when it fails."""
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{command}\n{done.stdout}")
    return done.stdout


def in_namespace(command: str) -> str:
    return f"ip netns exec {NAMESPACE} {command}"
