#!/usr/bin/env python3
"""What products of few rows cost on a card, by count and without one:
sass_cost.py GEMMAC PTXAS NVDISASM SM MODEL [FLAG...] prints a Markdown table.

Instructions of a warp per block of 16 outputs x 32 of k: of the innermost loop
with tensor core instructions, or of the straight code from the first to the last
of them where there is no loop, divided by the blocks that those multiply. In flight: what all threads
of a multiprocessor ask of the weights (LDG.*.CONSTANT) before the first product,
with as many thread blocks on it as registers and shared memory (GM_ENTRY) allow."""
import re
import subprocess
import sys
import tempfile

import kernels_of

# Bytes of shared memory and blocks of a multiprocessor, by compute capability.
SHARED = {"80": 164, "86": 100, "89": 100, "90": 228, "100": 228, "120": 100}
BLOCKS = {"80": 32, "86": 16, "89": 24, "90": 32, "100": 32, "120": 24}
WARPS = {"80": 64, "86": 48, "89": 48, "90": 64, "100": 64, "120": 48}
MULTIPROCESSORS = 132
FAMILIES = r"(linear|norm_linear|merge_linear|add_norm_linear|add_norm_geglu|linear_geglu|add_linear_ple|logits|experts_up|experts_down)_"


def gemmac(program, model, flags, emit):
    done = subprocess.run([program, model, "-q", "--target=cuda-sm80", emit, "-o", "-", *flags], check=True,
                          capture_output=True)
    return done.stdout.decode("latin-1")


def constant(ir, name):
    """The bytes of a constant array of LLVM IR."""
    text = re.search(r'^@%s = .*? c"(.*?)"' % name, ir, flags=re.M).group(1)
    return re.sub(rb"\\(\\|[0-9A-F]{2})", lambda m: m[1] if m[1] == b"\\" else bytes.fromhex(m[1].decode()),
                  text.encode("latin-1"))


def launches(ir):
    """{kernel: (threads, shared)} of gm_kernel (runtime/abi.h)."""
    table, names = constant(ir, "gm_kernels"), constant(ir, "gm_kernel_names")
    found = {}
    for at in range(0, len(table), 32):
        name, threads, shared = (int.from_bytes(table[at + i:at + i + 4], "little") for i in (0, 4, 8))
        found[names[name:names.index(0, name)].decode()] = threads, shared
    return found


def instructions(sass):
    """[(address, opcode, target address or None)]"""
    labels, found = {}, []
    for line in sass.split("\n"):
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label.group(1)] = len(found)
        elif code := re.match(r"\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*)", line):
            jump = re.search(r"\(?(\.L_x_\d+)", code.group(2)) if code.group(1).startswith("BRA") else None
            found.append((code.group(1), jump and jump.group(1)))
    return [(op, labels.get(jump) if jump else None) for op, jump in found]


def cost(code):
    """Instructions and blocks of the part that multiplies, tensor core opcodes."""
    products = [i for i, (op, _) in enumerate(code) if op.startswith(("IMMA", "HMMA"))]
    if not products:
        return None
    loops = [(to, i) for i, (_, to) in enumerate(code) if to is not None and to < i]
    inner = [loop for loop in loops if any(loop[0] <= p <= loop[1] for p in products)
             and not any(other != loop and loop[0] <= other[0] and other[1] <= loop[1] and
                         any(other[0] <= p <= other[1] for p in products) for other in loops)]
    if not inner: # a basic block
        ends = sorted({i for i, (op, _) in enumerate(code) if op in ("BRA", "EXIT", "RET")} |
                      {to - 1 for _, to in code if to is not None})
        for product in products:
            end = next(e for e in ends + [len(code)] if e >= product)
            run = [p for p in products if product <= p <= end]
            inner.append((run[0], run[-1]))
    first, last = max(inner, key=lambda l: sum(l[0] <= p <= l[1] for p in products))
    inside = [code[p][0] for p in products if first <= p <= last]
    blocks = sum(0.5 if op.startswith("HMMA") else 1 for op in inside) # k of 16 and of 32
    return (last - first + 1) / blocks, sorted({op.split(".")[0] for op in inside}), products[0]


def main():
    program, ptxas, nvdisasm, sm, model, *flags = sys.argv[1:]
    ir = gemmac(program, model, flags, "--emit=llvm")
    facts = launches(ir)
    header, kernels = kernels_of.split(constant(ir, "gm_ptx").rstrip(b"\0").decode())
    print("| kernel, sm_%s | instructions per block | of them | I2F | registers | shared KB | blocks per SM | KB in flight "
          "per SM | MB on %d SMs |\n|---|---|---|---|---|---|---|---|---|" % (sm, MULTIPROCESSORS))
    for name, text in sorted(kernels.items()):
        if not name.endswith("_few") or not re.match(FAMILIES, name):
            continue
        with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
            (_, _, _, registers), = kernels_of.assemble(ptxas, sm, header + text, cubin.name).values()
            code = instructions(subprocess.run([nvdisasm, "-c", cubin.name], check=True, capture_output=True,
                                               text=True).stdout)
        threads, shared = facts[name]
        warps = threads // 32
        found = cost(code)
        if not found:
            continue
        each, opcodes, first = found
        fit = min(65536 // (-(-registers // 8) * 8 * threads), SHARED[sm] * 1024 // (shared + 1024), BLOCKS[sm],
                  WARPS[sm] // warps)
        held = 0
        for op, _ in code[:first]:
            if op.startswith("LDG") and ("NA" in op or "CONSTANT" in op):
                held += int((re.search(r"\.(64|128)", op) or [0, "32"])[1]) // 8
        flight = held * threads * fit
        print("| %s | %.1f | %s | %s | %d | %.1f | %d | %.0f | %.1f |" % (
            name, each, " ".join(opcodes), "yes" if any(op.startswith("I2F") for op, _ in code) else "no", registers,
            shared / 1024, fit, flight / 1024, flight * MULTIPROCESSORS / 1e6))


main()
