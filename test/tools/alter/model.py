"""A small Gemma 4 checkpoint in memory that can be altered and then written as a
folder or as a GGUF file. Four kinds, as in the released family: E has per-layer
embeddings, shared K/V and a double-wide MLP, D is dense with K = V on global
layers, M is D with experts, U is gemma4_unified. Must not know which alterations
there are, or who reads the files.

Weights are small integers times a power of two, so that BF16, F16, F32 and Q8_0
hold the same values; sqrt(hidden size) and sqrt(PLE width) are integers, so that
no embedding scale depends on the type of a file."""
import copy
import functools
import hashlib
import json
import math
import os
import struct
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import gguf
import make_checkpoint

KINDS = "EDMU"
EXAMPLES = os.path.join(HERE, "..", "..", "..", "examples")
PREFIX = "model.language_model."
ENDS = (1, 47, 40) # <eos>, <turn|>, <|tool_response>: the three that end a turn
PIECES = 441 # of nano's tokenizer; the seven of media, its last ones, follow


class Tensor:
    def __init__(self, dtype, shape, data):
        self.dtype, self.shape, self.data = dtype, list(shape), data

    def copy(self, **changes):
        return Tensor(**{**vars(self), **changes})


def read_json(*path):
    with open(os.path.join(*path)) as f:
        return json.load(f)


@functools.lru_cache
def tokenizer():
    """nano's tokenizer without the pieces that follow the letters."""
    t = read_json(EXAMPLES, "nano-e", "tokenizer.json")
    vocab = t["model"]["vocab"]
    media = sorted((i, name) for name, i in vocab.items() if i >= 2041)
    kept = {name: i for name, i in vocab.items() if i < PIECES}
    kept.update({name: PIECES + n for n, (_, name) in enumerate(media)})
    t["model"]["vocab"] = kept
    t["model"]["merges"] = [m for m in t["model"]["merges"] if "".join(m) in kept and m[0] in kept and m[1] in kept]
    for added in t["added_tokens"]:
        added["id"] = kept[added["content"]]
    return t


VOCAB = PIECES + 7


def config(kind):
    t = {
        "model_type": "gemma4_text", "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 96,
        "num_attention_heads": 4, "num_key_value_heads": 1 if kind == "E" else 2, "head_dim": 32, "global_head_dim": 64,
        "num_global_key_value_heads": None if kind == "E" else 1, "attention_k_eq_v": kind != "E",
        "sliding_window": 8, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "final_logit_softcapping": 30.0,
        "hidden_activation": "gelu_pytorch_tanh", "attention_bias": False, "attention_dropout": 0.0,
        "hidden_size_per_layer_input": 16 if kind == "E" else 0, "vocab_size_per_layer_input": VOCAB,
        "num_kv_shared_layers": 2 if kind == "E" else 0, "use_double_wide_mlp": kind == "E",
        "enable_moe_block": kind == "M", "num_experts": 8 if kind == "M" else None,
        "top_k_experts": 2 if kind == "M" else None, "moe_intermediate_size": 32 if kind == "M" else None,
        "use_bidirectional_attention": "vision" if kind in "DM" else None, "tie_word_embeddings": True,
        "rope_parameters": {
            "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}},
        "layer_types": ["full_attention" if x == "G" else "sliding_attention"
                        for x in {"E": "sGsG", "D": "ssG", "M": "sG", "U": "sG"}[kind]],
        "initializer_range": 0.02, "use_cache": True, "dtype": "bfloat16", "bos_token_id": 2, "eos_token_id": 1,
        "pad_token_id": 0}
    t["num_hidden_layers"] = len(t["layer_types"])
    root = {"architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4", "dtype": "bfloat16",
            "tie_word_embeddings": True, "vision_config": None, "audio_config": None, "initializer_range": 0.02,
            "image_token_id": PIECES + 2, "video_token_id": PIECES + 6, "audio_token_id": PIECES + 3,
            "boi_token_id": PIECES, "eoi_token_id": PIECES + 4, "boa_token_id": PIECES + 1,
            "eoa_token_index": PIECES + 5, "eos_token_id": list(ENDS), "transformers_version": "5.24.0"}
    if kind == "U":
        root.update(model_type="gemma4_unified", architectures=["Gemma4UnifiedForConditionalGeneration"])
        t["model_type"] = "gemma4_unified_text"
        for key in ("global_head_dim", "num_global_key_value_heads", "use_double_wide_mlp", "enable_moe_block",
                    "hidden_size_per_layer_input", "vocab_size_per_layer_input", "num_experts", "top_k_experts",
                    "moe_intermediate_size", "use_bidirectional_attention"):
            del t[key]
        t["per_layer_config"] = {"1": {"head_dim": 64, "num_key_value_heads": 1}}
    root["text_config"] = t
    return root


def numbers(name, shape):
    """Integers of at most 8 bits and the exponent of two that they are multiplied with."""
    count = math.prod(shape)
    k = np.frombuffer(hashlib.shake_128(name.encode()).digest(count), np.int8).astype(np.int16).clip(-127, 127)
    if name.endswith("layer_scalar"):
        return 80 + k // 8, -7
    if len(shape) == 1:
        # Scores of deviation near 2; layers that outweigh the embedding.
        return 128 + k // 4, -9 if "k_norm" in name else -6 if "post_" in name else -7
    if "embed_tokens_per_layer" in name:
        return k, -9
    return k, -round(math.log2(73 * math.sqrt(shape[-1])))


def encode(values, dtype):
    """Bytes of float32 values in a type that holds them."""
    if dtype == "BF16":
        return (values.astype("<f4").view(np.uint32) >> 16).astype("<u2").tobytes()
    return values.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8"}[dtype]).tobytes()


def decode(tensor):
    if tensor.dtype == "BF16":
        return (np.frombuffer(tensor.data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)
    kind = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}[tensor.dtype]
    return np.frombuffer(tensor.data, kind).astype(np.float32).reshape(tensor.shape)


def random_tensor(name, shape, dtype="BF16"):
    k, exponent = numbers(name, shape)
    return Tensor(dtype, shape, encode(np.ldexp(k.astype(np.float32), exponent), dtype))


@functools.lru_cache
def weights(kind, dead_kv=False):
    text = config(kind)["text_config"]
    return {name: random_tensor(kind + name, shape) for name, shape in make_checkpoint.tensors(text, dead_kv)}


def write_safetensors(path, entries, metadata={"format": "pt"}):
    """entries: pairs of name and tensor; a name may come twice."""
    parts, at = [], 0
    if metadata is not None:
        parts.append('"__metadata__":' + json.dumps(metadata))
    for name, t in entries:
        parts.append(json.dumps(name) + ":" + json.dumps(
            {"dtype": t.dtype, "shape": t.shape, "data_offsets": [at, at + len(t.data)]}))
        at += len(t.data)
    head = ("{" + ",".join(parts) + "}").encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(t.data for _, t in entries))


class Folder:
    """A checkpoint folder before it is written. `kept` are file names that
    write() leaves out, `raw` ones that it writes as they are, last."""

    def __init__(self, kind):
        self.kind = kind
        self.config = config(kind)
        self.generation = {"bos_token_id": 2, "do_sample": True, "eos_token_id": list(ENDS), "pad_token_id": 0,
                           "temperature": 1.0, "top_k": 64, "top_p": 0.95, "transformers_version": "5.24.0"}
        self.tokenizer = copy.deepcopy(tokenizer())
        nano = os.path.join(EXAMPLES, "nano-e" if kind == "E" else "nano-m")
        self.tokenizer_config = read_json(nano, "tokenizer_config.json")
        with open(os.path.join(nano, "chat_template.jinja"), newline="") as f:
            self.template = f.read()
        self.tensors = {PREFIX + name: t for name, t in weights(kind).items()}
        self.files = None # else a list of (file name, pairs of name and tensor, metadata)
        self.index = None # else what the index file holds
        self.raw, self.left_out = {}, set()

    @property
    def text(self):
        return self.config.get("text_config", self.config)

    def pieces(self):
        t = self.tokenizer
        return 1 + max([*t["model"]["vocab"].values(), *(a["id"] for a in t["added_tokens"])])

    def rename(self, change):
        self.tensors = {change(name): t for name, t in self.tensors.items()}

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        texts = {"config.json": self.config, "generation_config.json": self.generation,
                 "tokenizer.json": self.tokenizer, "tokenizer_config.json": self.tokenizer_config,
                 "model.safetensors.index.json": self.index}
        out = {name: json.dumps(value, indent=1, ensure_ascii=False).encode()
               for name, value in texts.items() if value is not None}
        if self.template is not None:
            out["chat_template.jinja"] = self.template.encode()
        out.update(self.raw)
        for name, data in out.items():
            if name not in self.left_out:
                os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
                with open(os.path.join(folder, name), "wb") as f:
                    f.write(data)
        for name, entries, metadata in self.files or [
                ("model.safetensors", list(self.tensors.items()), {"format": "pt"})]:
            if name not in self.left_out and name not in self.raw:
                write_safetensors(os.path.join(folder, name), entries, metadata)


#===-- GGUF -----------------------------------------------------------------===#

F32, F16, Q8_0, BF16 = 0, 1, 8, 30


def gguf_data(tensor, kind):
    """The values of a tensor in a GGUF type."""
    values = decode(tensor)
    if kind != Q8_0:
        return encode(values, {F32: "F32", F16: "F16", BF16: "BF16"}[kind])
    blocks = values.reshape(-1, 32)
    # Values are integers below 128 times one power of two.
    _, exponent = math.frexp(float(np.abs(values[values != 0]).min())) if values.any() else (0, 0)
    scale = 2.0 ** (exponent - 1)
    while not (np.abs(values / scale) <= 127).all():
        scale *= 2
    out = np.zeros(len(blocks), dtype=[("d", "<f2"), ("q", "i1", 32)])
    out["d"], out["q"] = scale, np.rint(blocks / scale)
    return out.tobytes()


def to_gguf(folder):
    """The file that a converter makes of a Folder that has not been altered."""
    t = folder.text
    file = gguf.Gguf()
    full = dict(config("D")["text_config"], **t)
    file.entries, factors = make_checkpoint.entries(full, "bf16")
    file.entries.update(gguf_tokenizer(folder))
    file.tensors = [gguf.Tensor("rope_freqs.weight", [len(factors)], F32, factors.tobytes())]
    for name, tensor in folder.tensors.items():
        if not name.startswith(PREFIX):
            continue
        short = name[len(PREFIX):]
        kind = F32 if len(tensor.shape) == 1 or "router" in short else BF16
        file.tensors.append(gguf.Tensor(make_checkpoint.gguf_name(short), tensor.shape[::-1], kind,
                                        gguf_data(tensor, kind)))
    return file


def gguf_tokenizer(folder):
    t = folder.tokenizer
    names = {i: name for name, i in t["model"]["vocab"].items()}
    special = {a["id"] for a in t["added_tokens"] if a["special"]}
    pieces, types = [], []
    for i in range(folder.pieces()):
        name = names.get(i, "[PAD%d]" % i)
        pieces.append(name.encode())
        byte = len(name) == 6 and name.startswith("<0x")
        types.append(3 if i in special else 6 if byte else 5 if i not in names else 1)
    S, A, U, I, F, B = (make_checkpoint.STRING, make_checkpoint.ARRAY, make_checkpoint.U32, make_checkpoint.I32,
                        make_checkpoint.F32, make_checkpoint.BOOL)
    e = {"model": (S, b"gemma4"), "tokens": (A, (S, pieces)), "scores": (A, (F, [0.0] * len(pieces))),
         "token_type": (A, (I, types)), "merges": (A, (S, [" ".join(m).encode() for m in t["model"]["merges"]])),
         "bos_token_id": (U, 2), "eos_token_id": (U, 47), "unknown_token_id": (U, 3), "padding_token_id": (U, 0),
         "add_bos_token": (B, True), "add_space_prefix": (B, False)}
    e = {"tokenizer.ggml." + key: value for key, value in e.items()}
    e["tokenizer.chat_template"] = (S, folder.template.encode())
    return e
