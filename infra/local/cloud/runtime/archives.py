"""Archives as the engine describes them, and as zips.

A zip is made from paths and texts, sorted, with fixed times: the same files give the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from infra.local.cloud.errors import CloudError, disk_sentence
from infra.local.cloud.provider.wire import Json, is_archive, is_asset

EPOCH = (1980, 1, 1, 0, 0, 0)
LARGEST_BYTES = 512 << 20


def zipped(archive: Json) -> bytes:
    """The zip of a described archive: a list of assets, or a file or folder on disk.

    Raises:
        CloudError: a file cannot be read, or the archive is remote.
    """
    path = archive.get("path")
    if path and Path(path).is_file():
        return _read(path)
    files = dict(_files("", archive))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as zip_file:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o100644 << 16
            zip_file.writestr(info, files[name])
    return target.getvalue()


def asset(described: Json) -> bytes:
    """The bytes of a described asset: a text, or a file on disk.

    Raises:
        CloudError: the file cannot be read, or the asset is remote.
    """
    if "text" in described:
        return str(described["text"]).encode()
    if "path" in described:
        return _read(described["path"])
    raise CloudError("The local cloud takes files and texts, no remote assets.")


def unzip(path: Path, target: Path) -> None:
    """Unpack an object into an empty folder.

    Raises:
        CloudError: it is no zip, is too large, or a name leads out of the folder.
    """
    try:
        with zipfile.ZipFile(path) as zip_file:
            if sum(item.file_size for item in zip_file.infolist()) > LARGEST_BYTES:
                raise CloudError(
                    f"The archive is larger than {LARGEST_BYTES >> 20} MiB unpacked, which Google refuses."
                )
            for name in zip_file.namelist():
                if name.startswith("/") or ".." in Path(name).parts:
                    raise CloudError(f"The archive holds {name!r}, which leads out of its folder.")
            zip_file.extractall(target)
    except zipfile.BadZipFile:
        raise CloudError("Build failed: the source object is not a zip file.") from None
    except OSError as error:
        raise CloudError(disk_sentence(error, "unpacking a function's archive")) from None


def _files(prefix: str, described: Any) -> list[tuple[str, bytes]]:
    if is_asset(described):
        return [(prefix, asset(described))]
    if not is_archive(described):
        raise CloudError(f"{prefix or 'source'} is neither an asset nor an archive.")
    if "assets" in described:
        found: list[tuple[str, bytes]] = []
        for name, item in (described["assets"] or {}).items():
            found += _files(f"{prefix}/{name}" if prefix else name, item)
        return found
    root = Path(described.get("path") or "/nonexistent")
    if not root.is_dir():
        raise CloudError("The local cloud takes archives of files, texts and folders, no remote ones.")
    inside = sorted(path for path in root.rglob("*") if path.is_file())
    return [("/".join(filter(None, (prefix, path.relative_to(root).as_posix()))), _read(path)) for path in inside]


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CloudError(f"Reading {path} failed: {error.strerror}.") from None
