#!/bin/bash
# transformers 5.24.0 (torch 2.15.0): Gemma4ForCausalLM.from_pretrained on the
# folder of a Gemma4ForConditionalGeneration (every released Gemma 4 checkpoint is
# one) takes its configuration, but none of its weights: names differ by
# "language_model.", so all of them are drawn at random, which a report on
# standard error mentions. generate() and save_pretrained() then work with the
# random weights, so a "text only" export made in this way is a valid checkpoint
# of noise. AutoModelForCausalLM gives the multimodal class and loads all. Seen:
#   Gemma4ForCausalLM: 0 of 15 weights are the checkpoint's
#   AutoModelForCausalLM: 15 of 15 weights are the checkpoint's
#   saved by Gemma4ForCausalLM and read again: 0 of 15 weights are the checkpoint's
# Ends with 1 if any of that changes. Needs pip, some gigabytes and some minutes.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m pip install -q --target "$place/packages" torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 >"$place/log" 2>&1 ||
  { tail -3 "$place/log"; exit 2; }
PYTHONPATH=$place/packages HF_HUB_OFFLINE=1 python3 - "$place/model" 2>/dev/null <<'PY' | tee "$place/seen"
import sys
import torch
from transformers import AutoModelForCausalLM, Gemma4Config, Gemma4ForCausalLM, Gemma4ForConditionalGeneration
folder = sys.argv[1]
text = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
            vocab_size=64, vocab_size_per_layer_input=64, hidden_size_per_layer_input=0, layer_types=["full_attention"],
            num_kv_shared_layers=0, global_head_dim=16)
whole = Gemma4ForConditionalGeneration(Gemma4Config(text_config=text, vision_config=None, audio_config=None)).float()
with torch.no_grad():
    for i, t in enumerate(whole.parameters()):
        t.fill_(0.5 + i)
whole.save_pretrained(folder)
stored = {k.removeprefix("model.language_model."): t for k, t in whole.named_parameters() if k.startswith("model.language_model.")}


def same(model):
    found = {k.split("language_model.")[-1].removeprefix("model."): t for k, t in model.named_parameters()}
    return f"{sum(torch.equal(found[k], t) for k, t in stored.items())} of {len(stored)} weights are the checkpoint's"


alone = Gemma4ForCausalLM.from_pretrained(folder)
print("Gemma4ForCausalLM:", same(alone))
print("AutoModelForCausalLM:", same(AutoModelForCausalLM.from_pretrained(folder)))
alone.save_pretrained(folder + "-text")
print("saved by Gemma4ForCausalLM and read again:", same(AutoModelForCausalLM.from_pretrained(folder + "-text")))
PY
diff "$place/seen" - <<'SEEN'
Gemma4ForCausalLM: 0 of 15 weights are the checkpoint's
AutoModelForCausalLM: 15 of 15 weights are the checkpoint's
saved by Gemma4ForCausalLM and read again: 0 of 15 weights are the checkpoint's
SEEN
