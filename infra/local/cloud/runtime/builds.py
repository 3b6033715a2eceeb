"""What Cloud Build would do: unpack the archive, install its requirements, compile bytecode.

A build is kept by the hash of what went in: the archive's for the sources, the requirements' and this Python's for the
virtual environment. So a function that only changed its configuration is not built again (Google builds it again).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sys
import threading
from pathlib import Path

from infra.local.cloud import processes
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import CloudError, disk_sentence
from infra.local.cloud.processes import Launch
from infra.local.cloud.runtime import archives

INSTALL_SECONDS = 600
REQUIREMENTS = "requirements.txt"
_one_at_a_time = threading.Lock()


def source(cloud: Cloud, function: str, archive: Path) -> str:
    """Unpack an archive and give its digest; `folder()` is where it lies.

    Raises:
        CloudError: in the words of Google's build, naming the function.
    """
    try:
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise CloudError(disk_sentence(error, f"reading the archive of function {function}")) from None
    target = folder(cloud, function, digest)
    if target.is_dir():
        return digest
    half = target.with_name(f".{secrets.token_hex(4)}")
    try:
        half.mkdir(mode=0o700, parents=True)
        archives.unzip(archive, half)
        if not (half / "main.py").is_file():
            raise CloudError(
                f"Build of function {function} failed with status: FAILURE and message: missing main.py and "
                "GOOGLE_FUNCTION_SOURCE not specified. Put main.py at the top of the archive."
            )
        if not (half / REQUIREMENTS).is_file():
            raise CloudError(f"Build of function {function} failed: the archive has no {REQUIREMENTS} at its top.")
        _run(cloud, function, (str(python(cloud, function, half)), "-m", "compileall", "-q", str(half)), cwd=half)
        half.rename(target)
    except OSError as error:
        raise CloudError(disk_sentence(error, f"building function {function}")) from None
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return digest


def log_name(function: str) -> str:
    return f"{function}-build"


def folder(cloud: Cloud, function: str, digest: str) -> Path:
    return cloud.paths.functions / function / digest


def python(cloud: Cloud, function: str, unpacked: Path) -> Path:
    """The interpreter that has what `requirements.txt` lists, exactly; made when it is not there yet.

    Raises:
        CloudError: with uv's last words.
    """
    requirements = unpacked / REQUIREMENTS
    try:
        listed = requirements.read_bytes()
    except OSError as error:
        raise CloudError(disk_sentence(error, f"reading what function {function} requires")) from None
    key = f"{sys.version}\0{sys._base_executable}\0".encode() + listed  # type: ignore[attr-defined]
    venv = cloud.paths.venvs / hashlib.sha256(key).hexdigest()[:16]
    with _one_at_a_time:
        if not venv.is_dir():
            _make_venv(cloud, function, venv, requirements)
    return venv / "bin" / "python"


def _make_venv(cloud: Cloud, function: str, venv: Path, requirements: Path) -> None:
    uv = str(cloud.binaries.uv())
    half = venv.with_name(f".{secrets.token_hex(4)}")
    half.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    base: str = sys._base_executable  # type: ignore[attr-defined]  # see above
    install = (uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", str(half))
    try:
        _run(cloud, function, (uv, "venv", "--quiet", "--relocatable", "--no-project", "--python", base, str(half)))
        try:
            _run(cloud, function, (*install, "--offline", str(requirements)))
        except CloudError:  # not everything is in uv's cache
            _run(cloud, function, (*install, str(requirements)))
        half.rename(venv)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _run(cloud: Cloud, function: str, argv: tuple[str, ...], cwd: Path = Path("/")) -> None:
    log = cloud.paths.log(log_name(function))
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    code = cloud.wait(processes.run(Launch(argv=argv, env=environment, cwd=cwd), log, timeout=INSTALL_SECONDS))
    if code != 0:
        why = f"took longer than {INSTALL_SECONDS} s" if code == -1 else f"ended with {code}"
        raise CloudError(
            f"Build of function {function} failed: {Path(argv[0]).name} {argv[1]} {why}. Its last words:\n"
            f"{processes.tail(log)}"
        )
