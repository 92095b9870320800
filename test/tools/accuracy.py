#!/usr/bin/python3
"""What formats cost: task accuracy and KL divergence of programs against the first one.

  accuracy.py tasks MODEL EVAL_FOLDER PROGRAM [PROGRAM]... [--limit N] [--floor POINTS]
  accuracy.py kl EVAL_FOLDER PROGRAM [PROGRAM]... [--limit N] [--most MEAN]
  accuracy.py media MODEL EVAL_FOLDER PROGRAM [PROGRAM]... [--limit N] [--most MEAN]

tasks  greedy answers to the prompts of answers.jsonl (text kinds), scored with
       expected.jsonl: the whole answer without its thought and stop token must equal
       the expected text, or match it after "re:". --limit: the first N of each kind.
       Fails if a program is more than --floor points (per cent of the items) below
       the first one.
kl     of the next-token distributions over heldout.txt, chat by chat, each token but
       the first: KL(first || other) in nats, mean, median and 99th percentile, share of equal
       top tokens, and the ratio of the perplexities. Fails above --most.
media  the same over the reference's right answers to the questions about pictures and
       sounds of media.jsonl, kind by kind, from the files. --limit: the first N of each."""
import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors

THOUGHT = re.compile(r"<\|channel>.*?<channel\|>", re.S)
STOP = re.compile(r"(<turn\|>|<\|tool_response>|<eos>)$")


def run(program, *arguments):
    command = [os.path.abspath(program), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"FAIL: {' '.join(command)} ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode()


def lines(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def most_tokens(kind):
    return {"story": 160, "arith_think": 96}.get(kind, 64)


def right(text, expected):
    answer = STOP.sub("", THOUGHT.sub("", text)).strip()
    if expected.startswith("re:"):
        return re.fullmatch(expected[3:], answer, re.S) is not None
    return answer == expected


def answer(program, folder, item):
    path = os.path.join(folder, "ids")
    with open(path, "w") as f:
        f.write(" ".join(map(str, item["prompt_ids"])))
    return run(program, "run", "--tokens", path, "--temp", "0", "--print-tokens", "-n",
               str(most_tokens(item["kind"])))


def score(program, items, expected, folder):
    """kind -> [right, all]; ids -> text is the program's own."""
    found = {}
    for item in items:
        text = run(program, "detokenize", *answer(program, folder, item).split())
        count = found.setdefault(item["kind"], [0, 0])
        count[0] += right(text, expected[item["id"]])
        count[1] += 1
    return found


def tasks(a):
    expected = {line["id"]: line["expected"] for line in lines(a.eval, "expected.jsonl")}
    items, taken = [], {}
    for item in lines(a.eval, "answers.jsonl"):
        if item["id"].startswith(a.model) and item["id"] in expected:
            taken[item["kind"]] = taken.get(item["kind"], 0) + 1
            if a.limit is None or taken[item["kind"]] <= a.limit:
                items.append(item)
    if not items:
        sys.exit(f"FAIL: no tasks of '{a.model}' in {a.eval}")
    ok, first = True, None
    with tempfile.TemporaryDirectory() as folder:
        for program in a.programs:
            found = score(program, items, expected, folder)
            points = 100 * sum(n for n, _ in found.values()) / len(items)
            first = points if first is None else first
            kinds = ", ".join(f"{kind} {n}/{of}" for kind, (n, of) in sorted(found.items()))
            total = sum(n for n, _ in found.values())
            print(f"{os.path.basename(program)}: {total}/{len(items)}, {points:.1f} %, {points - first:+.1f} points ({kinds})")
            ok &= a.floor is None or points - first >= -a.floor
    return ok


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


class Sums:
    def __init__(self):
        self.kl, self.same, self.nll, self.first_nll = [], 0, 0.0, 0.0

    def add(self, first, other, ids):
        """Log probabilities [T, V] of both and the token that came after each of T."""
        self.kl.append((np.exp(first) * (first - other)).sum(axis=1))
        self.same += int((first.argmax(axis=1) == other.argmax(axis=1)).sum())
        at = np.arange(len(ids))
        self.nll -= other[at, ids].sum()
        self.first_nll -= first[at, ids].sum()

    def show(self, name):
        kl = np.concatenate(self.kl)
        mean = float(kl.mean())
        print(f"{name}: mean KL {mean:.3e}, median {np.median(kl):.1e}, 99 % {np.quantile(kl, 0.99):.3e}, same top {100 * self.same / len(kl):.2f} %, "
              f"perplexity ratio {math.exp((self.nll - self.first_nll) / len(kl)):.5f}, {len(kl)} tokens")
        return mean


def kl(a):
    with open(os.path.join(a.eval, "heldout.txt"), encoding="utf-8") as f:
        chats = f.read().removesuffix("\n").split("\n\u241e\n")[:a.limit]
    sums = [Sums() for _ in a.programs[1:]]
    with tempfile.TemporaryDirectory() as folder:
        ids_file, out = os.path.join(folder, "ids"), os.path.join(folder, "logits")
        for chat in chats:
            text = os.path.join(folder, "chat")
            with open(text, "w", encoding="utf-8", newline="") as f:
                f.write(chat)
            # The first program's ids for all: specials of a rendered chat, nothing added.
            ids = [int(t) for t in run(a.programs[0], "tokenize", "-f", text).split()]
            with open(ids_file, "w") as f:
                f.write(" ".join(map(str, ids)))
            found = []
            for program in a.programs:
                run(program, "eval", "--tokens", ids_file, "--logits", out)
                found.append(log_softmax(safetensors.File(out)["logits"][:len(ids) - 1]))
            for total, other in zip(sums, found[1:]):
                total.add(found[0], other, np.array(ids[1:]))
    means = [total.show(os.path.basename(p)) for total, p in zip(sums, a.programs[1:])]
    return a.most is None or all(mean <= a.most for mean in means)


def media(a):
    ok = True
    tasks = [t for t in lines(a.eval, "media.jsonl") if t["model"] == a.model and t["correct"]]
    with tempfile.TemporaryDirectory() as folder:
        messages, out = os.path.join(folder, "messages.json"), os.path.join(folder, "logits")
        for kind in sorted({t["kind"] for t in tasks}):
            sums = [Sums() for _ in a.programs[1:]]
            for task in [t for t in tasks if t["kind"] == kind][:a.limit]:
                said = [*task["messages"], {"role": "assistant", "content": task["expected"]}]
                with open(messages, "w") as f:
                    f.write(json.dumps(said).replace('"media/', json.dumps(os.path.abspath(a.eval))[:-1] + "/media/"))
                found = []
                for program in a.programs:
                    run(program, "eval", "--messages", messages, "--logits", out)
                    file = safetensors.File(out)
                    ids, want = [int(i) for i in file["input_ids"].reshape(-1)], task["output_ids"]
                    at = max(i for i in range(len(ids)) if ids[i:i + len(want)] == want)
                    found.append(log_softmax(file["logits"][at - 1:at - 1 + len(want)]))
                for total, other in zip(sums, found[1:]):
                    total.add(found[0], other, np.array(want))
            means = [total.show(f"{kind}, {os.path.basename(p)}") for total, p in zip(sums, a.programs[1:])]
            ok &= a.most is None or all(mean <= a.most for mean in means)
    return ok


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    t = commands.add_parser("tasks")
    t.add_argument("model"), t.add_argument("eval"), t.add_argument("programs", nargs="+")
    t.add_argument("--limit", type=int), t.add_argument("--floor", type=float)
    k = commands.add_parser("kl")
    k.add_argument("eval"), k.add_argument("programs", nargs="+")
    k.add_argument("--limit", type=int), k.add_argument("--most", type=float)
    m = commands.add_parser("media")
    m.add_argument("model"), m.add_argument("eval"), m.add_argument("programs", nargs="+")
    m.add_argument("--limit", type=int), m.add_argument("--most", type=float)
    a = p.parse_args()
    ok = {"tasks": tasks, "kl": kl, "media": media}[a.command](a)
    print("PASS" if ok else "FAIL")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
