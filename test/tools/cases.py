"""Cases of a check that each run in a folder of their own: functions marked
@case, run by `run` in order, or those that the command line names; a case fails
by an AssertionError."""
import os
import shutil
import sys

CASES = []


def case(function):
    CASES.append(function)
    return function


def run(work, names=(), prepare=lambda: None):
    """Runs each case in a fresh folder of `work`, after `prepare` there; ends the program."""
    unknown = set(names) - {c.__name__ for c in CASES}
    if unknown:
        sys.exit("no case %s; there are %s" % (", ".join(unknown), ", ".join(c.__name__ for c in CASES)))
    chosen = [c for c in CASES if not names or c.__name__ in names]
    failed = 0
    for function in chosen:
        folder = os.path.join(work, function.__name__)
        os.makedirs(folder)
        os.chdir(folder)
        prepare()
        try:
            function()
        except AssertionError as problem:
            failed += 1
            print("%s: %s" % (function.__name__, problem))
        os.chdir(work)
        shutil.rmtree(folder)
    print("%d of %d cases as expected" % (len(chosen) - failed, len(chosen)))
    sys.exit(1 if failed else 0)
