#!/usr/bin/python3
"""Targets of one family of layouts share files of weights: for each format
FILE.weights of every target is the same.

  check_shared_weights.py MODEL FOLDER --formats q4,q8 [--targets x86-avx512,cuda-sm80]"""
import argparse
import hashlib
import os
import subprocess
import sys

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("model"), p.add_argument("folder")
p.add_argument("--formats", required=True)
p.add_argument("--targets", default="x86-avx512,cuda-sm80")
a = p.parse_args()
ok = True
for quant in a.formats.split(","):
    seen = {}
    for target in a.targets.split(","):
        program = os.path.join(a.folder, f"{quant}.{target}")
        subprocess.run(["gemmac", "-q", a.model, "--quant=" + quant, "--target=" + target, "--weights=external",
                        "--no-vision", "--no-audio", "-o", program], check=True)
        with open(program + ".weights", "rb") as f:
            seen[target] = hashlib.sha256(f.read()).hexdigest()
    same = len(set(seen.values())) == 1
    ok &= same
    print(f"{'ok' if same else 'FAIL'} {quant}: {seen}")
print("PASS" if ok else "FAIL")
sys.exit(0 if ok else 1)
