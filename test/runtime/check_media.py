"""Decoded pictures and sounds against what is recorded of them: check_media.py INPUTS STEP COMMAND..., every STEP-th of each,
decoded by COMMAND (media_driver.cpp, perhaps in an emulator)."""
import array
import hashlib
import json
import os
import subprocess
import sys

inputs, step, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
bad = 0


def decoded(kind, name):
    return subprocess.run([*command, kind, os.path.join(inputs, name)], stdout=subprocess.PIPE, check=True).stdout


def check(name, good):
    global bad
    if not good:
        bad += 1
        print(f"{name}: differs from what is recorded")


with open(os.path.join(inputs, "cases.json")) as f:
    cases = json.load(f)
for row in cases["pictures"][::step]:
    check(row["file"], hashlib.sha256(decoded("picture", row["file"])).hexdigest() == row["sha256_rgb"])
for row in cases["sounds"][::step]:
    data = decoded("sound", row["file"])
    if "sha256" in row:
        check(row["file"], hashlib.sha256(data).hexdigest() == row["sha256"])
        continue
    values = array.array("f", data)
    check(row["file"], len(values) == row["length"] and
          all(abs(a - b) < 1e-6 for a, b in zip(values[::row["step"]], row["values"], strict=True)))
sys.exit(bad != 0)
