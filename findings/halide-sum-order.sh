#!/bin/bash
# Halide 21.0.0 (PyPI, x86-64): which of two products an update adds first depends on
# the schedule. `s = (s + a * x0) + b * x1` has other bits with two vectors of outputs
# side by side than with one, with the same vector width, the same target and no
# parallel loop: the algorithm does not decide the result, although an update is
# sequential. Inside strict_float the bits are one for all schedules (but nothing is
# contracted to fma any more). Seen, of 512 numbers that differ from those of the
# first schedule:
#   free:   0 19 32 0 20
#   strict: 0 0 0 0 0
# Ends with 1 if schedules agree now, or strict ones no longer do. The counts depend
# on the processor's instructions and are not checked. Needs AVX2 and fma.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m pip install -q --target "$place/packages" halide==21.0.0 numpy >"$place/log" 2>&1 ||
  { tail -3 "$place/log"; exit 2; }
PYTHONPATH=$place/packages python3 - <<'PY'
import sys

import halide as hl
import numpy as np

DEPTH, ROWS, OUTPUTS = 96, 8, 64
random = np.random.default_rng(1)
halves = random.standard_normal((2 * DEPTH, OUTPUTS)).astype(np.float32).view(np.uint32)
# Two bf16 weights in a word, as kernels read them.
weights = np.ascontiguousarray((halves[:DEPTH] >> 16) | (halves[DEPTH:] & np.uint32(0xFFFF0000)))
rows = random.standard_normal((ROWS, 2 * DEPTH)).astype(np.float32)


def multiply(strict, lanes, vectors):
    o, r, outer, inner, part, lane = (hl.Var(n) for n in ("o", "r", "outer", "inner", "part", "lane"))
    w, x = hl.ImageParam(hl.UInt(32), 2, "w"), hl.ImageParam(hl.Float(32), 2, "x")
    k = hl.RDom([hl.Range(0, DEPTH)])
    low = hl.reinterpret(hl.Float(32), w[o, k] << 16)
    high = hl.reinterpret(hl.Float(32), w[o, k] & hl.u32(0xFFFF0000))
    s, y = hl.Func("s"), hl.Func("y")
    s[o, r] = hl.f32(0)
    sum = (s[o, r] + low * x[2 * k, r]) + high * x[2 * k + 1, r]
    s[o, r] = hl.strict_float(sum) if strict else sum
    y[o, r] = s[o, r]
    y.split(o, outer, inner, lanes * vectors).vectorize(inner, lanes)
    y.bound(r, 0, ROWS).reorder(inner, r, outer).unroll(r)
    s.compute_at(y, outer).store_in(hl.MemoryType.Stack).vectorize(o, lanes).unroll(o).unroll(r)
    s.update().split(o, part, lane, lanes).reorder(lane, part, r, k).vectorize(lane).unroll(part).unroll(r)
    w.set(hl.Buffer(weights))
    x.set(hl.Buffer(rows))
    return np.array(y.realize([OUTPUTS, ROWS], hl.get_host_target()))


def differing(strict):
    all = [multiply(strict, *s) for s in ((16, 1), (16, 2), (16, 4), (8, 1), (8, 2))]
    return [int((one != all[0]).sum()) for one in all]


free, strict = differing(False), differing(True)
print("free:  ", *free)
print("strict:", *strict)
sys.exit(0 if any(free) and not any(strict) else 1)
PY
