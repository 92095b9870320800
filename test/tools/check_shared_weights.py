#!/usr/bin/python3
"""Programs, and files of weights beside them, have the same weights, byte for byte.

  check_shared_weights.py FILE FILE..."""
import hashlib
import os
import struct
import sys

TRAILER = struct.Struct("<6Q40siI8s") # gm_trailer of runtime/file.h


def weights(path):
    """The id and the hash of the bytes."""
    with open(path, "rb") as f:
        f.seek(-TRAILER.size, os.SEEK_END)
        offset, count, *_, name, _, _, magic = TRAILER.unpack(f.read())
        if magic != b"GEMMAC\0\1" or not count:
            sys.exit(f"FAIL: {path} is no file of gemmac with weights")
        f.seek(offset)
        return name.rstrip(b"\0").decode(), hashlib.sha256(f.read(count)).hexdigest()


if len(sys.argv) < 3:
    sys.exit(__doc__)
seen = {path: weights(path) for path in sys.argv[1:]}
for path, (name, digest) in seen.items():
    print(f"{name} {digest} {path}")
same = len(set(seen.values())) == 1
print("PASS" if same else "FAIL")
sys.exit(0 if same else 1)
