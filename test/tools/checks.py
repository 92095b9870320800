"""What drivers of several checks share. `run` calls the functions it is given, or
those that the command line names, all of them whatever fails, and ends with 1 if
a check called `fail` or raised something; every failure names its check."""

import signal
import sys
import time
import traceback

# Programs under test respect an ignored Ctrl-C, which a background job inherits.
signal.signal(signal.SIGINT, signal.SIG_DFL)

current = ""
failures = 0


def fail(text):
    global failures
    failures += 1
    print(f"FAIL {current}: {text}", flush=True)


def expect(holds, text):
    if not holds:
        fail(text)


def run(checks, names=(), before=lambda: None):
    """Runs `checks` (functions check_NAME), or those in `names`, each after `before`."""
    global current
    known = {check.__name__.removeprefix("check_"): check for check in checks}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no check {', '.join(unknown)}; there are {', '.join(known)}")
    for current in names or known:
        start = time.time()
        try:
            before()
            known[current]()
        except Exception:
            fail(traceback.format_exc())
        print(f"{current}: {time.time() - start:.1f} s", flush=True)
    print("FAIL" if failures else "PASS")
    sys.exit(1 if failures else 0)
