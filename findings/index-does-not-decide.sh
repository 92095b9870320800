#!/bin/bash
# transformers 5.24.0 (torch 2.15.0, safetensors 0.8.0): in a checkpoint of several
# safetensors files, model.safetensors.index.json does not decide which file a
# tensor is taken from. weight_map only gives the list of files; of a tensor that
# two of them hold, the copy in the file that comes later by name is loaded, also
# if weight_map names the other file. No warning. Seen:
#   index names the first file:  loaded from the second
#   index names the second file: loaded from the second
#   files swapped, index names the first: loaded from the second
# Ends with 1 if any of that changes. Needs pip, some gigabytes and some minutes.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m pip install -q --target "$place/packages" torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 >"$place/log" 2>&1 ||
  { tail -3 "$place/log"; exit 2; }
PYTHONPATH=$place/packages HF_HUB_OFFLINE=1 python3 - "$place/model" <<'PY' | tee "$place/seen"
import json, sys
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, logging
logging.set_verbosity_error()
folder = sys.argv[1]
config = LlamaConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=32)
LlamaForCausalLM(config).save_pretrained(folder)
import os
from safetensors.torch import load_file
tensors = load_file(folder + "/model.safetensors")
os.remove(folder + "/model.safetensors")
name = "model.norm.weight"
files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def loaded(named, rest_in):
    """Where the tensor comes from: its values are 1 in the first file and 2 in the second."""
    for i, file in enumerate(files):
        held = {name: torch.full_like(tensors[name], i + 1.0)}
        if i == rest_in:
            held.update((k, t) for k, t in tensors.items() if k != name)
        save_file(held, f"{folder}/{file}", metadata={"format": "pt"})
    weight_map = {k: files[rest_in] for k in tensors}
    weight_map[name] = files[named]
    with open(folder + "/model.safetensors.index.json", "w") as f:
        json.dump({"metadata": {"total_size": 1}, "weight_map": dict(weight_map, **({"unused": files[1 - rest_in]}))}, f)
    return ["first", "second"][int(AutoModelForCausalLM.from_pretrained(folder).model.norm.weight[0].item()) - 1]


print("index names the first file:  loaded from the", loaded(0, 0))
print("index names the second file: loaded from the", loaded(1, 0))
print("files swapped, index names the first: loaded from the", loaded(0, 1))
PY
diff "$place/seen" - <<'SEEN'
index names the first file:  loaded from the second
index names the second file: loaded from the second
files swapped, index names the first: loaded from the second
SEEN
