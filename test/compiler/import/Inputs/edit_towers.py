"""edit_towers.py FOLDER OUT --drop PART | --rename FROM TO: a copy of a checkpoint
without the tensors whose names have PART in them, or with another part in names."""

import json
import os
import shutil
import struct
import sys

source, out, command, *words = sys.argv[1:]
shutil.rmtree(out, ignore_errors=True)
shutil.copytree(source, out)
path = os.path.join(out, "model.safetensors")
with open(path, "rb") as f:
    (size,) = struct.unpack("<Q", f.read(8))
    head, data = json.loads(f.read(size)), f.read()
head.pop("__metadata__", None)
kept, body = {}, b""
for name, entry in head.items():
    begin, end = entry["data_offsets"]
    if command == "--drop" and words[0] in name:
        continue
    if command == "--rename":
        name = name.replace(*words)
    kept[name] = dict(entry, data_offsets=[len(body), len(body) + end - begin])
    body += data[begin:end]
text = json.dumps(kept).encode()
with open(path, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + body)
