"""Where everything of one local cloud is kept.

Nothing is written outside these paths but the usual caches of uv, npm and Go, and the built engine, which lives in the
user's cache folder because it takes minutes to build and serves every checkout.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

REPO = Path(__file__).resolve().parents[2]
DEFAULT_ROOT = ".local"


@dataclass(frozen=True)
class Places:
    """Paths of a checkout (`repo`) and of one environment in it (`root`)."""

    repo: Path
    root: Path

    @classmethod
    def of(cls, root: str, repo: Path = REPO) -> Places:
        """`root` is taken from the top of the repository unless it is absolute."""
        return cls(repo=repo, root=Path(os.path.normpath(repo / Path(root).expanduser())))

    # Shared by every environment of a checkout.
    @property
    def venv(self) -> Path:
        return self.repo / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def lock_file(self) -> Path:
        return self.repo / "requirements.lock"

    @property
    def default(self) -> Places:
        return Places(self.repo, self.repo / DEFAULT_ROOT)

    # One environment.
    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def parts(self) -> Path:
        return self.root / "parts"

    @property
    def client(self) -> Path:
        """The environment of the real client, which the tests drive (tests/client)."""
        return self.root / "client"

    @property
    def install_log(self) -> Path:
        return self.root / "install.log"

    @property
    def env(self) -> Path:
        return self.root / "env"

    @property
    def rotation(self) -> Path:
        """Generations of the keys that were rotated (infra/local/rotation.py)."""
        return self.root / "rotation.json"

    @property
    def pulumi_env(self) -> Path:
        return self.root / "pulumi.env"

    # The daemon's.
    @property
    def cloud_record(self) -> Path:
        return self.root / "cloud.json"

    @property
    def cloud(self) -> Path:
        return self.root / "cloud"

    @property
    def logs(self) -> Path:
        return self.cloud / "logs"

    # Pulumi's.
    @property
    def host_record(self) -> Path:
        return self.root / "host.json"

    @property
    def pulumi(self) -> Path:
        return self.root / "pulumi"

    @property
    def state(self) -> Path:
        return self.pulumi / "state"

    @property
    def home(self) -> Path:
        return self.pulumi / "home"

    @property
    def stack_config(self) -> Path:
        return self.pulumi / "Pulumi.local.yaml"

    @property
    def passphrase(self) -> Path:
        return self.pulumi / "passphrase"

    @property
    def driver_state(self) -> Path:
        """The state of the driver without an engine; there is none when the engine drives."""
        return self.pulumi / "driver.json"


def user_cache() -> Path:
    """Where things that outlive a checkout are kept: $XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memorygraph-cloud"


def make_private(folder: Path) -> None:
    """Create a folder that only its owner may enter (0700), and those above it that are missing."""
    if not folder.parent.exists():
        make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to it; only its owner may read it (0600)."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read (0600), whole or not at all."""
    make_private(path.parent)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
