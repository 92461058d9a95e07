"""Two hosts on this machine: network namespaces, each with a cable to this one that a test can cut."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

NAMES = ("first", "second")


def namespaces_missing() -> str:
    """Return why there can be no namespaces here, or an empty string."""
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        return "no ip or nsenter: install iproute2 and util-linux"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    name = f"llem{os.getpid()}t"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        ip("netns", "del", name)
    return made.stderr.strip()


def ip(*arguments: str) -> None:
    """Run a command of iproute2."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)


@dataclass(frozen=True)
class Host:
    """A network namespace, and the end of its cable in this one."""

    namespace: str
    cable: str

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs another one on this host."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *arguments]

    def cut(self) -> None:
        """Cut the cable: packets are lost, and no program of the host is told."""
        ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        """Mend the cable."""
        ip("link", "set", self.cable, "up")


@contextmanager
def two_hosts() -> Iterator[tuple[str, Host, Host]]:
    """Make two hosts; yield the address of this machine for both, and them."""
    # A network for benchmarks, https://www.rfc-editor.org/rfc/rfc2544, which is routed nowhere.
    network = f"198.18.{random.randrange(256)}"
    hosts = [Host(f"llem{os.getpid()}-{name}", f"llem{os.getpid()}{name[0]}") for name in NAMES]
    try:
        ip("addr", "add", f"{network}.1/32", "dev", "lo")
        for number, host in enumerate(hosts, 1):
            here, there = (f"{network}.{4 * number + end}" for end in (1, 2))
            inside = ("-n", host.namespace)
            ip("netns", "add", host.namespace)
            ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            ip("addr", "add", f"{here}/30", "dev", host.cable)
            ip("link", "set", host.cable, "up")
            ip(*inside, "addr", "add", f"{there}/30", "dev", "eth0")
            ip(*inside, "link", "set", "eth0", "up")
            ip(*inside, "route", "add", "default", "via", here)
        yield f"{network}.1", hosts[0], hosts[1]
    finally:
        for host in hosts:
            for what in (("link", "del", host.cable), ("netns", "del", host.namespace)):
                with suppress(AssertionError):
                    ip(*what)
        with suppress(AssertionError):
            ip("addr", "del", f"{network}.1/32", "dev", "lo")
