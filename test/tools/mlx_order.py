#!/usr/bin/python3
"""Makes of a folder with an audio tower what mlx-vlm saves of it: kernels of
convolutions with their inputs last, names without the first word.

  mlx_order.py FOLDER OUT [--only NAME] [--taps-first]

--only: of that tensor alone. --taps-first: in an order that nobody has.
NAME is the end of a name. Must not know how gemmac reads any of it."""
import argparse
import os
import re
import shutil
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_tiny
import safetensors


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder"), p.add_argument("out"), p.add_argument("--only", default="")
    p.add_argument("--taps-first", action="store_true")
    a = p.parse_args()
    shutil.copytree(a.folder, a.out, dirs_exist_ok=True)
    path = os.path.join(a.out, "model.safetensors")
    source, entries = safetensors.File(path), []
    for name in source.names():
        entry = source.header[name]
        begin, end = entry["data_offsets"]
        kind = entry["dtype"]
        values = source.data[source.base + begin:source.base + end].view(np.uint32 if kind == "F32" else np.uint16)
        values = values.reshape(entry["shape"])
        if name.endswith(("conv.weight", "conv1d.weight")) and name.endswith(a.only):
            values = np.moveaxis(values, 1, -1) if not a.taps_first else values.T
        short = re.sub(r"^model\.", "", re.sub(r"^model\.language_model\.", "language_model.model.", name))
        entries.append((short, kind, list(values.shape), np.ascontiguousarray(values).tobytes()))
    make_tiny.write(path, entries)


main()
