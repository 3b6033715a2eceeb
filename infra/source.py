"""What a function's archive holds, as Pulumi takes it, and a hash of the contents. The files: `infra/archive.py`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pulumi

from declarations import Function
from infra import archive
from infra.archive import FUNCTIONS


class SourceError(pulumi.RunError):
    """A file that the archive needs is missing, or `declarations.py` cannot be read."""


def files(function: Function, root: Path = FUNCTIONS) -> dict[str, pulumi.FileAsset | pulumi.StringAsset]:
    """Path in the archive -> what is there, sorted by path.

    Raises:
        SourceError: naming the file.
    """
    assets: dict[str, pulumi.FileAsset | pulumi.StringAsset] = {}
    with _named():
        for name, path in archive.paths(function, root).items():
            if name == archive.DECLARATIONS:
                assets[name] = pulumi.StringAsset(archive.contents(name, path).decode())
            else:
                assets[name] = pulumi.FileAsset(str(path))
    return assets


def digest(assets: Mapping[str, pulumi.FileAsset | pulumi.StringAsset]) -> str:
    """SHA-256 (hex) over paths and contents; the same on every machine."""
    total = hashlib.sha256()
    for name in sorted(assets):
        content = contents(assets[name])
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def contents(asset: pulumi.FileAsset | pulumi.StringAsset) -> bytes:
    """The bytes of one file of the archive."""
    if isinstance(asset, pulumi.FileAsset):
        return Path(asset.path).read_bytes()
    return asset.text.encode()


def without_sizing(text: str) -> str:
    """See `archive.without_sizing`.

    Raises:
        SourceError: the text is no Python.
    """
    with _named():
        return archive.without_sizing(text)


@contextmanager
def _named() -> Iterator[None]:
    """What is wrong, as Pulumi shows it: without a traceback."""
    try:
        yield
    except archive.ArchiveError as error:
        raise SourceError(str(error)) from None
