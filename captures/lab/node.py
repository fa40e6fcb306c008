"""One guest: a QEMU machine, the agent inside it that runs commands, and its DLM configuration.

Control goes over a virtio-serial port (guest/dlmtool agent), files come back over 9p (run/SCENARIO/nN). Membership is
written to configfs and /sys/kernel/dlm/LOCKSPACE/{id,control,event_done}, as dlm_controld would.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from host import BUILT, in_namespace, run

if TYPE_CHECKING:
    from lab import Lab

CLUSTER = "/sys/kernel/config/dlm/cluster"
TRACING = "/sys/kernel/tracing"
NO_OFFLOAD = ",csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,host_tso4=off,host_tso6=off"


class Node:
    def __init__(self, lab: Lab, number: int, kernel: str) -> None:
        self.lab = lab
        self.number = number
        self.kernel = kernel
        self.name = f"n{number}"
        self.addresses = [network % number for network in lab.networks]
        self.share = lab.directory / self.name
        self.share.mkdir(parents=True, exist_ok=True)
        self.control_socket = lab.directory / f"{self.name}.sock"
        self.boots = 0
        self.clocks: list[dict[str, float]] = []
        self.tracepoints: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.connection = socket.socket(socket.AF_UNIX)
        self.received = b""

    # -- the machine -----------------------------------------------------------------------------------------------

    def mac(self, network: int) -> str:
        return f"02:d1:00:00:{network:02x}:{self.number:02x}"

    def boot(self) -> None:
        self.boots += 1
        kernel_line = f"console=ttyS0 quiet panic=-1 mitigations=off log_buf_len=16M lab.hostname={self.name}"
        devices = [
            *("-virtfs", f"local,path={self.share},mount_tag=share,security_model=none"),
            *("-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=c0,path={self.control_socket},server=on,wait=off"),
            *("-device", "virtserialport,chardev=c0,name=agent"),
        ]
        for network, address in enumerate(self.addresses):
            tap = f"tap{self.number}{'abc'[network]}"
            run(in_namespace(f"ip tuntap add dev {tap} mode tap"), check=False)
            run(in_namespace(f"ip link set {tap} master br{network} up"))
            offload = "" if self.lab.offload else NO_OFFLOAD
            devices += [
                *("-netdev", f"tap,id=nd{network},ifname={tap},script=no,downscript=no"),
                *("-device", f"virtio-net-pci,netdev=nd{network},mac={self.mac(network)}{offload}"),
            ]
            kernel_line += f" lab.ip=eth{network}/{address}/{64 if ':' in address else 24}"
        for disk in self.lab.disks:
            devices += ["-drive", f"file={disk},format=raw,if=virtio,cache=writethrough,file.locking=off"]
        machine = [
            *in_namespace("qemu-system-x86_64").split(),
            *("-accel", "tcg,thread=single", "-cpu", "max", "-smp", "1", "-m", str(self.lab.memory)),
            *("-display", "none", "-nodefaults", "-no-reboot"),
            *("-kernel", f"{BUILT}/vmlinuz-{self.kernel}", "-initrd", f"{BUILT}/initrd-{self.kernel}"),
            *("-serial", f"file:{self.share}/serial.{self.boots}"),
        ]
        with (self.share / f"qemu.{self.boots}.log").open("w") as log:
            self.process = subprocess.Popen(
                [*machine, *devices, "-append", kernel_line], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def connect(self, timeout: float = 120) -> None:
        """Wait until the guest's agent answers."""
        end = time.time() + timeout
        while True:
            try:
                self.connection = socket.socket(socket.AF_UNIX)
                self.connection.connect(str(self.control_socket))
                break
            except OSError:
                if time.time() > end:
                    raise
                time.sleep(0.2)
        self.received = b""
        self.sh("true", timeout=timeout)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """kill -9: the node vanishes without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.connection.close()

    def power_off(self) -> None:
        try:
            self.connection.sendall(b"poweroff -f\n")
            self.process.wait(3)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()

    # -- commands inside -------------------------------------------------------------------------------------------

    def ask(self, line: str, timeout: float) -> tuple[int, str]:
        """Send one line to the agent; exit status and output of the command."""
        self.connection.sendall(line.encode() + b"\n")
        self.connection.settimeout(timeout)
        while b"\n" not in self.received:
            self.receive()
        head, self.received = self.received.split(b"\n", 1)
        status, length = map(int, head.split())
        while len(self.received) < length:
            self.receive()
        output, self.received = self.received[:length], self.received[length:]
        return status, output.decode("latin1")

    def receive(self) -> None:
        data = self.connection.recv(65536)
        if not data:
            raise RuntimeError(f"{self.name}: the agent is gone")
        self.received += data

    def sh(self, command: str, check: bool = True, timeout: float = 120) -> str:
        status, output = self.ask(command.replace("\n", "; "), timeout)
        if check and status:
            raise RuntimeError(f"{self.name}: {command} -> {status}\n{output}")
        return output

    def sh_background(self, command: str, output: str, status: str) -> None:
        """Start a command; its output and at its end its exit status go to files in the guest."""
        self.sh(f"rm -f {status}; ({command} > {output} 2>&1; echo $? > {status}) & true")

    def wait(self, condition: str, timeout: float = 60) -> None:
        end = time.time() + timeout
        while "yes" not in self.sh(f"if {condition}; then echo yes; fi"):
            if time.time() > end:
                raise RuntimeError(f"{self.name}: timeout waiting for {condition}")
            time.sleep(0.1)

    def read_clock(self) -> None:
        """Note host time against the guest's CLOCK_MONOTONIC: the quickest of seven exchanges."""
        readings = []
        for _ in range(7):
            before = time.time()
            _, output = self.ask("@clock", timeout=10)
            after = time.time()
            monotonic = float(output.split()[1])
            readings.append((after - before, (before + after) / 2, monotonic))
        took, host, monotonic = min(readings)
        self.clocks.append(
            {
                "host_time": host,
                "guest_mono": monotonic,
                "host_minus_mono": host - monotonic,
                "uncertainty": took / 2,
                "boot": self.boots,
            }
        )

    # -- DLM -------------------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Modules, cluster configuration, tracing."""
        self.sh("modprobe crc32c_generic", check=False)  # sctp and gfs2 want a crc32c algorithm
        if self.lab.sctp:
            self.sh("modprobe sctp")
        self.sh("modprobe dlm")
        self.sh(
            f"mount -t configfs none /sys/kernel/config 2>/dev/null; mkdir -p {CLUSTER} && "
            f"printf {self.lab.cluster} > {CLUSTER}/cluster_name"
        )
        self.sh(
            f"echo 1 > {CLUSTER}/log_debug; echo {int(self.lab.sctp)} > {CLUSTER}/protocol; "
            f"echo 1 > {CLUSTER}/recover_callbacks"
        )
        for node in self.lab.nodes:
            self.add_comm(node)
        if self.lab.trace:
            self.tracepoints = self.sh(
                f"ls {TRACING}/events/dlm 2>/dev/null | grep -v -e enable -e filter", check=False
            ).split()
            self.sh(
                f"cd {TRACING}; echo mono > trace_clock; echo 16384 > buffer_size_kb; "
                f"[ -d events/dlm ] && echo 1 > events/dlm/enable; (cat trace_pipe > /mnt/trace.{self.boots} &) ; true"
            )
        self.sh(f"(cat /dev/kmsg > /mnt/kmsg.{self.boots} &) ; true")

    def add_comm(self, node: Node) -> None:
        comm = f"{CLUSTER}/comms/{node.number}"
        self.sh(f"mkdir {comm} && echo {node.number} > {comm}/nodeid")
        for address in node.addresses:
            self.sh(f"dlmtool addr {address} > /tmp/a && dd if=/tmp/a of={comm}/addr bs=128 count=1 2>/dev/null")
        if node is self:
            self.sh(f"echo 1 > {comm}/local")

    def remove_comm(self, node: Node) -> None:
        self.sh(f"rmdir {CLUSTER}/comms/{node.number}")

    def create_lockspace(self, lockspace: str, command: str | None) -> None:
        """Start the creation; it blocks in the kernel until event_done is written."""
        command = command or f"dlmtool create {lockspace}"
        self.sh_background(command, f"/tmp/create.{lockspace}", f"/tmp/create.{lockspace}.rc")
        self.wait(f"[ -d /sys/kernel/dlm/{lockspace} ]")
        self.sh(f"echo {self.lab.lockspace_id(lockspace)} > /sys/kernel/dlm/{lockspace}/id")

    def set_members(self, lockspace: str, members: list[Node]) -> None:
        space = f"{CLUSTER}/spaces/{lockspace}"
        present = {int(entry) for entry in self.sh(f"mkdir -p {space}; ls {space}/nodes").split()}
        wanted = {node.number for node in members}
        for number in sorted(present - wanted):
            self.sh(f"rmdir {space}/nodes/{number}")
        for number in sorted(wanted - present):
            entry = f"{space}/nodes/{number}"
            self.sh(f"mkdir {entry} && echo {number} > {entry}/nodeid && echo 1 > {entry}/weight")

    def stop(self, lockspace: str) -> None:
        self.sh(f"echo 0 > /sys/kernel/dlm/{lockspace}/control")

    def start(self, lockspace: str) -> None:
        self.sh(f"echo 1 > /sys/kernel/dlm/{lockspace}/control")

    def event_done(self, lockspace: str) -> None:
        self.sh(f"echo 0 > /sys/kernel/dlm/{lockspace}/event_done", check=False)

    def collect(self) -> None:
        """Second clock reading, and the kernel log, to the host."""
        self.read_clock()
        self.sh(f"sync; sleep 0.3; dmesg > /mnt/dmesg.{self.boots}", check=False)
