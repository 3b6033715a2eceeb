"""What is wrong with the workflows in .github: actionlint (they mean something) and zizmor (they are safe).

zizmor is in .venv; actionlint is in no package index as a program, so it is built from its Go module (go.py).
"""

from __future__ import annotations

from infra.local.go import Program, runs
from infra.local.places import Places
from infra.local.progress import Progress

ACTIONLINT = Program(
    name="actionlint",
    folder="actionlint",
    module="github.com/rhysd/actionlint",
    package="github.com/rhysd/actionlint/cmd/actionlint",
    version_variable="github.com/rhysd/actionlint.version",
    what="actionlint",
    takes="about 15 seconds",
    disk_mb=500,
    otherwise="have `make check` run where there is some.",
    works=runs("-version"),
)


def checks(places: Places, progress: Progress) -> dict[str, list[str]]:
    """The commands that look at the workflows, by name; each ends with 0 when nothing is wrong. Raises Trouble."""
    # No shellcheck and no pyflakes: whether they are on PATH differs by machine, and a check must not.
    actionlint = [str(ACTIONLINT.build(places, progress)), "-shellcheck=", "-pyflakes="]
    zizmor = [str(places.venv / "bin" / "zizmor"), "--offline", "--no-progress", "--quiet", "--persona", "pedantic"]
    return {"actionlint": actionlint, "zizmor": [*zizmor, str(places.repo / ".github")]}
