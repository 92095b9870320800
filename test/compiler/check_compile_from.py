#!/usr/bin/env python3
"""--compile-from: the text of a stage becomes a program again, also edited, and
what cannot become one is refused: check_compile_from.py SOURCE WORK."""
import os
import re
import subprocess
import sys

source, work = (os.path.abspath(a) for a in sys.argv[1:3])
E, M = source + "/examples/nano-e", source + "/examples/nano-m"
os.chdir(work)


def gemmac(code, *args, words=(), model=E, target="x86-avx2"):
    done = subprocess.run(["gemmac", "-q", model, "--target=" + target, *args], capture_output=True, text=True)
    assert done.returncode == code, (args, done.returncode, done.stderr)
    for word in words:
        assert word in done.stderr, (args, word, done.stderr)
    if code:
        assert "gemmac: error: " in done.stderr and not os.path.exists("x"), done.stderr
    return done.stdout


def read(name):
    with open(name, "rb") as file:
        return file.read()


def edit(stage, name, change):
    text = read("d/%s.mlir" % stage).decode()
    changed = change(text)
    assert changed != text
    with open(name, "w") as file:
        file.write(changed)


def answer(program):
    return subprocess.run([program, "run", "--temp", "0", "-n", "20", "What is the capital of France?"],
                          capture_output=True, check=True).stdout


gemmac(0, "-o", "a", "--dump-to=d")
STAGES = ["import", "optimize", "select", "plan"]
for stage in STAGES:
    gemmac(0, "--compile-from=d/%s.mlir" % stage, "-o", "b")
    assert read("a") == read("b"), "another program from unedited text of " + stage

# Values keep their names on the way.
selected = gemmac(0, "--compile-from=d/optimize.mlir", "--compile-to=select", "-o", "-")
assert selected == read("d/select.mlir").decode(), "other names or ops"

# One barrier more: another program, the same answer.
edit("plan", "more.mlir", lambda t: t.replace("kernel.barrier\n", "kernel.barrier\n    kernel.barrier\n", 1))
gemmac(0, "--compile-from=more.mlir", "-o", "b")
assert read("a") != read("b") and answer("./a") == answer("./b")

# One format chosen by hand, where the pipeline has chosen already.
edit("optimize", "f32.mlir", lambda t: re.sub(r'(@l3\.(?:gate|up|down) from .*)act = "bf16", format = "bf16"',
                                             r'\1act = "f32", format = "f32"', t))
gemmac(0, "--compile-from=f32.mlir", "-o", "b")
assert b"Paris" in answer("./b")

# Refused: what races, what is no stage's, what does not belong together.
BARRIER = "    kernel.barrier\n"
for number in range(10):
    parts = read("d/plan.mlir").decode().split(BARRIER)
    parts[number : number + 2] = ["".join(parts[number : number + 2])]
    with open("less.mlir", "w") as file:
        file.write(BARRIER.join(parts))
    gemmac(3, "--compile-from=less.mlir", "-o", "x", words=["less.mlir:", "breaks what the stage plan promises"])
edit("plan", "outside.mlir", lambda t: t.replace('"embed_tokens.weight" rows 0 to 2048', '"embed_tokens.weight" rows 1 to 2049'))
gemmac(3, "--compile-from=outside.mlir", "-o", "x", words=["weight 'embed'", "'embed_tokens.weight'", "2048 rows", "2049"])
edit("plan", "absent.mlir", lambda t: t.replace('piece<"embed_tokens.weight"', 'piece<"absent"'))
gemmac(3, "--compile-from=absent.mlir", "-o", "x", words=["'absent'", "does not have"])
edit("plan", "broken.mlir", lambda t: t.replace("kernel.barrier\n", "kernel.barier\n", 1))
gemmac(3, "--compile-from=broken.mlir", "-o", "x", words=["broken.mlir:", "is no valid text of a stage"])
gemmac(3, "--compile-from=no-such.mlir", "-o", "x", words=["'no-such.mlir'", "No such file"])
gemmac(2, "--compile-from=d/plan.mlir", "-o", "x", target="x86-avx512", words=["is for target 'x86-avx2'"])
gemmac(3, "--compile-from=d/plan.mlir", "-o", "x", model=M, words=["of another model"])
gemmac(0, "--compile-to=native", "-o", "native.mlir")
gemmac(2, "--compile-from=native.mlir", "-o", "x", words=["stage native"])
gemmac(2, "--compile-from=d/plan.mlir", "--compile-to=import", "-o", "x", words=["comes after --compile-to=import"])
gemmac(2, "--compile-from=d/plan.mlir", "-o", "d/plan.mlir", words=["input and output are the same file"])
gemmac(2, "--compile-from=d/plan.mlir", "-o", "x", "--dump-to=d", words=["input and output are the same file"])
gemmac(2, "--compile-from=d/plan.mlir", "-o", "x", "--verify=more.mlir", words=["exclude each other"])
print("compile-from is as expected")
