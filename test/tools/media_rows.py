#!/usr/bin/python3
"""A row's logits depend on its own tokens alone, its media included: compares those
of one random text with sound and blocks of images bitwise over workers and chunk
sizes (blocks stay whole).

  media_rows.py PROGRAM ... --config FOLDER... [--workers 1,2,3,4] [--chunks 1,7,64,512]

One FOLDER with config.json per program."""
import argparse
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import media_golden

SOUND = 3
# (first, end) of spans: in a chunk, back to back, of one row, at chunks' edges
# (7, 64, 512) and, of few rows, at a split's (256), longer than a page of keys and the window.
IMAGES = [(5, 9), (20, 33), (33, 34), (34, 64), (64, 70), (100, 190), (253, 258), (270, 420), (505, 519)]
SOUNDS = [(75, 98), (422, 500)]
TOKENS = 530


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("programs", nargs="+")
    p.add_argument("--config", nargs="+", required=True)
    p.add_argument("--workers", default="1,2,3,4")
    p.add_argument("--chunks", default="512,64,7,1")
    a = p.parse_args()
    ok = True
    for program, folder in zip(a.programs, a.config, strict=True):
        with open(os.path.join(folder, "config.json")) as f:
            text = json.load(f)["text_config"]
        r, kinds = np.random.default_rng(5), np.zeros(TOKENS, int)
        for i, (first, end) in enumerate(IMAGES):
            kinds[first:end] = 10 + i
        for first, end in SOUNDS:
            kinds[first:end] = SOUND
        pairs = media_golden.items(kinds, text.get("use_bidirectional_attention") == "vision")
        rows = r.standard_normal((int((kinds != 0).sum()), text["hidden_size"]), dtype=np.float32)
        ids = r.integers(text["vocab_size"], size=TOKENS).tolist()
        reference = None
        for chunk in map(int, a.chunks.split(",")):
            for workers in map(int, a.workers.split(",")):
                # Workers that wait for each other on too few cores make single tokens slow.
                n = 262 if chunk == 1 and workers > 2 else TOKENS
                got = media_golden.logits([os.path.abspath(program)], ids[:n], pairs[:n], rows,
                                          ["-t", str(workers), "-b", str(chunk)]).view(np.uint32)
                reference = got if reference is None else reference
                bad = np.flatnonzero((got != reference[:n]).any(axis=1))
                if bad.size:
                    ok = False
                    print(f"FAIL {program}: {workers} workers, chunks of {chunk}: {bad.size} rows differ, "
                          f"first {bad[0]}")
    print("PASS" if ok else "FAIL")
    sys.exit(0 if ok else 1)


main()
