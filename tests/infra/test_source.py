from __future__ import annotations

import ast
import shutil
from dataclasses import replace
from pathlib import Path

import pulumi
import pytest

from declarations import ACCOUNTS, FUNCTIONS, MEMORIES, Function
from infra import archive
from infra.source import SourceError, contents, digest, files, without_sizing

SAMPLE = '''"""Declarations — with an em dash, so that bytes and characters differ."""

from core.sizes import Function, Sizing

SIZE = Sizing(memory_mb=512)  # sizing=not this one
ONE = Function(name="é", sizing=Sizing(memory_mb=512, cpu=1), routes=())
TWO = Function(
    name="two",
    sizing=Sizing(
        memory_mb=1024,  # a comment, with (brackets
        cpu=2,
    )  # and one after
    ,
    routes=("sizing=x",),
)
LAST = Function(name="last", routes=(), sizing=SIZE)
OTHER = dict(sizing=1)
'''


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The functions' folder, to be changed at will."""
    return Path(shutil.copytree(archive.FUNCTIONS, tmp_path / "functions"))


def test_sizing_is_cut_out_and_nothing_else() -> None:
    trimmed = without_sizing(SAMPLE)
    assert trimmed.startswith(SAMPLE[: SAMPLE.index("ONE")])
    assert 'ONE = Function(name="é",  routes=())' in trimmed
    assert 'LAST = Function(name="last", routes=(), )' in trimmed
    assert trimmed.endswith("OTHER = dict(sizing=1)\n")
    calls = [node for node in ast.walk(ast.parse(trimmed)) if isinstance(node, ast.Call)]
    functions = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Function"]
    assert [[keyword.arg for keyword in call.keywords] for call in functions] == [["name", "routes"]] * 3


def test_without_any_sizing_the_text_stays_as_it_is() -> None:
    text = 'X = Function(name="x")\r\n# é\n'
    assert without_sizing(text) == text


def test_broken_declarations_are_named() -> None:
    with pytest.raises(SourceError, match=r"declarations\.py, line 2"):
        without_sizing("x = 1\ny = (\n")


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_the_archive_holds_what_a_function_needs(function: Function) -> None:
    names = list(files(function))
    assert names == sorted(names)
    assert {
        "main.py",
        "declarations.py",
        "requirements.txt",
        "core/__init__.py",
        f"{function.name}/__init__.py",
    } <= set(names)
    assert f"{function.name}/main.py" not in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"main.py", "declarations.py", "requirements.txt", "core", function.name, *function.packages}
    assert {Path(name).suffix for name in names} <= {".py", ".sql", ".json", ".html", ".txt"}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_sizes_are_not_in_the_archive(function: Function) -> None:
    declarations = contents(files(function)["declarations.py"]).decode()
    original = (archive.FUNCTIONS / "declarations.py").read_text()
    assert "sizing=" in original
    assert "sizing=" not in declarations
    compile(declarations, "declarations.py", "exec")


def test_a_further_package_goes_along_without_its_entry_point() -> None:
    function = replace(ACCOUNTS, name="memories", packages=("provisioning",))
    names = set(files(function))
    assert {"provisioning/service.py", "memories/service.py"} <= names
    assert not {"provisioning/main.py", "memories/main.py"} & names


def test_another_size_is_the_same_archive(copy: Path) -> None:
    before = digest(files(MEMORIES, copy))
    declarations = copy / "declarations.py"
    text = declarations.read_text()
    changed = text.replace("sizing=Sizing(memory_mb=512", "sizing=Sizing(memory_mb=1024")
    assert changed != text
    declarations.write_text(changed)
    assert digest(files(MEMORIES, copy)) == before


def test_another_route_or_line_of_code_is_another_archive(copy: Path) -> None:
    digests = {digest(files(MEMORIES, copy))}
    for name in ("declarations.py", "core/settings.py", "memories/main.py", "memories/requirements.txt"):
        with (copy / name).open("a") as file:
            file.write("\n")
        digests.add(digest(files(MEMORIES, copy)))
    assert len(digests) == 5


def test_what_is_no_source_does_not_count(copy: Path) -> None:
    before = digest(files(MEMORIES, copy))
    (copy / "core" / "__pycache__").mkdir(exist_ok=True)
    for name in ("core/__pycache__/x.pyc", "memories/.DS_Store", "memories/notes.md", "other.py", "core/x.pyc"):
        (copy / name).write_bytes(b"\0")
    assert digest(files(MEMORIES, copy)) == before


def test_the_same_files_elsewhere_are_the_same_archive(copy: Path) -> None:
    assert digest(files(MEMORIES, copy)) == digest(files(MEMORIES))


def test_a_name_is_part_of_the_hash() -> None:
    text = pulumi.StringAsset("x")
    assert digest({"a": text}) != digest({"b": text})
    assert digest({"a": text, "b": text}) == digest({"b": text, "a": text})


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "memories" / "requirements.txt").unlink()
    with pytest.raises(SourceError, match=r"functions/memories/requirements\.txt is missing"):
        files(MEMORIES, copy)
