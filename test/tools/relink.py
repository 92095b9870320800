"""relink.py PROGRAM ELF OUT: OUT is ELF with the weights, tokenizer and manifest of PROGRAM (runtime/file.h): the same
model behind other machine code."""
import os
import shutil
import struct
import sys

ALIGN = 65536
TRAILER = struct.Struct("<6Q40siI8s")


def checksum(data):
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def main():
    program, elf, out = sys.argv[1:]
    with open(program, "rb") as f:
        data = f.read()
    *offsets, weights_id, abi, _, magic = TRAILER.unpack(data[-TRAILER.size:])
    shutil.copy(elf, out)
    start = offsets[0]
    moved = (os.path.getsize(out) + ALIGN - 1) // ALIGN * ALIGN - start
    sections = [at + moved if i % 2 == 0 else at for i, at in enumerate(offsets)]
    manifest = data[offsets[4]:offsets[4] + offsets[5]]
    trailer = lambda sum: TRAILER.pack(*sections, weights_id, abi, sum, magic)
    with open(out, "r+b") as f:
        f.seek(start + moved)
        f.write(data[start:-TRAILER.size] + trailer(checksum(trailer(0) + manifest)))


main()
