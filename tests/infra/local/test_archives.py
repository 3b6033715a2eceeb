"""Archives as the engine describes them become the zip that would be uploaded."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from infra.local.cloud.errors import CloudError
from infra.local.cloud.runtime import archives
from tests.infra.local.program import archive, asset


def test_paths_and_texts_are_zipped_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print('é')")
    described = archive({"b/c.txt": asset(text="héllo"), "a.py": asset(path=str(tmp_path / "a.py"))})
    first = archives.zipped(described)
    (tmp_path / "a.py").touch()
    assert archives.zipped(described) == first
    with zipfile.ZipFile(io.BytesIO(first)) as zip_file:
        assert zip_file.namelist() == ["a.py", "b/c.txt"]
        assert zip_file.read("b/c.txt").decode() == "héllo"


def test_nested_archives_keep_their_place() -> None:
    described = archive({"outer": archive({"inner.txt": asset(text="x")})})
    with zipfile.ZipFile(io.BytesIO(archives.zipped(described))) as zip_file:
        assert zip_file.namelist() == ["outer/inner.txt"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CloudError, match=r"gone\.py"):
        archives.zipped(archive({"gone.py": asset(path=str(tmp_path / "gone.py"))}))


@pytest.mark.parametrize("name", ["../outside", "/absolute"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zip_file:
        zip_file.writestr(name, "x")
    with pytest.raises(CloudError, match="leads out"):
        archives.unzip(tmp_path / "x.zip", tmp_path / "target")


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("no zip")
    with pytest.raises(CloudError, match="not a zip"):
        archives.unzip(tmp_path / "x.zip", tmp_path / "target")
