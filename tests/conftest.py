"""What all tests need, wherever they are run."""

from __future__ import annotations

import signal

# A shell that runs this in the background (`make test &`) has it ignore Ctrl-C. Whatever the tests start would inherit
# that, and what is tested with Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
