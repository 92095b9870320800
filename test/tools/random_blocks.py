"""Streams of random weights in the formats of checkpoints: every block holds values
that are exact in bf16, so that a file of blocks and a bf16 file hold the same bits.
Knows formats and deviations, must not know which tensors a model has.

A stream draws from pools that are made once and used again at random places, so
that memory stays small and the speed is that of a copy, whatever the size."""
import numpy as np

POOL = 1 << 25 # values
CHUNK = 1 << 22 # values

# GGUF type -> (number, values of a block, bytes of a block)
TYPES = {"f32": (0, 1, 4), "bf16": (30, 1, 2), "q4_0": (2, 32, 18), "q8_0": (8, 32, 34), "q6_k": (14, 256, 210)}


def to_bf16(x):
    """Rounded to nearest, ties away from zero; uint16."""
    return ((x.astype(np.float32, copy=False).view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)).astype("<u2")


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def f16_exponent(bits, steps):
    """Multiplies f16 numbers by 2**steps, in place; none may leave the normal range."""
    moved = bits.astype(np.int32) + (steps << 10)
    assert moved.min() >= 1 << 10 and moved.max() < 31 << 10
    bits[...] = moved.astype(np.uint16)


class Pools:
    """What all streams of one seed draw from; no pool holds more than eight times the `most` values
    of a tensor. Deviation of a block pool's values: about 1."""

    def __init__(self, seed, most):
        self.rng = np.random.default_rng([seed, 0x706F6F6C])
        self.size = min(POOL, max(8 * most, 256) // 256 * 256)
        self.made = {}

    def normals(self):
        if "bf16" not in self.made:
            self.made["bf16"] = self.rng.standard_normal(self.size // 2, dtype=np.float32)
        return self.made["bf16"]

    def blocks(self, kind):
        if kind not in self.made:
            self.made[kind] = {"q4_0": self._q4_0, "q8_0": self._q8_0, "q6_k": self._q6_k}[kind]()
        return self.made[kind]

    def _q4_0(self):
        # q to 4 bits and a scale of 5 significant bits: 8 in the product.
        n = self.size // 32
        x = self.rng.standard_normal((n, 32), dtype=np.float32)
        q = (np.clip(np.rint(x * 3), -8, 7) + 8).astype(np.uint8)
        out = np.empty((n, 18), np.uint8)
        d = ((16 + self.rng.integers(0, 16, n)) / 64).astype("<f2") # 0.25 to 0.48, mean 0.37
        out[:, :2] = d.view(np.uint8).reshape(n, 2)
        out[:, 2:] = q[:, :16] | q[:, 16:] << 4
        return out

    def _q8_0(self):
        # 7 bits and sign, the largest at 127 as a quantiser has it; the scale is a
        # power of two.
        n = self.size // 32
        x = self.rng.standard_normal((n, 32), dtype=np.float32)
        x *= 127 / np.abs(x).max(axis=1, keepdims=True)
        out = np.empty((n, 34), np.uint8)
        d = np.float16(2.0) ** -self.rng.integers(5, 8, n).astype(np.float16)
        out[:, :2] = d.astype("<f2").view(np.uint8).reshape(n, 2)
        out[:, 2:] = np.rint(x).astype(np.int8).view(np.uint8)
        return out

    def _q6_k(self):
        # 5 bits and sign, times a sub-block scale of 3 bits, times a power of two.
        n = self.size // 256
        x = self.rng.standard_normal((n, 2, 4, 32), dtype=np.float32)
        q = (np.clip(np.rint(x * 11), -32, 31) + 32).astype(np.uint8)
        low, high = q & 15, q >> 4
        out = np.empty((n, 210), np.uint8)
        # Lanes 0..31 and 64..95 of a half share bytes 0..31; 32..63 and 96..127 bytes 32..63.
        out[:, :128] = (low[:, :, :2] | low[:, :, 2:] << 4).reshape(n, 128)
        out[:, 128:192] = (high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6).reshape(n, 64)
        out[:, 192:208] = self.rng.integers(4, 8, (n, 16)).astype(np.uint8)
        out[:, 208:] = np.full(n, 2.0**-6, "<f2").view(np.uint8).reshape(n, 2)
        return out


def scale_bytes(kind, blocks):
    """The f16 scales of blocks as a uint16 array that writes through."""
    at = 208 if kind == "q6_k" else 0
    return np.ndarray(len(blocks), "<u2", blocks, at, (blocks.strides[0],))


def dequantise(kind, blocks):
    """blocks [n, bytes] uint8 -> f32 [n, values], exactly."""
    d = scale_bytes(kind, np.ascontiguousarray(blocks)).view("<f2").astype(np.float32)[:, None]
    if kind == "q4_0":
        q = blocks[:, 2:]
        return d * (np.concatenate([q & 15, q >> 4], axis=1).astype(np.float32) - 8)
    if kind == "q8_0":
        return d * np.ascontiguousarray(blocks[:, 2:]).view(np.int8).astype(np.float32)
    n = len(blocks)
    low = blocks[:, :128].reshape(n, 2, 2, 32)
    low = np.concatenate([low & 15, low >> 4], axis=2)
    high = blocks[:, 128:192].reshape(n, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1) & 3
    q = (low | high << 4).astype(np.float32) - 32
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float32)
    return (d * np.repeat(scales, 16, axis=1)) * q.reshape(n, 256)


def stream(pools, kind, count, deviation, mean, rng):
    """Yields (bytes in the format `kind`, the same values as bf16 bits) for `count`
    random values. `mean` must be 0 for blocks."""
    per = TYPES[kind][1]
    assert count % per == 0
    if per > 1:
        assert mean == 0
        pool = pools.blocks(kind)
        steps = round(float(np.log2(deviation)))
        left = count // per
        while left:
            n = min(left, CHUNK // per, len(pool))
            at = int(rng.integers(0, len(pool) - n + 1))
            blocks = pool[at:at + n].copy()
            f16_exponent(scale_bytes(kind, blocks), steps)
            yield blocks, lambda: to_bf16(dequantise(kind, blocks))
            left -= n
        return
    pool, left = pools.normals(), count
    while left:
        n = min(left, CHUNK, len(pool))
        at = int(rng.integers(0, len(pool) - n + 1))
        bits = to_bf16(pool[at:at + n] * np.float32(deviation) + np.float32(mean))
        yield from_bf16(bits) if kind == "f32" else bits, lambda: bits
        left -= n
