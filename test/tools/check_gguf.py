#!/usr/bin/python3
"""Compares a program compiled from a GGUF file with exact arithmetic on the file's values.

  check_gguf.py PROGRAM LOGITS.safetensors KEY [--within 1e-3] [--args "-t 2"]

LOGITS holds KEY.<item>.ids and KEY.<item>.logits, those of the last positions."""
import argparse
import os
import shlex
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program"), p.add_argument("logits"), p.add_argument("key")
    p.add_argument("--within", type=float, default=1e-3)
    p.add_argument("--args", default="")
    a = p.parse_args()
    golden = safetensors.File(a.logits)
    items = sorted(n[:-len(".ids")] for n in golden.names() if n.startswith(a.key + ".") and n.endswith(".ids"))
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for item in items:
            ids, out = os.path.join(folder, "ids"), os.path.join(folder, "logits.safetensors")
            with open(ids, "w") as f:
                f.write(" ".join(map(str, golden[item + ".ids"])))
            subprocess.run([os.path.abspath(a.program), "eval", "--tokens", ids, "--logits", out,
                            *shlex.split(a.args)], check=True, stdout=subprocess.DEVNULL)
            expected = golden[item + ".logits"]
            got = safetensors.File(out)["logits"][-len(expected):]
            e, g = (x.astype(np.float64) - x.max(axis=1, keepdims=True) for x in (expected, got))
            e, g = (x - np.log(np.exp(x).sum(axis=1, keepdims=True)) for x in (e, g))
            kl = (np.exp(e) * (e - g)).sum(axis=1).mean()
            difference = float(np.abs(expected - got).max())
            same = (expected.argmax(axis=1) == got.argmax(axis=1)).mean()
            worst = max(worst, difference)
            print(f"{item}: max difference {difference:.2e}, mean KL {kl:.2e}, same top {100 * same:.0f} %")
    ok = bool(items) and worst <= a.within
    print(f"{'PASS' if ok else 'FAIL'}: {len(items)} items, worst {worst:.2e} (allowed {a.within:g})")
    sys.exit(0 if ok else 1)


main()
