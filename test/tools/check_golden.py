#!/usr/bin/python3
"""Runs a compiled golden model on the inputs of golden.safetensors and compares
its logits with the outside reference.

  check_golden.py PROGRAM golden.safetensors --cases short,mid [--tolerance 1e-3]
                  [--bf16] [--run qemu-aarch64] [--args "-t 2 -b 64"]

Cases: short, mid, offset, long, far, decode (prompt, then one row at a time) and
decode-step (the same ids, every row on its own). offset, long and far are
compared with the logits of exact rope angles. --bf16: the mean difference must
not be above that of the reference's own bf16 run (short, mid)."""
import argparse
import os
import shlex
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors


def program_logits(a, ids, extra):
    with tempfile.TemporaryDirectory() as folder:
        tokens, out = os.path.join(folder, "ids"), os.path.join(folder, "out.safetensors")
        with open(tokens, "w") as f:
            f.write(" ".join(str(i) for i in ids))
        command = shlex.split(a.run) + [a.program, "eval", "--tokens", tokens, "--logits", out] \
            + shlex.split(a.args) + extra
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"FAIL: {' '.join(command)} ended with {done.returncode}")
        return np.array(safetensors.File(out)["logits"]), done.stdout


def check_case(a, golden, case):
    extra = []
    name = "decode" if case.startswith("decode") else case
    ids = golden[name + ".ids"].tolist()
    if name == "decode":
        prompt = len(ids)
        ids = ids + golden["decode.tokens"].tolist()
        expected, rows = golden["decode.logits"], list(range(prompt - 1, len(ids)))
        extra = ["-b", "1"] if case == "decode-step" else []
    elif name in ("offset", "long", "far"):
        expected = golden[name + ".logits_exact"]
        rows = list(range(len(ids))) if name == "offset" else golden[name + ".rows"].tolist()
        if name == "offset":
            extra = ["--rope-offset", str(int(golden["offset.positions"][0]))]
        if name == "far":
            extra = ["-c", str(len(ids))]
    else:
        expected, rows = golden[name + ".logits"], list(range(len(ids)))
    logits, _ = program_logits(a, ids, extra)
    if logits.shape[0] != len(ids) or not np.isfinite(logits).all():
        print(f"FAIL {case}: shape {logits.shape} or values not finite")
        return False
    difference = np.abs(logits[rows].astype(np.float64) - expected)
    if a.bf16:
        theirs = np.abs(golden[name + ".logits_bf16"].astype(np.float64) - expected).mean() \
            if name + ".logits_bf16" in golden else None
        ok = theirs is None or difference.mean() <= theirs
        print(f"{'ok' if ok else 'FAIL'} {case}: mean difference {difference.mean():.4f}, reference's bf16 run "
              f"{'-' if theirs is None else f'{theirs:.4f}'}, largest {difference.max():.3f}")
        return ok
    ok = difference.max() <= a.tolerance
    print(f"{'ok' if ok else 'FAIL'} {case}: largest difference {difference.max():.2e} (allowed {a.tolerance:g})")
    return ok


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program"), p.add_argument("golden")
    p.add_argument("--cases", default="short,mid,decode,decode-step,offset,long")
    p.add_argument("--tolerance", type=float, default=1e-3)
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--run", default="")
    p.add_argument("--args", default="")
    a = p.parse_args()
    a.program = os.path.abspath(a.program)
    golden = safetensors.File(a.golden)
    results = [check_case(a, golden, case) for case in a.cases.split(",")]
    print("PASS" if all(results) else "FAIL")
    sys.exit(0 if all(results) else 1)


main()
