#!/usr/bin/python3
"""Runs the towers of a compiled golden model through tower_driver and compares
soft rows with the outside reference; and their bits for other numbers of workers
and orders of work (--card: other orders of the emulator).

  tower_golden.py DRIVER PROGRAM MODEL_FOLDER --cases grid0,clip1,p2 --tolerance 1e-5

A case is a picture (NAME.image), a sound (NAME.features) or a prompt, whose
pictures, film frames and sounds become the soft rows among NAME.embeds.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors


def arguments(golden, case, folder):
    """Of the driver, and what it should give."""
    names = set(golden.names())
    out = []

    def file(name, kind, array, *sizes):
        path = os.path.join(folder, name)
        np.ascontiguousarray(array).tofile(path)
        out.extend([kind, path, *map(str, sizes)])

    def picture(name, array):
        file(name, "picture", array, array.shape[0], array.shape[1])

    if f"{case}.embeds" not in names:
        if f"{case}.image" in names:
            picture(case, np.array(golden[f"{case}.image"]))
        else:
            features = np.array(golden[f"{case}.features"], np.float32)
            file(case, "features", features, len(features))
        return out, np.array(golden[f"{case}.soft"])
    types, embeds = np.array(golden[f"{case}.types"]), np.array(golden[f"{case}.embeds"])
    kinds = []
    for i in range(100):
        if f"{case}.image{i}" in names:
            picture(f"{case}.image{i}", np.array(golden[f"{case}.image{i}"]))
            kinds.append(1)
    if f"{case}.frames" in names:
        for i, frame in enumerate(np.array(golden[f"{case}.frames"])):
            picture(f"{case}.frame{i}", frame)
            kinds.append(2)
    for i in range(100):
        if f"{case}.audio{i}" in names:
            sound = np.array(golden[f"{case}.audio{i}"])
            file(f"{case}.audio{i}", "sound", sound, len(sound))
            kinds.append(3)
    return out, np.concatenate([embeds[types == kind] for kind in dict.fromkeys(kinds)])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("driver")
    p.add_argument("program")
    p.add_argument("model")
    p.add_argument("--cases", required=True)
    p.add_argument("--tolerance", type=float, required=True)
    p.add_argument("--card", action="store_true", help="PROGRAM is for a device")
    a = p.parse_args()
    golden = safetensors.File(os.path.join(a.model, "golden.safetensors"))
    failed = False
    for case in a.cases.split(","):
        with tempfile.TemporaryDirectory() as folder:
            media, expected = arguments(golden, case, folder)
            first = None
            ways = ((0, 0), (0, 7)) if a.card else ((1, 0), (2, 0), (4, 0), (3, 7), (4, 8))
            for threads, order in ways:
                out = os.path.join(folder, "out")
                subprocess.run([a.driver, a.program, str(threads), str(order), out, *media], check=True,
                               env={**os.environ, **({"GM_CUDA_SEED": str(order)} if a.card else {})})
                got = np.fromfile(out, np.float32).reshape(-1, expected.shape[1])
                if first is None:
                    first = got
                if not np.array_equal(first.view(np.uint32), got.view(np.uint32)):
                    print(f"FAIL: {case}: other bits with {threads} workers in order {order}")
                    failed = True
            worst = np.abs(first - expected).max() if first.shape == expected.shape else np.inf
            bad = not worst <= a.tolerance
            failed |= bad
            print(f"{case}: {len(first)} soft rows, {worst:.2e}" + (": FAILED" if bad else ""))
    sys.exit(failed)


if __name__ == "__main__":
    main()
