#!/usr/bin/env python3
"""Makes of a Hugging Face folder with towers what llama.cpp's converter makes of it:
the GGUF file of its decoder and that of its towers.

  make_mmproj.py FOLDER [--model OUT.gguf] [--towers OUT.gguf] [--type f32|f16|bf16|q8_0]
                 [--older] [--without vision|audio] [--drop NAME] [--set KEY=VALUE]
                 [--add NAME] [--reshape NAME]

--type is that of the towers' matrices, where a row has whole blocks; norms, biases,
convolutions and position tables are F32, and so are patches unless F16. --older
writes one clip.projector_type and no longer one per tower; --drop leaves a tensor of
the towers out, --set writes a string, a number or true into their metadata (nothing
behind the equals sign: removes the key), --add adds a tensor of 3 values, --reshape
gives one a row more. Must not know how gemmac reads any of it."""
import argparse
import json
import os
import re
import sys

import numpy as np

import gguf
import make_checkpoint
import safetensors
from make_checkpoint import ARRAY, BOOL, F32, STRING, U32

KINDS = {"f32": 0, "f16": 1, "q8_0": 8, "bf16": 30}

# Beginnings of names, then endings, one after the other.
RENAMED = [
    (r"^vision_tower\.patch_embedder\.input_proj", "v.patch_embd"),
    (r"^vision_tower\.patch_embedder\.position_embedding_table$", "v.position_embd.weight"),
    (r"^vision_tower\.(std_bias|std_scale)$", r"v.\1"),
    (r"^vision_tower\.encoder\.layers\.", "v.blk."),
    (r"^vision_embedder\.patch_ln([12])", r"v.patch_norm.\1"),
    (r"^vision_embedder\.pos_norm", "v.patch_norm.3"),
    (r"^vision_embedder\.patch_dense", "v.patch_embd"),
    (r"^vision_embedder\.pos_embedding$", "v.position_embd.weight"),
    (r"^embed_vision\.embedding_projection", "mm.input_projection"),
    (r"^embed_audio\.embedding_projection", "mm.a.input_projection"),
    (r"^audio_tower\.subsample_conv_projection\.input_proj_linear", "a.input_projection"),
    (r"^audio_tower\.subsample_conv_projection\.layer([01])\.conv", r"a.conv1d.\1"),
    (r"^audio_tower\.subsample_conv_projection\.layer([01])\.norm", r"a.conv1d.\1.norm"),
    (r"^audio_tower\.output_proj", "a.pre_encode.out"),
    (r"^audio_tower\.layers\.", "a.blk."),
]
VISION = {"input_layernorm": "ln1", "pre_feedforward_layernorm": "ln2", "post_attention_layernorm": "attn_post_norm",
          "post_feedforward_layernorm": "ffn_post_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
          "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_out",
          "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
AUDIO = {"norm_pre_attn": "attn_pre_norm", "norm_post_attn": "attn_post_norm", "norm_out": "ln2",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.post": "attn_out",
         "self_attn.relative_k_proj": "attn_k_rel", "self_attn.per_dim_scale": "per_dim_scale.weight",
         "lconv1d.pre_layer_norm": "conv_norm", "lconv1d.conv_norm": "norm_conv", "lconv1d.linear_start": "conv_pw1",
         "lconv1d.linear_end": "conv_pw2", "lconv1d.depthwise_conv1d": "conv_dw"}
for number, ending in (1, ""), (2, "_1"):
    for theirs, ours in ("pre_layer_norm", "ffn_norm"), ("ffw_layer_1", "ffn_up"), ("ffw_layer_2", "ffn_down"), \
            ("post_layer_norm", "ffn_post_norm"):
        AUDIO[f"feed_forward{number}.{theirs}"] = ours + ending


def renamed(name):
    """The name of a tower's tensor in the file; None: it is none."""
    for pattern, text in RENAMED:
        short, count = re.subn(pattern, text, name)
        if not count:
            continue
        layer = re.match(r"([va]\.blk\.\d+\.)(.*)", short)
        if not layer:
            return short
        rest = layer[2].replace(".linear.weight", ".weight")
        table = VISION if short[0] == "v" else AUDIO
        stem = rest if rest in table else rest.rsplit(".", 1)[0]
        return layer[1] + table[stem] + rest[len(stem):]
    return None


def planes(values):
    """The last dimension, (y, x, channel), as (channel, y, x)."""
    return np.ascontiguousarray(np.moveaxis(values.reshape(*values.shape[:-1], -1, 3), -1, -2)).reshape(values.shape)


def stored(name, values, unified):
    """Values in the form and shape that the file has."""
    if not values.shape:
        return values.reshape(1)
    if name.startswith("v.patch_norm.1") or name == "v.patch_embd.weight":
        values = planes(values)
    if name == "v.patch_embd.weight" and not unified:
        side = round((values.shape[1] // 3) ** 0.5)
        values = values.reshape(len(values), 3, side, side)
    if name == "v.position_embd.weight" and unified:
        values = values.transpose(1, 0, 2)
    if "per_dim_scale" in name:
        values = np.log1p(np.exp(-np.abs(values.astype(np.float64)))) + np.maximum(values, 0)
    if "conv_dw" in name:
        values = values[:, 0]
    return np.ascontiguousarray(values, dtype=np.float32)


def kind_of(name, values, kind):
    if values.ndim == 1 or "position_embd" in name or "conv1d" in name or "conv_dw" in name or "per_dim_scale" in name:
        return "f32"
    if "patch_embd" in name:
        return "f16" if kind == "f16" else "f32"
    return "f16" if kind == "q8_0" and values.shape[-1] % 32 else kind


def encode(values, kind):
    if kind == "f32":
        return values.astype("<f4").tobytes()
    if kind == "f16":
        return values.astype("<f2").tobytes()
    if kind == "bf16":
        bits = values.astype("<f4").view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()
    blocks = values.reshape(-1, 32)
    out = np.zeros(len(blocks), dtype=[("d", "<f2"), ("q", "i1", 32)])
    out["d"] = np.abs(blocks).max(axis=1) / 127
    scale = out["d"].astype(np.float32)[:, None]
    out["q"] = np.clip(np.rint(blocks / np.where(scale == 0, 1, scale)), -127, 127)
    return out.tobytes()


def tensor(name, values, kind):
    return gguf.Tensor(name, values.shape[::-1], KINDS[kind], encode(values, kind))


def metadata(config, older):
    """What the converter writes of vision_config and audio_config."""
    hidden = config["text_config"]["hidden_size"]
    unified = config["model_type"] == "gemma4_unified"
    vision, audio = config.get("vision_config"), config.get("audio_config")
    e = {"general.architecture": (STRING, b"clip"), "general.type": (STRING, b"mmproj")}
    types = {}
    if vision:
        types["vision"] = "gemma4uv" if unified else "gemma4v"
        values = {"projection_dim": (U32, hidden), "image_size": (U32, 224), "patch_size": (U32, vision["patch_size"]),
                  "embedding_length": (U32, vision["mm_embed_dim" if unified else "hidden_size"]),
                  "feed_forward_length": (U32, vision.get("intermediate_size", 0)),
                  "block_count": (U32, vision.get("num_hidden_layers", 0)),
                  "attention.head_count": (U32, vision.get("num_attention_heads", 0)),
                  "attention.layer_norm_epsilon": (F32, 1e-6),
                  "image_mean": (ARRAY, (F32, [0.0] * 3)), "image_std": (ARRAY, (F32, [1.0] * 3))}
        e["clip.has_vision_encoder"] = BOOL, True
        e.update(("clip.vision." + key, value) for key, value in values.items())
    if audio:
        types["audio"] = "gemma4ua" if unified else "gemma4a"
        width = audio["audio_embed_dim" if unified else "hidden_size"]
        values = {"projection_dim": (U32, hidden), "embedding_length": (U32, width),
                  "feed_forward_length": (U32, 0 if unified else 4 * width),
                  "block_count": (U32, audio.get("num_hidden_layers", 0)),
                  "attention.head_count": (U32, audio.get("num_attention_heads", 0)),
                  "attention.layer_norm_epsilon": (F32, 1e-5), # as wrong as in files that are around
                  "num_mel_bins": (U32, 128)}
        e["clip.has_audio_encoder"] = BOOL, True
        e.update(("clip.audio." + key, value) for key, value in values.items())
    if older:
        e["clip.projector_type"] = STRING, next(iter(types.values())).encode()
    else:
        e.update((f"clip.{medium}.projector_type", (STRING, kind.encode())) for medium, kind in types.items())
    return e


def towers(config, source, a):
    config = {key: value for key, value in config.items() if key != f"{a.without}_config"}
    file = gguf.Gguf()
    file.entries = metadata(config, a.older)
    unified = config["model_type"] == "gemma4_unified"
    for name in source.names():
        short = renamed(name.removeprefix("model."))
        if not short or (a.without and short.startswith({"vision": ("v.", "mm.i"), "audio": ("a.", "mm.a")}[a.without])):
            continue
        values = stored(short, source[name], unified)
        if short == a.reshape:
            values = np.concatenate([values, values[:1]])
        if short != a.drop:
            file.tensors.append(tensor(short, values, kind_of(short, values, a.type)))
    if a.add:
        file.tensors.append(tensor(a.add, np.ones(3, np.float32), "f32"))
    for change in a.set:
        key, value = change.split("=")
        if not value:
            del file.entries[key]
        elif value in ("true", "false"):
            file.entries[key] = BOOL, value == "true"
        else:
            file.entries[key] = (U32, int(value)) if value.isdigit() else (STRING, value.encode())
    return file


def decoder(config, source, vocab):
    text = config["text_config"]
    file = gguf.Gguf()
    file.entries, factors = make_checkpoint.entries(text, "bf16")
    file.entries.update(make_checkpoint.tokenizer(text["vocab_size"], vocab))
    file.tensors = [gguf.Tensor("rope_freqs.weight", [len(factors)], 0, factors.tobytes())]
    for name in source.names():
        if name.startswith("model.language_model."):
            values = np.array(source[name])
            short = make_checkpoint.gguf_name(name.removeprefix("model.language_model."))
            file.tensors.append(tensor(short, values, "f32" if values.ndim == 1 else "bf16"))
    return file


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder"), a.add_argument("--model"), a.add_argument("--towers"), a.add_argument("--vocab")
    a.add_argument("--type", default="bf16", choices=list(KINDS)), a.add_argument("--older", action="store_true")
    a.add_argument("--without", choices=["vision", "audio"]), a.add_argument("--drop"), a.add_argument("--add")
    a.add_argument("--reshape"), a.add_argument("--set", action="append", default=[])
    a = a.parse_args()
    if not a.model and not a.towers:
        sys.exit("make_mmproj.py: expects --model, --towers or both")
    with open(os.path.join(a.folder, "config.json")) as f:
        config = json.load(f)
    source = safetensors.File(os.path.join(a.folder, "model.safetensors"))
    if a.model:
        decoder(config, source, a.vocab).write(a.model)
    if a.towers:
        towers(config, source, a).write(a.towers)


if __name__ == "__main__":
    main()
