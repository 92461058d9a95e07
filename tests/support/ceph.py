"""A Ceph object gateway on this machine: a monitor, an object store in memory, and the gateway."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .loopback import HOST
from .servers import KEY, SECRET, Server, answers, free_port, responds, running, wait_for

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph-authtool")
CONFIG = """\
[global]
fsid = {fsid}
keyring = {home}/keyring
mon host = {monitor}
mon initial members = a
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
public addr = {host}
cluster addr = {host}
ms bind before connect = true
ms bind port min = {first_port}
ms bind port max = {last_port}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
osd objectstore = memstore
memstore device bytes = 2147483648
log file = {home}/$name.log
mon cluster log file = {home}/cluster.log
run dir = {home}
admin socket = {home}/$name.asok
rgw frontends = beast endpoint={host}:{port}
rgw thread pool size = 64
debug ms = 0
"""
CAPS = ["mon", "allow *", "osd", "allow *", "mgr", "allow *", "mds", "allow *"]


def ceph_missing() -> str:
    """Return why Ceph cannot run here, or an empty string."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}: install radosgw, ceph-mon and ceph-osd"
    return "" if os.geteuid() == 0 else "the daemons of Ceph need root"


@contextmanager
def ceph(scratch: Path) -> Iterator[Server]:
    """Run Ceph with one user."""
    server, home = Server("ceph", free_port(), region="default"), scratch / "ceph"
    home.mkdir()
    (home / "mon").mkdir()
    (home / "osd").mkdir()
    v2, v1 = free_port(), free_port()
    monitor = f"[v2:{HOST}:{v2},v1:{HOST}:{v1}]"
    fsid, file = str(uuid.uuid4()), home / "ceph.conf"
    first = free_port()
    file.write_text(
        CONFIG.format(
            fsid=fsid,
            home=home,
            monitor=monitor,
            host=HOST,
            port=server.port,
            first_port=first,
            last_port=first + 40,
        )
    )
    config, keyring, log = ["-c", str(file)], str(home / "keyring"), home / "start.log"

    def call(*command: str) -> bytes:
        done = subprocess.run(command, capture_output=True, check=False, timeout=90)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def admin(*command: str) -> bytes:
        return call("ceph", "--connect-timeout", "60", *config, *command)

    caps = [
        part for which, what in zip(CAPS[::2], CAPS[1::2], strict=True) for part in ("--cap", which, what)
    ]
    call("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    call("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *caps)
    map_file = str(home / "monmap")
    call("monmaptool", "--create", "--addv", "a", monitor, "--fsid", fsid, map_file)
    monitor_options = [*config, "-i", "a", "--mon-data", str(home / "mon")]
    owner = ["--setuser", "root", "--setgroup", "root"]
    call("ceph-mon", *monitor_options, "--mkfs", "--keyring", keyring, "--monmap", map_file, *owner)
    with ExitStack() as stack:
        stack.enter_context(running(["ceph-mon", *monitor_options, "-f", *owner], log))
        admin("osd", "create")
        osd = [
            "ceph-osd",
            *config,
            "-i",
            "0",
            "--keyring",
            str(home / "osd/keyring"),
            "--osd-data",
            str(home / "osd"),
        ]
        grants = ["mon", "allow profile osd", "osd", "allow *"]
        admin("auth", "get-or-create", "osd.0", *grants, "-o", str(home / "osd/keyring"))
        call(*osd, "--mkfs", *owner)
        process = stack.enter_context(running([*osd, "-f", *owner], log))
        wait_for(process, log, lambda: b"1 up" in admin("osd", "stat"))
        gateway = ["radosgw", *config, "-n", "client.admin", "--keyring", keyring, f"--rgw-data={home}", "-f"]
        process = stack.enter_context(running(gateway, log))
        wait_for(process, log, lambda: answers(server.port))
        user = [
            "user",
            "create",
            "--uid",
            "t",
            "--display-name",
            "t",
            "--access-key",
            KEY,
            "--secret",
            SECRET,
        ]
        call("radosgw-admin", *config, *user)
        wait_for(process, log, responds(server))
        with contextlib.suppress(OSError):
            yield server
