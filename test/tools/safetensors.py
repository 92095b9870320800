"""Reads safetensors files as NumPy arrays (bf16 as float32)."""
import json
import struct

import numpy as np

TYPES = {"F32": np.float32, "F16": np.float16, "I16": np.int16, "I32": np.int32, "I64": np.int64, "U8": np.uint8,
         "F64": np.float64}


class File:
    def __init__(self, path):
        self.data = np.memmap(path, dtype=np.uint8, mode="r")
        (size,) = struct.unpack("<Q", self.data[:8].tobytes())
        self.header = json.loads(self.data[8:8 + size].tobytes())
        self.metadata = self.header.pop("__metadata__", {})
        self.base = 8 + size

    def __contains__(self, name):
        return name in self.header

    def __getitem__(self, name):
        entry = self.header[name]
        a, b = entry["data_offsets"]
        raw = self.data[self.base + a:self.base + b]
        if entry["dtype"] == "BF16":
            bits = np.frombuffer(raw.tobytes(), np.uint16).astype(np.uint32) << 16
            return bits.view(np.float32).reshape(entry["shape"])
        return np.frombuffer(raw.tobytes(), TYPES[entry["dtype"]]).reshape(entry["shape"])

    def names(self):
        return list(self.header)
