"""Where every `make` command starts: any Python 3 can read this file, so an old one gets a sentence, not a SyntaxError.

python3 infra/local/bootstrap.py [--root DIR] COMMAND ...
"""

import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
NEWER = ("python3.14", "python3.13", "python3.12", "python3.11")


def works(python):  # type: ignore[no-untyped-def]  # as for main
    """Whether it runs at all: pyenv puts names on PATH that do not."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123  old Pythons
        return subprocess.call([python, "-c", ""], stdout=nowhere, stderr=nowhere) == 0


def main():  # type: ignore[no-untyped-def]  # annotations of today would not be read by every Python 3
    """Go on with a Python that is new enough: this one, or one that is on PATH under its full name."""
    if sys.version_info[:2] < OLDEST:
        for name in NEWER:
            found = shutil.which(name)
            if found and works(found):  # type: ignore[no-untyped-call]  # see there
                os.execv(found, [found, os.path.abspath(__file__)] + sys.argv[1:])  # noqa: PTH100, RUF005, S606  old Pythons
        have = ".".join(str(part) for part in sys.version_info[:3])
        sys.stderr.write(
            "Python 3.11 or newer is needed, and python3 here is " + have + ". "
            "Install one (Debian 12, Ubuntu 24.04 and Fedora have it), or name yours: make PYTHON=/path/to/it ...\n"
        )
        return 1
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  see above
    top = os.path.dirname(os.path.dirname(here))  # noqa: PTH120  see above
    # Ours are imported as infra.local.*, never by the folder of this script, whose names hide those of others.
    sys.path[:] = [top, os.path.join(top, "functions")] + [path for path in sys.path if path not in ("", here)]  # noqa: PTH118  see above
    from infra.local.commands import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[no-untyped-call]  # see there
