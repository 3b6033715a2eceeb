"""`python -m infra.local.cloud --root ROOT`: serve one local cloud in the foreground until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # children are exec'ed at once; gRPC need not survive a fork
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from infra.local.cloud import daemon
from infra.local.cloud.errors import CloudError, disk_sentence
from infra.local.cloud.paths import Paths


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local.cloud", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder of this local cloud, such as .local")
    paths = Paths(parser.parse_args().root)
    os.umask(0o077)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd tells every command, with addresses
    try:
        paths.make()
        with daemon.alone(paths):
            asyncio.run(daemon.serve(paths))
    except CloudError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(disk_sentence(error, "running the local cloud"), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
