#!/usr/bin/python3
"""Compares a compiled demo model with the outside reference's recorded runs.

  check_nano.py PROGRAM MODEL EVAL_FOLDER [--greedy] [--answers] [--forced] [--perplexity]
                [--beside PROGRAM] [--kl PROGRAM] [--near 0.02] [--limit N] [--shortest]
                [--args "-t 2"] [--run qemu-aarch64]

--greedy      greedy ids of greedy.jsonl, text kinds: equal, or diverging where the
              recorded margin is below --near (listed)
--answers     the same for output_ids of answers.jsonl
--forced      under teacher forcing, the share of steps whose argmax is the
              recorded id (>= --share)
--beside      with --forced: the same program for another target, whose argmax must
              be the same in every step but those where its two best logits are less
              than --near apart (listed)
--perplexity  of heldout.txt, chat by chat, against results.json (within --within)
--limit N     the first N items only; with --shortest those that take the fewest steps
--kl PROGRAM  KL divergence from another program's predictions on heldout.txt, chat
              by chat (mean at most --most nats)"""
import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors

MEDIA = ("image", "image2", "audio")


def run(a, arguments):
    done = subprocess.run(shlex.split(a.run) + [a.program] + arguments + shlex.split(a.args), stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"FAIL: {a.program} {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def items(a, file, key):
    read = [json.loads(line) for line in open(os.path.join(a.eval, file))]
    mine = [(item["id"], item["prompt_ids"], item[key], item["margins"])
            for item in read if item["id"].startswith(a.model) and item["kind"] not in MEDIA]
    if a.shortest:
        mine.sort(key=lambda item: len(item[2]))
    return mine[:a.limit]


def write_ids(folder, ids):
    path = os.path.join(folder, "ids")
    with open(path, "w") as f:
        f.write(" ".join(map(str, ids)))
    return path


def check_generation(a, file, key):
    equal = near = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, prompt, expected, margins in items(a, file, key):
            out = run(a, ["run", "--tokens", write_ids(folder, prompt), "--temp", "0", "--print-tokens",
                          "-n", str(len(expected))])
            got = [int(t) for t in out.split()]
            if got == expected:
                equal += 1
                continue
            step = next((i for i, (x, y) in enumerate(zip(got, expected)) if x != y), min(len(got), len(expected)))
            margin = margins[step] if step < len(margins) else math.inf
            if margin < a.near:
                near += 1
                print(f"near-tie {name}: step {step}, margin {margin:.4f}")
            else:
                wrong += 1
                print(f"FAIL {name}: step {step}, margin {margin:.4f}, expected {expected[step:step + 3]}, "
                      f"got {got[step:step + 3]}")
    print(f"{file}: {equal} equal, {near} near-ties, {wrong} wrong")
    return wrong == 0 and equal > 0


def forced_logits(a, folder, prompt, expected):
    """Those that the ids of `expected` are chosen by."""
    out = os.path.join(folder, "logits.safetensors")
    run(a, ["eval", "--tokens", write_ids(folder, prompt + expected), "--logits", out])
    return np.array(safetensors.File(out)["logits"][len(prompt) - 1:len(prompt) - 1 + len(expected)])


class Beside:
    """Another target's program, which chooses the same ids."""

    def __init__(self, a):
        self.a = argparse.Namespace(**{**vars(a), "program": os.path.abspath(a.beside), "run": ""})
        self.equal = self.near = self.wrong = 0
        self.apart = 0.0

    def compare(self, folder, name, prompt, expected, logits):
        other = forced_logits(self.a, folder, prompt, expected)
        self.apart = max(self.apart, float(np.abs(other - logits).max()))
        for step, (one, two) in enumerate(zip(logits, other)):
            second, first = np.sort(two)[-2:]
            if one.argmax() == two.argmax():
                self.equal += 1
                continue
            tie = first - second < self.a.near
            self.near, self.wrong = self.near + tie, self.wrong + (not tie)
            print(f"{'near-tie' if tie else 'FAIL'} {name}: step {step}, {one.argmax()} beside {two.argmax()}, "
                  f"whose logit is {first - second:.4f} above the next")

    def result(self):
        print(f"beside {os.path.basename(self.a.program)}: {self.equal} steps equal, {self.near} near-ties "
              f"(below {self.a.near}), {self.wrong} wrong; logits at most {self.apart:.3g} apart")
        return self.wrong == 0 and self.equal > 0


def check_forced(a):
    steps = same = 0
    beside = Beside(a) if a.beside else None
    with tempfile.TemporaryDirectory() as folder:
        for name, prompt, expected, _ in items(a, "greedy.jsonl", "greedy_ids"):
            logits = forced_logits(a, folder, prompt, expected)
            steps += len(expected)
            same += int((logits.argmax(axis=1) == np.array(expected)).sum())
            if beside:
                beside.compare(folder, name, prompt, expected, logits)
    share = same / steps
    print(f"teacher forcing: {same} of {steps} steps equal, {100 * share:.2f} % (at least {100 * a.share} %)")
    return (not beside or beside.result()) and share >= a.share


SPLIT = "\u241e" # between the chats of heldout.txt


def check_perplexity(a):
    text = os.path.join(a.eval, "heldout.txt")
    result = json.loads(run(a, ["eval", "-f", text, "--split", SPLIT, "--json"]))
    tokens, nll = result["tokens"], result["nll"]
    reference = json.load(open(os.path.join(a.eval, "perplexity.json")))[a.model]
    ppl, expected = math.exp(nll / tokens), math.exp(reference["nll"] / reference["tokens"])
    off = abs(ppl / expected - 1)
    print(f"perplexity {ppl:.6f}, reference {expected:.6f}, off by {100 * off:.4f} % (allowed {100 * a.within} %), "
          f"{tokens} tokens (reference {reference['tokens']})")
    return off <= a.within and tokens == reference["tokens"]


def check_kl(a):
    other = argparse.Namespace(**{**vars(a), "program": os.path.abspath(a.kl)})
    text = ["eval", "-f", os.path.join(a.eval, "heldout.txt"), "--split", SPLIT]
    with tempfile.TemporaryDirectory() as folder:
        logits = os.path.join(folder, "logits")
        run(other, [*text, "--logits", logits])
        result = json.loads(run(a, [*text, "--kl", logits, "--json"]))
    kl = result["kl_mean"]
    print(f"KL divergence: mean {kl:.3g} (at most {a.most}), largest {result['kl_max']:.3g}, same top token "
          f"{100 * result['same_top']:.2f} %, perplexity ratio {result['ppl_ratio']:.6f}, {result['rows']} rows")
    return kl <= a.most


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program"), p.add_argument("model"), p.add_argument("eval")
    for flag in ("greedy", "answers", "forced", "perplexity"):
        p.add_argument("--" + flag, action="store_true")
    p.add_argument("--beside", default="")
    p.add_argument("--kl", default="")
    p.add_argument("--most", type=float, default=3e-3)
    p.add_argument("--near", type=float, default=0.02)
    p.add_argument("--share", type=float, default=0.98)
    p.add_argument("--within", type=float, default=1e-4)
    p.add_argument("--limit", type=int, default=None)
    p.add_argument("--shortest", action="store_true")
    p.add_argument("--args", default="")
    p.add_argument("--run", default="", help="the command that runs programs of another architecture")
    a = p.parse_args()
    a.program = os.path.abspath(a.program)
    ok = True
    if a.greedy:
        ok &= check_generation(a, "greedy.jsonl", "greedy_ids")
    if a.answers:
        ok &= check_generation(a, "answers.jsonl", "output_ids")
    if a.forced:
        ok &= check_forced(a)
    if a.perplexity:
        ok &= check_perplexity(a)
    if a.kl:
        ok &= check_kl(a)
    print("PASS" if ok else "FAIL")
    sys.exit(0 if ok else 1)


main()
