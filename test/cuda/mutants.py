#!/usr/bin/python3
"""Faults put into the kernels of programs, each of which a test must find.

  mutants.py GOLDEN_FOLDER NAME=PROGRAM... [--brief] [--only WORD,WORD] [--list]

Changes one place of the PTX of a program and runs it on the emulated card
(GM_CUDA_PTX): the emulator must report a fault, or a logit must differ by more
than 1e-3, which is more than tests of kernels and of models in f32 allow, or the
program must fail or give other tokens. A mutant is a program, kernels, a kind,
which of its places in each of them, and the shortest input that shows it. One
that changes nothing, or that nobody finds, is an error: if a body has changed,
choose a place again; if its barrier does nothing, remove that from the body; if
the emulator should have seen it, mend that (races.cpp).

NAME is that of a model of GOLDEN_FOLDER, a dot and a word for its formats, as in
MUTANTS; those of programs that are not given are left out. --brief: of each kind
the first. --only: mutants with one of the numbers that --list shows, or of one of
these kinds."""
import argparse
import collections
import fnmatch
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import safetensors


def moved(match):
    """An address, a word further."""
    return "%s+%d%s" % (match[1], int(match[2] or 0) + 4, match[3])


ADDRESS = r"\s+\S+, \[%\w+)\+?(\d+)?(\];)"
TARGET = r"\s+\[%\w+)\+?(\d+)?(\],)"
MMA = r"(mma\.sync\S+ \{[^}]*\}, \{"

# kind: what is looked for, and what stands in its place
KINDS = {
    "barrier": (r"^\tbar\.sync\s+0;$", ""),
    "barrier of a warp": (r"^\tbar\.warp\.sync\s.*$", ""),
    "wait": (r"cp\.async\.wait_group (\d+);", lambda m: "cp.async.wait_group %d;" % (int(m[1]) + 4)),
    "commit": (r"cp\.async\.commit_group;", ""),
    # Two registers of A, or of B, change places.
    "fragment of A": (MMA + r")(%\w+), (%\w+)", r"\1\3, \2"),
    "fragment of B": (MMA + r"[^}]*\}, \{)(%\w+), (%\w+)", r"\1\3, \2"),
    "signs of codes": (r"\.u8\.s8\.s32", ".s8.u8.s32"),
    "lanes": (r"(shfl\.sync\.bfly\.b32\s.*, )(\d+)(, 31, -1;)", lambda m: m[1] + str(int(m[2]) // 2) + m[3]),
    "fma": (r"fma\.rn\.f32(\s+%\w+), (\S+), (\S+), (\S+);", r"fma.rn.f32\1, \2, \3, \3;"),
    "add": (r"add\.rn\.f32(\s)", r"sub.rn.f32\1"),
    "at least": (r"setp\.ge\.(\w+)", r"setp.gt.\1"),
    "more": (r"setp\.gt\.(\w+)", r"setp.ge.\1"),
    "less": (r"setp\.lt\.(\w+)", r"setp.le.\1"),
    "load": (r"(ld\.global[.\w:]*" + ADDRESS, moved),
    "store": (r"(st\.global[.\w:]*" + TARGET, moved),
    "shared load": (r"(ld\.shared[.\w]*" + ADDRESS, moved),
    "shared store": (r"(st\.shared[.\w]*" + TARGET, moved),
}

# tokens of the text and rows of a step, or None: tokens are generated
INPUTS = {"one": (3, 1), "few": (7, 8), "many": (20, 64), "text": (3, None)}

Mutant = collections.namedtuple("Mutant", "program kernels kind place input")
MUTANTS = [Mutant(*m) for m in [
    ("tiny-e.q8", "norm_linear*_few", "barrier", 0, "one"),
    ("tiny-e.q8", "add_norm_linear*_few", "barrier", 3, "few"),
    ("tiny-e.q8", "add_norm_geglu*_few", "barrier", 2, "few"),
    ("tiny-e.auto", "merge_linear*_k256_few", "barrier", 1, "few"),
    ("tiny-e.q8", "append_attend*_few", "barrier", 0, "one"),
    ("tiny-e.q8", "append_attend*_few", "barrier", 3, "one"),
    ("tiny-e.q8", "rope_attend*_few", "barrier", 4, "one"),
    ("tiny-e.q8", "linear_q8*_many", "barrier", 0, "many"),
    ("tiny-e.auto", "linear_bf16*_many", "barrier", 2, "many"),
    ("tiny-e.q8", "attend_q8*_many", "barrier", 1, "many"),
    ("tiny-e.q8", "norm_q8*_many", "barrier", 0, "many"),
    ("tiny-e.q8", "top_kernel_few", "barrier", 0, "text"),
    ("tiny-e.q8", "logits*_few", "barrier", 0, "one"),
    ("tiny-m.auto", "add_norms3_geglu*_few", "barrier", 0, "one"),
    ("tiny-m.auto", "top_experts_up*_few", "barrier", 1, "one"),
    ("tiny-m.auto", "experts_down_linear*_few", "barrier", 1, "one"),
    ("tiny-m.auto", "experts_down_*_many", "barrier", 2, "many"),
    ("tiny-m.auto", "moe_sort*_many", "barrier", 1, "many"),
    ("tiny-m.auto", "top_experts*_many", "barrier", 1, "many"),
    ("tiny-e.auto", "linear_bf16*_few", "barrier of a warp", 0, "one"),
    ("tiny-e.q8", "append_attend*_few", "barrier of a warp", 0, "one"),
    ("tiny-m.auto", "experts_up*_many", "barrier of a warp", 1, "many"),
    ("tiny-m.auto", "moe_sort*_many", "barrier of a warp", 2, "many"),
    ("tiny-e.q8", "linear_q8*_many", "wait", 0, "many"),
    ("tiny-e.auto", "linear_bf16*_many", "wait", 0, "many"),
    ("tiny-e.auto", "linear_geglu*_many", "wait", 0, "many"),
    ("tiny-m.auto", "linear_f32*_many", "wait", 0, "many"),
    ("tiny-e.q8", "linear_q8*_many", "commit", 0, "many"),
    ("tiny-e.auto", "linear_ple*_many", "commit", 1, "many"),
    ("tiny-e.q8", "linear_q8*_many", "fragment of A", 0, "many"),
    ("tiny-e.auto", "linear_bf16*_few", "fragment of A", 0, "one"),
    ("tiny-e.auto", "attend_bf16*_many", "fragment of A", 0, "many"),
    ("tiny-m.auto", "experts_down_*_many", "fragment of A", 0, "many"),
    ("tiny-e.auto", "logits*_few", "fragment of A", 0, "one"),
    ("tiny-e.auto", "add_norm_geglu*_few", "fragment of B", 0, "one"),
    ("tiny-e.auto", "append_attend*_few", "fragment of B", 0, "one"),
    ("tiny-e.q8", "linear_q8*_few", "signs of codes", 0, "few"),
    ("tiny-e.q8", "norm_linear*_few", "lanes", 10, "one"),
    ("tiny-e.auto", "append_attend*_few", "lanes", 12, "one"),
    ("tiny-e.q8", "norm_q8*_many", "lanes", 1, "many"),
    ("tiny-e.auto", "add_norm_linear*_few", "fma", 0, "one"),
    ("tiny-e.auto", "ple_finish*_few", "fma", 0, "one"),
    ("tiny-e.auto", "add_norm_geglu*_few", "add", 0, "one"),
    ("tiny-m.auto", "add_norm3_*_many", "add", 0, "many"),
    ("tiny-e.auto", "append_attend*_few", "less", 0, "few"),
    ("tiny-e.auto", "attend_bf16*_many", "more", 0, "many"),
    ("tiny-e.auto", "linear_bf16*_many", "at least", 1, "many"),
    ("tiny-m.auto", "top_experts*_many", "less", 3, "many"),
    ("tiny-e.auto", "ple_finish*_few", "load", 2, "one"),
    ("tiny-e.q8", "linear_q8*_few", "load", 1, "one"),
    ("tiny-e.auto", "embed*_few", "store", 0, "one"),
    ("tiny-e.auto", "append_attend*_few", "store", 0, "one"),
    ("tiny-m.auto", "experts_up*_many", "store", 0, "many"),
    ("tiny-e.q8", "norm_linear*_few", "shared load", 7, "one"),
    ("tiny-e.q8", "merge_linear*_few", "shared store", 0, "one"),
    ("tiny-m.auto", "top_experts*_many", "shared load", 0, "many"),
]]


def image(program):
    """The PTX in a program that has no machine code."""
    with open(program, "rb") as f:
        data = f.read()
    start = data.find(b"\n.version ")
    if start < 0:
        sys.exit(f"{program} has no PTX: --ptxas=none")
    return data[start + 1 : data.index(b"\0", start)].decode()


def mutate(ptx, mutant):
    """All kernels of that name, each at the same place; how many were changed."""
    pattern, replacement = KINDS[mutant.kind]
    pieces = re.split(r"(?m)^(?=\.visible \.entry )", ptx)
    changed = 0
    for i, piece in enumerate(pieces):
        name = re.match(r"\.visible \.entry (\w+)", piece)
        if not name or not fnmatch.fnmatch(name[1], mutant.kernels):
            continue
        places = list(re.finditer(pattern, piece, re.M))
        if mutant.place >= len(places):
            continue
        at = places[mutant.place]
        new = at.expand(replacement) if isinstance(replacement, str) else replacement(at)
        if new != at[0]:
            pieces[i] = piece[:at.start()] + new + piece[at.end():]
            changed += 1
    return "".join(pieces), changed


class Program:
    def __init__(self, path, golden, folder):
        self.path, self.folder = os.path.abspath(path), folder
        self.ptx, self.right = image(path), {}
        self.ids = safetensors.File(os.path.join(golden, "golden.safetensors"))["mid.ids"].tolist()

    def run(self, name, ptx=""):
        """Logits, or tokens as text, or why there are none."""
        tokens, rows = INPUTS[name]
        ids, out = os.path.join(self.folder, "ids"), os.path.join(self.folder, "out")
        with open(ids, "w") as f:
            f.write(" ".join(map(str, self.ids[:tokens])))
        if rows:
            arguments = ["eval", "--tokens", ids, "--logits", out, "-b", str(rows)]
        else:
            arguments = "run --tokens".split() + [ids] + "-n 2 --print-tokens --ignore-eos --seed 1".split()
        done = subprocess.run([self.path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=dict(os.environ, GM_CUDA_PTX=ptx), timeout=300)
        if done.returncode:
            lines = done.stdout.splitlines()
            return False, next((x for x in lines if "emulator" in x), lines[-1] if lines else str(done.returncode))
        return True, np.array(safetensors.File(out)["logits"], dtype=np.float64) if rows else done.stdout

    def finds(self, mutant):
        """Whether the mutant is found, and by what."""
        if mutant.input not in self.right:
            runs, self.right[mutant.input] = self.run(mutant.input)
            if not runs:
                sys.exit(f"{mutant.program} fails unchanged: {self.right[mutant.input]}")
        text, changed = mutate(self.ptx, mutant)
        if not changed:
            return False, "no such place"
        path = os.path.join(self.folder, "mutant.ptx")
        with open(path, "w") as f:
            f.write(text)
        runs, got = self.run(mutant.input, path)
        if not runs:
            return True, got
        if isinstance(got, str):
            return got != self.right[mutant.input], "tokens " + got.strip()
        difference = np.abs(got - self.right[mutant.input]).max()
        return not difference <= 1e-3, f"largest difference {difference:.3g}"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("golden")
    p.add_argument("programs", nargs="*")
    p.add_argument("--brief", action="store_true")
    p.add_argument("--only", default="")
    p.add_argument("--list", action="store_true")
    a = p.parse_args()
    only = [x.strip() for x in a.only.split(",") if x.strip()]
    if a.list:
        for n, mutant in enumerate(MUTANTS):
            print(n, *mutant)
        return
    found, missed, kinds = 0, 0, set()
    with tempfile.TemporaryDirectory() as folder:
        programs = {}
        for argument in a.programs:
            name, path = argument.split("=", 1)
            programs[name] = Program(path, os.path.join(a.golden, name.split(".")[0]), folder)
        for n, mutant in enumerate(MUTANTS):
            if mutant.program not in programs or only and not {str(n), mutant.kind} & set(only):
                continue
            if a.brief and mutant.kind in kinds:
                continue
            kinds.add(mutant.kind)
            finds, why = programs[mutant.program].finds(mutant)
            print(f"{'found' if finds else 'MISSED'} {n} {' '.join(map(str, mutant))}: {why[:200]}", flush=True)
            found += finds
            missed += not finds
    print(f"{found} found")
    if missed or not found:
        sys.exit(f"{missed} mutants were not found")


if __name__ == "__main__":
    main()
