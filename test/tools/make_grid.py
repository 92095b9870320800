#!/usr/bin/python3
"""Copies a checkpoint of one file with its matrices put on a 4-bit grid, as training for it leaves them.

  make_grid.py FOLDER OUT

Every 32 values of a row become bf16(code * scale) with codes -8..7 and a bf16 scale of either sign; one value of
layers.2.mlp.down_proj leaves the grid."""
import os
import shutil
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors


def bf16_bits(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def bf16(x):
    return (bf16_bits(x).astype(np.uint32) << 16).view(np.float32)


def on_grid(x):
    blocks = x.reshape(-1, 32)
    peak = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], 1)
    scale = bf16(peak / -8)
    codes = np.clip(np.rint(blocks / np.where(scale == 0, 1, scale)), -8, 7)
    return bf16(codes * scale).reshape(x.shape)


def main():
    folder, out = sys.argv[1:]
    shutil.copytree(folder, out, dirs_exist_ok=True)
    path = os.path.join(out, "model.safetensors")
    file = safetensors.File(os.path.join(folder, "model.safetensors"))
    with open(path, "r+b") as f:
        for name in file.names():
            x = file[name]
            entry = file.header[name]
            if "language_model.layers" not in name or x.ndim != 2 or entry["dtype"] != "BF16":
                continue
            x = on_grid(x)
            if name.endswith("layers.2.mlp.down_proj.weight"):
                x[3, 64:96] = np.linspace(-0.1, 0.13, 32)
            f.seek(file.base + entry["data_offsets"][0])
            f.write(bf16_bits(x).tobytes())


main()
