"""Random members of the model family: a legal configuration and weights from a
seed, written as a checkpoint in one of the forms that checkpoints have. Must not
know how they are compiled or checked."""
import json
import os
import random
import shutil

import numpy as np

import make_checkpoint
import make_tiny

DTYPES = ("bf16", "f16", "f32")


def layer_types(r, layers):
    kind = r.choice(["default", "global", "sliding", "mixed", "mixed", "first", "fourth"])
    glob = {"default": lambda i: i % 6 == 5, "global": lambda i: True, "sliding": lambda i: False,
            "mixed": lambda i: r.random() < 0.4, "first": lambda i: i == 0, "fourth": lambda i: i % 4 == 3}[kind]
    types = ["full_attention" if glob(i) else "sliding_attention" for i in range(layers)]
    return kind == "default", types


def most_shared(types):
    """How many of the last layers can read another layer's keys and values."""
    return max(n for n in range(len(types)) if set(types[len(types) - n:]) <= set(types[:len(types) - n]))


def rope(r, glob, dim):
    if r.random() < (0.8 if glob else 0.2):
        return {"rope_type": "proportional", "rope_theta": r.choice([1e6, 1e5, 5e6]),
                "partial_rotary_factor": r.choice([0.25, 0.25, 0.5, 1.0])}
    return {"rope_type": "default", "rope_theta": r.choice([1e4, 1e4, 5e5, 1000.0])}


def heads(r, t):
    """Query heads, K/V heads and head sizes; at most 2,048 lanes of queries."""
    t["head_dim"] = r.choice([32, 32, 64, 96, 128, 256])
    t["global_head_dim"] = r.choice([32, 64, 64, 96, 128, 256, 512])
    widest = max(t["head_dim"], t["global_head_dim"])
    h = t["num_attention_heads"] = r.choice([n for n in (1, 2, 3, 4, 5, 6, 8, 12, 16) if n * widest <= 2048])
    divisors = [n for n in range(1, h + 1) if h % n == 0]
    t["num_key_value_heads"] = r.choice(divisors)
    t["attention_k_eq_v"] = r.random() < 0.5
    t["num_global_key_value_heads"] = r.choice(divisors) if t["attention_k_eq_v"] else None
    return divisors


def text_config(r):
    """What the decoder is, in the older spelling, and whether layer_types is the default."""
    layers = r.choice([1, 1, 2, 3, 4, 5, 6, 6, 7, 8, 12])
    default, types = layer_types(r, layers)
    forced = types[-1] == "sliding_attention" # and a reader takes full_attention
    written = list(types)
    types[-1] = "full_attention"
    t = {"num_hidden_layers": layers, "layer_types": types,
         "hidden_size": r.choice([48, 64, 72, 96, 100, 128, 130, 160, 256, 33, 75]),
         "intermediate_size": r.choice([40, 64, 96, 100, 128, 33, 320]),
         "vocab_size": r.choice([70, 101, 128, 256, 1000, 2048, 17]), "sliding_window": r.choice([1, 2, 8, 64, 100, 512]),
         "max_position_embeddings": r.choice([1024, 4096, 131072]), "hidden_activation": "gelu_pytorch_tanh"}
    heads(r, t)
    t["num_kv_shared_layers"] = r.choice([0, 0, most_shared(types), r.randint(0, most_shared(types))])
    t["use_double_wide_mlp"] = r.random() < 0.4
    p = t["hidden_size_per_layer_input"] = r.choice([0, 0, 16, 32, 48])
    if p:
        t["vocab_size_per_layer_input"] = t["vocab_size"] + r.choice([0, 0, 5])
    t["enable_moe_block"] = r.random() < 0.4
    if t["enable_moe_block"]:
        t["num_experts"] = r.choice([2, 3, 4, 8, 16, 33, 64])
        t["top_k_experts"] = r.choice([1, 2, r.randint(1, 8), 8])
        t["top_k_experts"] = min(t["top_k_experts"], t["num_experts"])
        t["moe_intermediate_size"] = r.choice([24, 40, 32, 64, 33])
    if r.random() < 0.8:
        t["rms_norm_eps"] = r.choice([1e-6, 1e-5, 1e-8, 1e-3])
    if r.random() < 0.8:
        t["final_logit_softcapping"] = r.choice([30.0, 5.0, 50.0, None])
    if r.random() < 0.7:
        t["rope_parameters"] = {"sliding_attention": rope(r, False, t["head_dim"]),
                                "full_attention": rope(r, True, t["global_head_dim"])}
    t["tie_word_embeddings"] = r.random() < 0.7
    return t, None if default and r.random() < 0.5 else written if forced else types


def respell(r, t):
    """The newer spelling: a map from layers to what differs, in place."""
    shape = {"head_dim": t.pop("global_head_dim")}
    kv = t.pop("num_global_key_value_heads")
    if t["attention_k_eq_v"] and kv:
        shape["num_key_value_heads"] = kv
    glob = [i for i, kind in enumerate(t["layer_types"]) if kind == "full_attention"]
    digits = len(str(glob[-1]))
    t["per_layer_config"] = {f"{i:0{digits}}": dict(shape) for i in glob}


# What sees, for models of which only the decoder matters.
PLAIN_TOWER = {"model_type": "gemma4_vision", "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 1,
               "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "position_embedding_size": 64, "patch_size": 16,
               "pooling_kernel_size": 3, "standardize": False, "use_clipped_linears": False}
PLAIN_CELLS = {"model_type": "gemma4_unified_vision", "mm_embed_dim": 48, "mm_posemb_size": 24, "patch_size": 16,
               "pooling_kernel_size": 3, "output_proj_dims": 48}


def vision_config(r, unified):
    """A tower over patches, or none."""
    if unified:
        v = {"model_type": "gemma4_unified_vision", "mm_embed_dim": r.choice([24, 33, 48, 64, 75]),
             "mm_posemb_size": r.choice([7, 24, 40]), "patch_size": r.choice([2, 3, 4, 16]), "pooling_kernel_size": 3}
        return dict(v, output_proj_dims=v["mm_embed_dim"])
    large = r.random() < 0.5
    heads = r.choice([1, 2, 3, 4])
    v = {"model_type": "gemma4_vision", "hidden_size": r.choice([24, 33, 48, 64, 75, 96, 100]),
         "intermediate_size": r.choice([17, 40, 64, 96, 100]), "num_hidden_layers": r.choice([1, 2, 3]),
         "num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": r.choice([4, 8, 12, 20, 32, 36, 72]),
         "position_embedding_size": r.choice([9, 16, 65]), "patch_size": r.choice([2, 3, 8, 16]), "pooling_kernel_size": 3,
         "standardize": large if r.random() < 0.7 else not large, "use_clipped_linears": not large}
    if r.random() < 0.3:
        v["rms_norm_eps"] = r.choice([1e-5, 1e-3])
    return v


def audio_config(r, unified):
    """A conformer, or none."""
    if unified:
        return {"model_type": "gemma4_unified_audio", "audio_embed_dim": r.choice([24, 33, 64, 640])}
    heads = r.choice([1, 2, 3, 4])
    return {"model_type": "gemma4_audio", "hidden_size": 2 * heads * r.choice([3, 5, 8, 16]), "num_attention_heads": heads,
            "num_hidden_layers": r.choice([1, 2, 3]), "output_proj_dims": r.choice([24, 33, 64, 100]),
            "subsampling_conv_channels": [r.choice([3, 8, 32]), r.choice([2, 5, 16])],
            "conv_kernel_size": r.choice([5, 5, 1, 3]), "use_clipped_linears": r.random() < 0.7}


def widen(r, name, c):
    """What released towers have one value of. Pictures become up to 70 soft rows."""
    if name == "audio":
        if "hidden_size" in c:
            c.update(attention_context_left=r.choice([13, 13, 2, 7, 40]), attention_logit_cap=r.choice([50.0, 50.0, 5.0]),
                     residual_weight=r.choice([0.5, 0.5, 1.0, 0.3]),
                     subsampling_conv_channels=[r.choice([16, 48, 128]), r.choice([16, 32, 64])])
        return
    pool = c["pooling_kernel_size"] = r.choice([1, 2, 3, 3])
    c["default_output_length"] = 70
    if "mm_posemb_size" in c:
        c["mm_posemb_size"] = r.choice([70, 71, 96])
        return
    c["head_dim"] = r.choice([c["head_dim"], 40, 64, 72])
    c["position_embedding_size"] = 70 * pool + r.choice([0, 1, 30])
    if r.random() < 0.4:
        c["rope_parameters"] = {"rope_type": "default", "rope_theta": r.choice([30.0, 1000.0, 10000.0])}


def vision_tensors(v, hidden):
    """Names, behind "model.", and shapes."""
    if "mm_embed_dim" in v:
        d, values = v["mm_embed_dim"], (v["patch_size"] * v["pooling_kernel_size"]) ** 2 * 3
        for name, size in ("patch_ln1", values), ("patch_ln2", d), ("pos_norm", d):
            yield f"vision_embedder.{name}.weight", [size]
            yield f"vision_embedder.{name}.bias", [size]
        yield "vision_embedder.patch_dense.weight", [d, values]
        yield "vision_embedder.patch_dense.bias", [d]
        yield "vision_embedder.pos_embedding", [v["mm_posemb_size"], 2, d]
        yield "embed_vision.embedding_projection.weight", [hidden, d]
        return
    d, heads, ffn = v["hidden_size"], v["num_attention_heads"] * v["head_dim"], v["intermediate_size"]
    yield "vision_tower.patch_embedder.input_proj.weight", [d, v["patch_size"] ** 2 * 3]
    yield "vision_tower.patch_embedder.position_embedding_table", [2, v["position_embedding_size"], d]
    linears = {"self_attn.q_proj": [heads, d], "self_attn.k_proj": [heads, d], "self_attn.v_proj": [heads, d],
               "self_attn.o_proj": [d, heads], "mlp.gate_proj": [ffn, d], "mlp.up_proj": [ffn, d], "mlp.down_proj": [d, ffn]}
    for i in range(v["num_hidden_layers"]):
        n = f"vision_tower.encoder.layers.{i}."
        for norm in "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm":
            yield n + norm + ".weight", [d]
        for norm in "q_norm", "k_norm":
            yield n + f"self_attn.{norm}.weight", [v["head_dim"]]
        yield from linear_tensors(n, linears, v["use_clipped_linears"])
    if v["standardize"]:
        yield "vision_tower.std_bias", [d]
        yield "vision_tower.std_scale", [d]
    yield "embed_vision.embedding_projection.weight", [hidden, d]


def linear_tensors(front, linears, clipped):
    for name, shape in linears.items():
        yield f"{front}{name}.linear.weight", shape
        for bound in ("input_min", "input_max", "output_min", "output_max") if clipped else ():
            yield f"{front}{name}.{bound}", []


def audio_tensors(a, hidden):
    if "audio_embed_dim" in a:
        yield "embed_audio.embedding_projection.weight", [hidden, a["audio_embed_dim"]]
        return
    d, before = a["hidden_size"], 1
    for i, channels in enumerate(a["subsampling_conv_channels"]):
        n = f"audio_tower.subsample_conv_projection.layer{i}."
        yield n + "conv.weight", [channels, before, 3, 3]
        yield n + "norm.weight", [channels]
        before = channels
    yield "audio_tower.subsample_conv_projection.input_proj_linear.weight", [d, 32 * before]
    linears = {"self_attn.q_proj": [d, d], "self_attn.k_proj": [d, d], "self_attn.v_proj": [d, d], "self_attn.post": [d, d],
               "lconv1d.linear_start": [2 * d, d], "lconv1d.linear_end": [d, d]}
    for ffn in "feed_forward1", "feed_forward2":
        linears.update({f"{ffn}.ffw_layer_1": [4 * d, d], f"{ffn}.ffw_layer_2": [d, 4 * d]})
    for i in range(a["num_hidden_layers"]):
        n = f"audio_tower.layers.{i}."
        for norm in ("feed_forward1.pre_layer_norm", "feed_forward1.post_layer_norm", "feed_forward2.pre_layer_norm",
                     "feed_forward2.post_layer_norm", "norm_pre_attn", "norm_post_attn", "norm_out", "lconv1d.pre_layer_norm",
                     "lconv1d.conv_norm"):
            yield f"{n}{norm}.weight", [d]
        yield n + "self_attn.relative_k_proj.weight", [d, d]
        yield n + "self_attn.per_dim_scale", [d // a["num_attention_heads"]]
        yield n + "lconv1d.depthwise_conv1d.weight", [d, 1, a["conv_kernel_size"]]
        yield from linear_tensors(n, linears, a["use_clipped_linears"])
    yield "audio_tower.output_proj.weight", [a["output_proj_dims"], d]
    yield "audio_tower.output_proj.bias", [a["output_proj_dims"]]
    yield "embed_audio.embedding_projection.weight", [hidden, a["output_proj_dims"]]


def generation(r, vocab):
    ids = lambda n: sorted(r.sample(range(vocab), n))
    g = {"eos_token_id": r.choice([1, ids(3), ids(max(1, vocab // 20))])}
    if r.random() < 0.6:
        g["suppress_tokens"] = ids(max(1, vocab // 8))
    return g


class Model:
    """A configuration (`text`: what it means; `root`: config.json) and its checkpoint.
    With `towers` it sees, hears or both; what it is without them stays the same."""

    def __init__(self, seed, towers=False):
        r = self.r = random.Random(seed)
        self.text, written = text_config(r)
        self.generation = generation(r, self.text["vocab_size"]) if r.random() < 0.7 else None
        kind = r.choice(["gemma4", "gemma4", "gemma4_text", "gemma4_unified"])
        t = self.text
        if kind == "gemma4_unified": # knows no such keys
            t.update(hidden_size_per_layer_input=0, enable_moe_block=False)
        if r.random() < 0.4:
            respell(r, t)
        file = dict(t)
        if kind == "gemma4_unified" and r.random() < 0.5:
            file.update(hidden_size_per_layer_input=16, enable_moe_block=True, num_experts=4, top_k_experts=2)
        file.pop("layer_types")
        if written:
            file["layer_types"] = written
        flat = kind == "gemma4_text"
        file["model_type"] = kind if flat else kind + "_text"
        self.prefix = "model." if flat or r.random() < 0.2 else "model.language_model."
        self.root = file if flat else {"model_type": kind, "text_config": file,
                                       "tie_word_embeddings": t["tie_word_embeddings"]}
        self.dead_kv = r.random() < 0.5
        self.stored_head = not t["tie_word_embeddings"] or r.random() < 0.2
        self.dtype = r.choice(["bf16", "bf16", "f32", "f16", "mixed"])
        self.shards = r.choice([1, 1, 2, 4])
        self.loud = r.choice([1.0, 1.0, 4.0]) # how far logits reach
        self.seed = seed
        self.towers, self.tokenizer = {}, []
        if towers:
            self.add_towers(random.Random(f"towers {seed}"))

    def add_towers(self, r):
        if "text_config" not in self.root:
            self.root = {"model_type": "gemma4", "text_config": dict(self.root, model_type="gemma4_text"),
                         "tie_word_embeddings": self.text["tie_word_embeddings"]}
            self.prefix = "model.language_model."
        unified = self.root["model_type"] == "gemma4_unified"
        which = r.choice([("vision",), ("audio",), ("vision", "audio"), ("vision", "audio")])
        for name, make in ("vision", vision_config), ("audio", audio_config):
            config = make(r, unified)
            if name in which:
                self.towers[name] = config
        self.root.update({f"{name}_config": config for name, config in self.towers.items()})

    def tower_tensors(self):
        hidden = self.text["hidden_size"]
        for name, list_of in ("vision", vision_tensors), ("audio", audio_tensors):
            if name in self.towers:
                yield from list_of(self.towers[name], hidden)

    def take_conversation(self, tokenizer):
        """Has towers of more kinds and the tokenizer of a folder, its size and marks."""
        r = random.Random(f"conversation {self.seed}")
        for name, config in self.towers.items():
            widen(r, name, config)
        with open(os.path.join(tokenizer, "config.json")) as f:
            known = json.load(f)
        self.root.update({key: value for key, value in known.items() if key.endswith(("_token_id", "_token_index"))})
        self.known = known["text_config"]["vocab_size"] # ids that a tokenizer has
        vocab = max(r.choice([self.text["vocab_size"], 500, 1030]), self.text["vocab_size"], self.known)
        more, self.has_blocks = r.choice([0, 0, 5]), r.random() < 0.5
        for text in self.text, self.root["text_config"]:
            text["vocab_size"] = vocab
            text["use_bidirectional_attention"] = "vision" if self.has_blocks else None
            if text["hidden_size_per_layer_input"]:
                text["vocab_size_per_layer_input"] = vocab + more
        self.tokenizer = [os.path.join(tokenizer, name) for name in ("tokenizer.json", "tokenizer_config.json")]

    def take_media(self, blocks):
        """The decoder takes rows of media, `blocks`: of images whose rows see each other."""
        self.has_blocks = blocks
        if "text_config" not in self.root:
            file = self.root
            file["model_type"] = "gemma4_text"
            self.root = {"model_type": "gemma4", "text_config": file,
                         "tie_word_embeddings": self.text["tie_word_embeddings"]}
        unified = self.root["model_type"] == "gemma4_unified"
        self.towers["vision"] = self.root["vision_config"] = dict(PLAIN_CELLS if unified else PLAIN_TOWER)
        self.root["text_config"]["use_bidirectional_attention"] = "vision" if blocks else None

    def describe(self):
        t = self.text
        kinds = "".join("G" if k == "full_attention" else "s" for k in t["layer_types"])
        return (f"{self.root['model_type']}{' blocks' if getattr(self, 'has_blocks', False) else ''} {kinds} D{t['hidden_size']} H{t['num_attention_heads']}/"
                f"{t['num_key_value_heads']} hd{t['head_dim']}/"
                f"{t.get('global_head_dim') or next(iter(t['per_layer_config'].values()))['head_dim']}"
                f"{' K=V' if t['attention_k_eq_v'] else ''} W{t['sliding_window']} F{t['intermediate_size']}"
                f" V{t['vocab_size']} P{t['hidden_size_per_layer_input']} shared{t['num_kv_shared_layers']}"
                f"{' E%d/%d/%d' % (t['num_experts'], t['top_k_experts'], t['moe_intermediate_size']) if t['enable_moe_block'] else ''}"
                f" {self.dtype} x{self.shards}{''.join(f' {name} {config}' for name, config in self.towers.items())}")

    def values(self, name, shape, rng):
        x = np.asarray(rng.standard_normal(shape, dtype=np.float32))
        if name.endswith("put_min"):
            return -1.5 + 0.3 * x
        if name.endswith("put_max"):
            return 1.5 + 0.3 * x
        if name.endswith(".bias") or name.endswith("std_bias"):
            return 0.2 * x
        if "position" in name or "pos_embedding" in name:
            return 0.5 * x
        if name.endswith("k_norm.weight"):
            return (1 + 0.2 * x) * np.float32(2 / np.sqrt(shape[0])) # scores of deviation 2
        if name.endswith("layer_scalar"):
            return 0.7 + 0.1 * x
        if "embed_tokens_per_layer" in name:
            return 0.1 * x
        if len(shape) == 1:
            return (self.loud if name == "norm.weight" else 1) * (1 + 0.2 * x)
        return x / np.float32(np.sqrt(shape[-1]))

    def tensors(self, rng):
        for name, shape in make_checkpoint.tensors(self.text, self.dead_kv):
            kind = self.dtype if self.dtype != "mixed" else self.r.choice(DTYPES)
            yield self.prefix + name, kind, shape, encode(self.values(name, shape, rng), kind)
        for name, shape in self.tower_tensors():
            kind = self.dtype if self.dtype != "mixed" else self.r.choice(DTYPES)
            yield "model." + name, kind, shape, encode(self.values(name, shape, rng), kind)

    def write(self, folder, salt=0):
        """`salt` makes other weights of the same shapes."""
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(folder):
            os.remove(os.path.join(folder, name))
        entries = list(self.tensors(np.random.default_rng([self.seed, salt])))
        if self.stored_head:
            _, kind, shape, data = entries[0]
            entries.append(("lm_head.weight", kind, shape, data if self.text["tie_word_embeddings"] else
                            data[len(data) // 2 & -4:] + data[:len(data) // 2 & -4]))
        dump(folder, "config.json", self.root)
        if self.generation:
            dump(folder, "generation_config.json", self.generation)
        for path in self.tokenizer:
            shutil.copy(path, folder)
        self.r.shuffle(entries)
        if self.shards == 1:
            return make_tiny.write(os.path.join(folder, "model.safetensors"), entries)
        names = {}
        for s in range(self.shards):
            file_name = f"model-{s + 1:05}-of-{self.shards:05}.safetensors"
            make_tiny.write(os.path.join(folder, file_name), entries[s::self.shards])
            names.update((entry[0], file_name) for entry in entries[s::self.shards])
        dump(folder, "model.safetensors.index.json", {"metadata": {}, "weight_map": names})


def dump(folder, name, value):
    with open(os.path.join(folder, name), "w") as f:
        json.dump(value, f, indent=1)


def encode(values, kind):
    if kind == "f32":
        return values.astype("<f4").tobytes()
    if kind == "f16":
        return values.astype("<f2").tobytes()
    bits = values.astype("<f4").view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()
