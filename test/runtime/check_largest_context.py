#!/usr/bin/python3
"""check_largest_context.py PROGRAM IDS: a program that its machine has too little
memory for names the largest context that fits; that one runs, the next does not."""

import re
import subprocess
import sys


def run(*flags):
    done = subprocess.run([sys.argv[1], "run", "--tokens", sys.argv[2], "-n", "1", "--print-tokens", *flags],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr


code, said = run()
named = re.search(r"the largest context that fits is -c (\d+)", said)
if code != 5 or not named:
    sys.exit(f"FAIL: expects exit code 5 and a context that fits, got {code}: {said}")
largest = int(named[1])
for context, expected in (largest, 0), (largest + 1, 5):
    code, said = run("-c", str(context))
    if code != expected:
        sys.exit(f"FAIL: -c {context} ended with {code}, expected {expected}: {said}")
print("PASS")
