#!/usr/bin/python3
"""A row's logits do not depend on what surrounds it: compares logits of one
random text bitwise over workers and chunk sizes.

  check_rows.py PROGRAM ... [--tokens N] [--workers 1,2,3,8] [--chunks 1,7,64,512]
                [--steps N]

--steps N: at most N steps of each chunk size; the first of them takes the whole
text, which the others are compared with. --workers 0: programs of devices, which have none.

Workers that wait for each other on too few cores make single tokens slow: there
only the first 150 are compared (chunks of 7 are of the same row class)."""
import argparse
import os
import random
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors


def logits(program, ids, folder, workers, chunk):
    out = os.path.join(folder, "out.safetensors")
    command = [os.path.abspath(program), "eval", "--tokens", ids, "--logits", out, "-b", str(chunk)]
    command += ["-t", str(workers)] if workers else []
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"FAIL: {' '.join(command)}")
    return safetensors.File(out)["logits"].view(np.uint32)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("programs", nargs="+")
    p.add_argument("--tokens", type=int, default=600)
    p.add_argument("--workers", default="1,2,3,8")
    p.add_argument("--chunks", default="1,7,64,512")
    p.add_argument("--steps", type=int, default=0)
    p.add_argument("--vocab", type=int, default=120)
    a = p.parse_args()
    ok, rng = True, random.Random(7)
    for program in a.programs:
        with tempfile.TemporaryDirectory() as folder:
            ids = os.path.join(folder, "ids")
            text = [str(rng.randrange(a.vocab)) for _ in range(a.tokens)]
            first = None
            for chunk in map(int, a.chunks.split(",")):
                for workers in map(int, a.workers.split(",")):
                    tokens = 150 if chunk == 1 and workers > os.cpu_count() else a.tokens
                    if a.steps and first is not None:
                        tokens = min(tokens, a.steps * chunk)
                    with open(ids, "w") as f:
                        f.write(" ".join(text[:tokens]))
                    got = logits(program, ids, folder, workers, chunk)
                    first = got if first is None else first
                    rows = np.flatnonzero((got != first[: len(got)]).any(axis=1))
                    if rows.size:
                        ok = False
                        print(f"FAIL {program}: {workers} workers, chunks of {chunk}: {rows.size} rows differ, "
                              f"first {rows[0]}")
    print("PASS" if ok else "FAIL")
    sys.exit(0 if ok else 1)


main()
