#!/usr/bin/python3
"""Faults put into the kernels of programs, each of which a test must find.

  mutants.py GEMMAC GOLDEN_FOLDER CUDA_EMULATOR [--only N,N] [--list]

Makes programs of tiny models for cuda-sm80, changes one place of their PTX and
runs them on the emulated card (GM_CUDA_PTX), row by row and as a prompt: the
emulator must report a fault, or a logit must differ by more than 1e-3, which is
more than tests of kernels and of models in f32 allow. Every mutant is a kernel,
a pattern and which of its occurrences; one that changes nothing, or that nobody
finds, is an error."""
import argparse
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import safetensors

BARRIER = (r"^\tbar\.sync \t0;$", "")
WARP = (r"^\tbar\.warp\.sync .*$", "")
WAIT = (r"cp\.async\.wait_group (\d+);", lambda m: "cp.async.wait_group %d;" % (int(m[1]) + 4))
COMMIT = (r"cp\.async\.commit_group;", "")
# The first two registers of A change places; those of B.
FRAGMENT_A = (r"(mma\.sync\S+ \{[^}]*\}, \{)(%\w+), (%\w+)", r"\1\3, \2")
FRAGMENT_B = (r"(mma\.sync\S+ \{[^}]*\}, \{[^}]*\}, \{)(%\w+), (%\w+)", r"\1\3, \2")
SIGNS = (r"\.u8\.s8\.s32", ".s8.u8.s32")
SHUFFLE = (r"(shfl\.sync\.bfly\.b32 .*, )(\d+)(, 31, -1;)", lambda m: m[1] + str(int(m[2]) // 2) + m[3])
FMA = (r"fma\.rn\.f32 (.*), (%\w+), (%\w+), (%\w+);", r"fma.rn.f32 \1, \2, \3, \3;")
ADD = (r"add\.rn\.f32 (.*), (%\w+), (%\w+);", r"sub.rn.f32 \1, \2, \3;")
COMPARE = (r"setp\.ge\.s32", "setp.gt.s32")
COMPARE_LESS = (r"setp\.lt\.s32", "setp.le.s32")
# The first offset of a load or store: a word too far.
LOAD = (r"(ld\.global\S* \S+, \[%\w+)(\+\d+)?(\];)", lambda m: "%s+%d%s" % (m[1], int(m[2] or 0) + 4, m[3]))
STORE = (r"(st\.global\S* \[%\w+)(\+\d+)?(\],)", lambda m: "%s+%d%s" % (m[1], int(m[2] or 0) + 4, m[3]))
SHARED_LOAD = (r"(ld\.shared\S* \S+, \[%\w+)(\+\d+)?(\];)", lambda m: "%s+%d%s" % (m[1], int(m[2] or 0) + 4, m[3]))
SHARED_STORE = (r"(st\.shared\S* \[%\w+)(\+\d+)?(\],)", lambda m: "%s+%d%s" % (m[1], int(m[2] or 0) + 4, m[3]))

# model, --quant, kernels whose symbol begins so, what, which occurrence
MUTANTS = [
    ("tiny-e", "q8", "norm_linear", "barrier", BARRIER, 0),
    ("tiny-e", "q8", "add_norm_linear", "barrier", BARRIER, 1),
    ("tiny-e", "q8", "add_norm_geglu", "barrier", BARRIER, 2),
    ("tiny-e", "q8", "merge_linear", "barrier", BARRIER, 0),
    ("tiny-e", "q8", "append_attend", "barrier", BARRIER, 1),
    ("tiny-e", "q8", "append_attend", "barrier", BARRIER, 3),
    ("tiny-e", "q8", "linear_q8", "barrier", BARRIER, 0),
    ("tiny-e", "q8", "attend_q8", "barrier", BARRIER, 2),
    ("tiny-e", "q8", "top_kernel", "barrier", BARRIER, 0),
    ("tiny-e", "auto", "linear_bf16", "wait", WAIT, 0),
    ("tiny-e", "q8", "linear_q8", "wait", WAIT, 0),
    ("tiny-e", "auto", "linear_geglu", "wait", WAIT, 1),
    ("tiny-m", "auto", "experts_up", "barrier", BARRIER, 0),
    ("tiny-e", "q8", "linear_q8", "wrong fragment of weights", FRAGMENT_A, 0),
    ("tiny-e", "auto", "linear_bf16", "wrong fragment of weights", FRAGMENT_A, 0),
    ("tiny-e", "auto", "add_norm_geglu", "wrong fragment of rows", FRAGMENT_B, 0),
    ("tiny-e", "auto", "append_attend", "wrong fragment of queries", FRAGMENT_B, 0),
    ("tiny-e", "auto", "attend_bf16", "wrong fragment of keys", FRAGMENT_A, 0),
    ("tiny-e", "q8", "linear_q8", "signs of codes", SIGNS, 0),
    ("tiny-e", "q8", "norm_linear", "lanes of a sum", SHUFFLE, 0),
    ("tiny-e", "q8", "add_norm_linear", "lanes of a largest value", SHUFFLE, 5),
    ("tiny-e", "auto", "add_norm_linear", "sum without its part", FMA, 0),
    ("tiny-e", "auto", "add_norm_geglu", "sign of an addition", ADD, 0),
    ("tiny-e", "auto", "copy", "row past the end", COMPARE, 0),
    ("tiny-e", "auto", "embed", "row past the end", COMPARE, 0),
    ("tiny-e", "auto", "ple_finish", "load a word too far", LOAD, 0),
    ("tiny-e", "auto", "embed", "store a word too far", STORE, 0),
    ("tiny-e", "auto", "append_attend", "store a word too far", STORE, 0),
    ("tiny-e", "q8", "norm_linear", "shared load a word too far", SHARED_LOAD, 0),
    ("tiny-e", "q8", "merge_linear", "shared store a word too far", SHARED_STORE, 0),
    ("tiny-m", "auto", "top_experts", "lanes of a sum", SHUFFLE, 0),
    ("tiny-m", "auto", "experts_down", "wrong fragment of weights", FRAGMENT_A, 0),
]


def run(arguments, **more):
    return subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def logits(program, ids, environment):
    """Of rows alone, then of the prompt; or why there are none."""
    found = []
    for batch in ("1", "64"):
        out = program + ".out"
        done = run([program, "eval", "--tokens", ids, "--logits", out, "-b", batch], env=environment, timeout=300)
        if done.returncode:
            lines = done.stdout.splitlines()
            return next((x for x in lines if "emulator" in x), lines[-1] if lines else str(done.returncode))
        found.append(np.array(safetensors.File(out)["logits"], dtype=np.float64))
    return np.stack(found)


def mutate(ptx, kernel, pattern, replacement, occurrence):
    """All kernels of the family, each at the same place."""
    pieces = re.split(r"(?m)^(?=\.visible \.entry )", ptx)
    changed = 0
    for i, piece in enumerate(pieces):
        name = re.match(r"\.visible \.entry (\w+)", piece)
        if not name or not name[1].startswith(kernel):
            continue
        places = list(re.finditer(pattern, piece, re.M))
        if occurrence >= len(places):
            continue
        at = places[occurrence]
        new = at.expand(replacement) if isinstance(replacement, str) else replacement(at)
        if new != at[0]:
            pieces[i] = piece[:at.start()] + new + piece[at.end():]
            changed += 1
    return "".join(pieces), changed


def main():
    p = argparse.ArgumentParser()
    p.add_argument("gemmac")
    p.add_argument("golden")
    p.add_argument("emulator")
    p.add_argument("--only", default="")
    p.add_argument("--list", action="store_true")
    a = p.parse_args()
    chosen = [int(n) for n in a.only.split(",") if n] or range(len(MUTANTS))
    environment = dict(os.environ, LD_LIBRARY_PATH=a.emulator)
    missed, right = 0, {}
    with tempfile.TemporaryDirectory() as folder:
        for n in chosen:
            model, quant, kernel, what, (pattern, replacement), occurrence = MUTANTS[n]
            if a.list:
                print(n, model, quant, kernel, what)
                continue
            program = os.path.join(folder, f"{model}.{quant}")
            golden = os.path.join(a.golden, model)
            common = [a.gemmac, golden, f"--quant={quant}", "--target=cuda-sm80", "-q"]
            if quant == "q8":
                common.append("--cache-type=q8")
            if not os.path.exists(program):
                for more in (["-o", program], ["--emit=asm", "-o", program + ".ptx"]):
                    done = run(common + more)
                    if done.returncode:
                        sys.exit(done.stdout)
                ids = safetensors.File(os.path.join(golden, "golden.safetensors"))["mid.ids"].tolist()[:40]
                with open(program + ".ids", "w") as f:
                    f.write(" ".join(map(str, ids)))
                right[program] = logits(program, program + ".ids", environment)
                if isinstance(right[program], str):
                    sys.exit(f"{model} {quant} fails unchanged: {right[program]}")
            with open(program + ".ptx") as f:
                mutant, changed = mutate(f.read(), kernel, pattern, replacement, occurrence)
            with open(program + ".mutant.ptx", "w") as f:
                f.write(mutant)
            got = logits(program, program + ".ids", dict(environment, GM_CUDA_PTX=program + ".mutant.ptx"))
            if isinstance(got, str):
                found, why = True, got
            else:
                difference = np.abs(got - right[program]).max()
                found, why = not difference <= 1e-3, f"largest difference {difference:.3g}"
            found = found and changed
            print(f"{'found' if found else 'MISSED'} {n}: {kernel} of {model} {quant}: {what}: "
                  f"{why[:160] if changed else 'no such place'}", flush=True)
            missed += not found
    if missed:
        sys.exit(f"{missed} mutants were not found")


if __name__ == "__main__":
    main()
