#!/usr/bin/env python3
"""Every kernel of some models becomes machine code that keeps all in registers:
check_ptxas.py GEMMAC PTXAS SMS TARGET MODEL[:FLAG...]... A kernel of several
models is looked at once. TARGET is --target, SMS a list such as 80,90a."""
import concurrent.futures
import os
import subprocess
import sys

import kernels_of


def text(gemmac, target, model):
    path, *flags = model.split(":")
    done = subprocess.run([gemmac, path, "-q", "--target=" + target, "--emit=asm", "-o", "-", *flags],
                          capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, "gemmac %s: %s" % (model, done.stderr)
    return done.stdout


def problems(ptxas, sm, header, kernels):
    found = kernels_of.assemble(ptxas, sm, header + "".join(kernels.values()))
    said = ["sm_%s: %s has %d bytes of stack, spills %d and %d bytes with %d registers" % (sm, name, *numbers)
            for name, numbers in found.items() if any(numbers[:3])]
    lost = sorted(set(kernels) - set(found))
    if lost:
        said.append("sm_%s: ptxas says nothing of %s" % (sm, ", ".join(lost)))
    return said


def main():
    gemmac, ptxas, sms, target, *models = sys.argv[1:]
    headers, kernels = set(), {}
    said = []
    for model in models:
        header, more = kernels_of.split(text(gemmac, target, model))
        headers.add(header)
        for name, code in more.items():
            if ".local" in code:
                said.append("%s of %s has local memory" % (name, model))
            if kernels.setdefault(name, code) != code:
                said.append("%s differs between models: %s" % (name, model))
    header, = headers
    # As few processes as keep the cores busy.
    parts = [dict(list(kernels.items())[i::2]) for i in range(2)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(problems, ptxas, sm, header, part) for sm in sms.split(",") for part in parts]
        for job in jobs:
            said += job.result()
    print("%d kernels for sm %s" % (len(kernels), sms))
    for line in said:
        print("FAIL", line)
    sys.exit(1 if said or not kernels else 0)


main()
