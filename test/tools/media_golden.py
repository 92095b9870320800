#!/usr/bin/python3
"""Runs a compiled golden model on prompts with media, whose rows come from the
`embeds` of golden.safetensors, and compares with the outside reference: logits,
forced decoding (one token a step, and all at once) and greedy continuation.

  media_golden.py PROGRAM MODEL_FOLDER --cases p0,p1 [--tolerance 1e-3]
                  [--run qemu-aarch64] [--args "-t 2 -b 64"]
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors

TEXT, SOUND = 0, 3


def items(types, has_blocks):
    """Per token (row of media or -1, rows left in its block)."""
    pairs, row = np.full((len(types), 2), (-1, 0), np.int32), 0
    for i in reversed(range(len(types))):
        if has_blocks and types[i] not in (TEXT, SOUND):
            pairs[i, 1] = 1 + (pairs[i + 1, 1] if i + 1 < len(types) and types[i + 1] == types[i] else 0)
    for i, kind in enumerate(types):
        if kind != TEXT:
            pairs[i, 0], row = row, row + 1
    return pairs


def write_media(path, pairs, rows):
    """The file of eval's --test-media; rows [n, hidden] of f32."""
    padded = np.zeros((len(rows), -(-rows.shape[1] // 32) * 32), np.float32)
    padded[:, :rows.shape[1]] = rows
    with open(path, "wb") as f:
        f.write(np.ascontiguousarray(pairs, np.int32).tobytes() + padded.tobytes())


def logits(command, ids, pairs, rows, extra=()):
    """What `command` (PROGRAM and a prefix to run it) gives for every row."""
    with tempfile.TemporaryDirectory() as folder:
        tokens, media, out = (os.path.join(folder, f) for f in ("ids", "media", "out.safetensors"))
        with open(tokens, "w") as f:
            f.write(" ".join(map(str, ids)))
        behind = np.full((len(ids) - len(pairs), 2), (-1, 0), np.int32)
        write_media(media, np.concatenate([pairs, behind]), rows)
        done = subprocess.run([*command, "eval", "--tokens", tokens, "--test-media", media, "--logits", out, *extra],
                              stdout=subprocess.DEVNULL)
        if done.returncode:
            sys.exit(f"FAIL: {' '.join(command)} {' '.join(extra)} ended with {done.returncode}")
        got = np.array(safetensors.File(out)["logits"])
    if got.shape[0] != len(ids) or not np.isfinite(got).all():
        sys.exit(f"FAIL: logits of shape {got.shape}, or not finite")
    return got


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program"), p.add_argument("model")
    p.add_argument("--cases", required=True)
    p.add_argument("--tolerance", type=float, default=1e-3)
    p.add_argument("--run", default="")
    p.add_argument("--args", default="")
    a = p.parse_args()
    golden = safetensors.File(os.path.join(a.model, "golden.safetensors"))
    with open(os.path.join(a.model, "config.json")) as f:
        has_blocks = json.load(f)["text_config"].get("use_bidirectional_attention") == "vision"
    with open(os.path.join(a.model, "generation_config.json")) as f:
        suppressed = json.load(f).get("suppress_tokens", [])
    command, ok = shlex.split(a.run) + [os.path.abspath(a.program)], True
    for case in a.cases.split(","):
        ids, types = golden[case + ".ids"].tolist(), golden[case + ".types"]
        pairs, rows = items(types, has_blocks), golden[case + ".embeds"][types != TEXT]
        expected = golden[case + ".logits"]
        worst, tails = 0.0, []
        if case + ".decode_ids" in golden:
            tails = [(golden[case + ".decode_ids"].tolist(), golden[case + ".decode_logits"])]
        for tail, after in tails or [([], expected[:0])]:
            for extra in ([], ["-b", "1"]) if tail else ([],):
                got = logits(command, ids + tail, pairs, rows, shlex.split(a.args) + extra)
                want = np.concatenate([expected, after])
                worst = max(worst, np.abs(got[len(got) - len(want):].astype(np.float64) - want).max())
        greedy, said = golden[case + ".greedy"].tolist() if case + ".greedy" in golden else [], []
        if greedy:
            got = logits(command, ids + greedy[:-1], pairs, rows, shlex.split(a.args))[len(ids) - 1:]
            got[:, suppressed] = -np.inf
            said = got.argmax(axis=1).tolist()
        good = worst <= a.tolerance and said == greedy
        ok &= good
        print(f"{'ok' if good else 'FAIL'} {case}: largest difference {worst:.2e} (allowed {a.tolerance:g})"
              + (f", greedy {said}, expects {greedy}" if said != greedy else ""))
    print("PASS" if ok else "FAIL")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
