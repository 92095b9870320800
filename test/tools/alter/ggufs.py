"""Alterations of GGUF files, one function each. A function changes case.gguf and,
where the model itself becomes another, case.folder, which transformers answers
for. What is valid is what gguf 0.19 and llama.cpp's reader take. Must not know
who reads the file."""
import numpy as np

from . import model
from .case import MAY, MUST, SAME
from .model import BF16, F16, F32, PREFIX, Q8_0

import gguf
from make_checkpoint import ARRAY, BOOL, I32, STRING, U32
from make_checkpoint import F32 as F

U8, I8, U16, I16, U64, I64, F64 = 0, 1, 2, 3, 10, 11, 12
INTEGERS = {U8: 255, U16: 65535, U32: 2**32 - 1, I32: 2**31 - 1, U64: 2**63, I64: 2**63 - 1}
# Types of gguf 0.19 that hold no values that a folder holds too, by number: name, values and bytes of a block.
OTHER_TYPES = {2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 9: ("Q8_1", 32, 40),
               20: ("IQ4_NL", 32, 18), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
               28: ("F64", 1, 8), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 99: ("99", 32, 18)}


def order(case, r):
    r.shuffle(case.gguf.tensors)
    case.note("tensors in random order")


def entry_order(case, r):
    keys = list(case.gguf.entries)
    r.shuffle(keys)
    case.gguf.entries = {key: case.gguf.entries[key] for key in keys}
    case.note("entries in random order")


def types(case, r):
    """Other types with the same values."""
    to = r.choice([F32, F16, BF16, Q8_0, None])
    names = {model.make_checkpoint.gguf_name(name[len(PREFIX):]): t for name, t in case.folder.tensors.items()
             if name.startswith(PREFIX)}
    for t in case.gguf.tensors:
        source = names.get(t.name)
        if source is None or len(t.ne) == 1 and to == Q8_0:
            continue
        kind = r.choice([F32, F16, BF16, Q8_0]) if to is None else to
        if kind == Q8_0 and (len(t.ne) == 1 or t.ne[0] % 32):
            kind = F32
        if len(t.ne) > 1 or kind == F32 or r.random() < 0.3:
            t.kind, t.data = kind, model.gguf_data(source, kind)
    case.note(f"types {({F32: 'F32', F16: 'F16', BF16: 'BF16', Q8_0: 'Q8_0'}.get(to, 'mixed'))}")


def other_type(case, r):
    """A used tensor in a type of other values."""
    t = r.choice([t for t in case.gguf.tensors if len(t.ne) > 1])
    kind = r.choice([k for k, (_, per, _) in OTHER_TYPES.items() if t.ne[0] % per == 0])
    name, per, size = OTHER_TYPES[kind]
    t.kind, t.data = kind, bytes(int(np.prod(t.ne)) // per * size)
    readable = kind in (2, 3, 6, 7, 20)
    case.note(f"{t.name} of type {name}", t.name, name)
    case.rule = None if readable else MUST # zeros: no model that a folder is


def missing(case, r):
    t = r.choice(case.gguf.tensors)
    case.gguf.tensors.remove(t)
    case.note(f"without {t.name}", t.name, rule=MAY if t.name == "rope_freqs.weight" else MUST)


def twice(case, r):
    t = r.choice(case.gguf.tensors)
    case.gguf.tensors.append(gguf.Tensor(t.name, t.ne, t.kind, r.choice([t.data, bytes(len(t.data))])))
    case.note(f"{t.name} twice", t.name, rule=MUST)


def extra(case, r):
    name = r.choice(["blk.0.attn_q.bias", "v.patch_embd.weight", "mm.0.weight", "a.blk.0.ffn_up.weight", "blk.9.attn_q.weight",
                     "output.bias", "cls.weight", "blk.0.attn_rot_embd", "blk.0.attn_q.scale", "blk.0.attn_q.input_scale",
                     "nextn.weight"])
    kind = r.choice([F32, F16, 24, 28, 27])
    case.gguf.tensors.append(gguf.Tensor(name, [4], kind, bytes(4 * {F32: 4, F16: 2, 24: 1, 28: 8, 27: 8}[kind])))
    case.note(f"extra {name} of type {kind}", name, rule=MAY)


def wrong_shape(case, r):
    t = r.choice(case.gguf.tensors)
    ne = list(t.ne)
    t.ne, t.data = r.choice([(ne[:-1] + [2 * ne[-1]], t.data * 2), (ne + [2], t.data * 2), (ne + [1], t.data), ([1] + ne, t.data)])
    same = int(np.prod(t.ne)) == int(np.prod(ne)) and t.ne[:len(ne)] == ne
    case.note(f"{t.name} of shape {t.ne}", t.name, rule=MAY if same else MUST)


def dead_kv(case, r):
    if case.folder.kind != "E":
        return order(case, r)
    for name, t in model.weights("E", True).items():
        if PREFIX + name not in case.folder.tensors:
            kind = F32 if len(t.shape) == 1 else BF16
            case.gguf.tensors.append(gguf.Tensor(model.make_checkpoint.gguf_name(name), t.shape[::-1], kind, model.gguf_data(t, kind)))
    case.note("k/v of shared layers")


def head(case, r):
    f = case.folder
    embed = case.gguf.tensor("token_embd.weight")
    row = len(embed.data) // embed.ne[1]
    other = r.random() < 0.6
    data = embed.data[7 * row:] + embed.data[:7 * row] if other else embed.data
    case.gguf.tensors.insert(r.randrange(3), gguf.Tensor("output.weight", embed.ne, embed.kind, data))
    f.tensors["lm_head.weight"] = model.Tensor("BF16", embed.ne[::-1], data)
    f.config["tie_word_embeddings"] = f.text["tie_word_embeddings"] = not other
    case.note(f"{'other' if other else 'same'} output.weight", "output.weight")


def experts(case, r):
    if case.folder.kind != "M":
        return entry_order(case, r)
    gguf.split_experts(case.gguf)
    case.note("gate and up experts apart")


def parts(case, r):
    case.parts = r.randint(2, 4)
    case.note(f"{case.parts} parts")


def form(case, r):
    g = case.gguf
    how = r.choice(["alignment", "version 2", "version 1", "version 4", "cut", "lfs", "more bytes", "no tensors"])
    if how == "alignment":
        g.alignment = r.choice([8, 16, 64, 256, 4096])
        g.entries["general.alignment"] = (U32, g.alignment)
        case.note(f"alignment {g.alignment}")
        return
    case.form = how
    if how.startswith("version"):
        g.version = int(how[-1])
    rule = {"version 2": SAME, "more bytes": SAME}.get(how, MUST)
    case.note(f"form: {how}", "version" if "version" in how else "lfs" if how == "lfs" else "tensor", "size", "byte", "gguf", rule=rule)


OPTIONAL = ["general.name", "general.type", "general.quantization_version", "general.file_type", "gemma4.context_length",
            "gemma4.attention.value_length", "gemma4.attention.value_length_swa", "gemma4.rope.dimension_count",
            "gemma4.rope.dimension_count_swa", "gemma4.attention.shared_kv_layers", "gemma4.rope.freq_base_swa",
            "gemma4.final_logit_softcapping", "tokenizer.ggml.padding_token_id", "tokenizer.ggml.unknown_token_id",
            "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.scores",
            "tokenizer.ggml.token_type", "tokenizer.chat_template", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"]


def entry_removed(case, r):
    key = r.choice(OPTIONAL if r.random() < 0.6 else list(case.gguf.entries))
    case.gguf.entries.pop(key, None)
    harmless = key in OPTIONAL and key != "tokenizer.ggml.token_type" and not (key == "gemma4.attention.shared_kv_layers" and case.folder.kind == "E")
    if key == "tokenizer.ggml.tokens":
        case.chat = "none"
    case.note(f"without {key}", key, "shape", "tensor", rule=SAME if harmless and key != "gemma4.context_length" else MAY)


def entry_type(case, r):
    """The same number in another type of numbers, or one value as an array."""
    keys = [k for k, (kind, _) in case.gguf.entries.items() if kind in (U32, F, BOOL, ARRAY) and k.startswith(("gemma4.", "general."))]
    key = r.choice(keys)
    kind, value = case.gguf.entries[key]
    layers = case.folder.text["num_hidden_layers"]
    if kind == U32:
        if key.endswith(("head_count_kv", "feed_forward_length", "head_count", "sliding_window")) and r.random() < 0.5:
            new = ARRAY, (r.choice([I32, U32]), [value] * layers)
        else:
            to = r.choice([k for k, most in INTEGERS.items() if value <= most])
            new = to, value
    elif kind == F:
        new = F64, value
    elif kind == BOOL:
        new = U8, int(value)
    else:
        element, items = value
        new = ARRAY, (r.choice([U32, I32, U8, U64]) if element != BOOL else r.choice([U8, I32]), [int(x) for x in items])
    case.gguf.entries[key] = new
    case.note(f"{key} as type {new[0]}", key, rule=MAY)


def entry_wrong(case, r):
    keys = [k for k in case.gguf.entries if k.startswith("gemma4.")]
    key = r.choice(keys)
    kind, value = case.gguf.entries[key]
    new = r.choice([(STRING, b"text"), (ARRAY, (STRING, [b"a"])), (I32, -1), (ARRAY, (U32, [1])), (F, float("nan")), (U32, 2**31)])
    case.gguf.entries[key] = new
    case.note(f"{key} = {new}", key, key.removeprefix("gemma4."), "shape", "tensor")
    ignored = key.endswith(("context_length", "value_length", "value_length_swa", "dimension_count", "dimension_count_swa"))
    case.rule = MAY if ignored else MUST


def entry_more(case, r):
    for key, value in r.sample([
            ("general.author", (STRING, b"me")), ("general.tags", (ARRAY, (STRING, [b"a", b"b"]))), ("general.license", (STRING, b"")),
            ("general.base_model.count", (U32, 1)), ("general.size_label", (STRING, b"1B")), ("gemma4.unknown", (F64, float("inf"))),
            ("quantize.imatrix.file", (STRING, b"x")), ("tokenizer.ggml.pre", (STRING, b"gemma4")), ("gemma4.vocab_size", (U32, model.VOCAB)),
            ("x", (ARRAY, (ARRAY, [(U32, [1, 2]), (U32, [])]))), ("general.empty", (ARRAY, (U32, []))), ("a.b", (I64, -2**63)),
            ("tokenizer.huggingface.json", (STRING, b"{}")), ("tokenizer.ggml.add_eos_token", (BOOL, False)),
            ("general.sampling.temp", (F, 1.0)), ("tokenizer.chat_template.tool", (STRING, b"x"))], r.randint(1, 4)):
        case.gguf.entries[key] = value
        case.note(f"entry {key} = {value}", key)


def architecture(case, r):
    name = r.choice(["gemma3", "gemma4-assistant", "clip", "llama", "gemma3n", "mmproj", "", "diffusion-gemma", "gemma-embedding"])
    case.gguf.entries["general.architecture"] = (STRING, name.encode())
    if r.random() < 0.5:
        case.gguf.entries = {k.replace("gemma4.", name + ".") if k.startswith("gemma4.") else k: v for k, v in case.gguf.entries.items()}
    case.note(f"architecture '{name}'", name or "architecture", *(["mmproj"] if name == "clip" else []), rule=MUST)


def value(case, r):
    """Another legal value, in the folder too."""
    key, name, new = r.choice([
        ("gemma4.attention.layer_norm_rms_epsilon", "rms_norm_eps", 1e-3), ("gemma4.final_logit_softcapping", "final_logit_softcapping", 5.0),
        ("gemma4.attention.sliding_window", "sliding_window", 2), ("gemma4.attention.sliding_window", "sliding_window", 3),
        ("gemma4.context_length", "max_position_embeddings", 512), ("gemma4.expert_used_count", "top_k_experts", 3),
        ("gemma4.rope.freq_base", "full_attention", 5e4), ("gemma4.rope.freq_base_swa", "sliding_attention", 777.0)])
    if name == "top_k_experts" and case.folder.kind != "M":
        return value(case, r)
    case.gguf.entries[key] = (F if isinstance(new, float) else U32, new)
    if name in ("full_attention", "sliding_attention"):
        case.folder.text["rope_parameters"][name]["rope_theta"] = new
    else:
        case.folder.text[name] = new
    case.note(f"{key} = {new}", key)


def ends(case, r):
    """Which tokens end a text. llama.cpp adds those that its list of texts has."""
    v = model.VOCAB
    key, new = r.choice([("eos_token_id", 1), ("eos_token_id", 47), ("eos_token_id", v), ("eot_token_id", 47), ("eom_token_id", 1),
                         ("eos_token_ids", [1, 47]), ("eos_token_id", 2**32 - 1), ("suppress_tokens", [436, 122]),
                         ("suppress_tokens", []), ("suppress_tokens", [v + 3]), ("padding_token_id", 2**32 - 1),
                         ("bos_token_id", 2**32 - 1), ("eot_token_id", v + 9)])
    case.gguf.entries["tokenizer.ggml." + key] = (ARRAY, (I32, new)) if isinstance(new, list) else (U32, new)
    if key == "suppress_tokens" and new != [v + 3]:
        case.folder.generation["suppress_tokens"] = new
    case.note(f"{key} = {new}", key, rule=MAY if new in (v, 2**32 - 1, [v + 3], v + 9) else SAME)


def padded(case, r):
    """Rows beyond the tokenizer, with pieces that a converter makes up for them, or without."""
    rows, pieces = model.VOCAB + r.choice([8, 32]), r.choice([True, True, False])
    for name in ("token_embd.weight", "per_layer_token_embd.weight"):
        for t in case.gguf.tensors:
            if t.name == name:
                row = len(t.data) // t.ne[1]
                t.data += r.choice([bytes(row), t.data[9 * row:10 * row]]) * (rows - t.ne[1])
                t.ne = [t.ne[0], rows]
    if pieces:
        e = case.gguf.entries
        more = range(model.VOCAB, rows)
        for key, item in (("tokens", lambda i: b"[PAD%d]" % i), ("scores", lambda i: -1000.0), ("token_type", lambda i: 5)):
            kind, (element, items) = e["tokenizer.ggml." + key]
            e["tokenizer.ggml." + key] = kind, (element, items + [item(i) for i in more])
    case.note(f"padded to {rows} rows, {'with' if pieces else 'without'} pieces", "tokens", "rows", "token_embd",
              rule=SAME if pieces else MAY)


def pieces(case, r):
    e = case.gguf.entries
    how = r.choice(["scores", "types", "fewer", "merges", "no tokenizer", "model", "types i8"])
    key = "tokenizer.ggml." + {"scores": "scores", "types": "token_type", "fewer": "tokens", "types i8": "token_type",
                               "merges": "merges", "model": "model"}.get(how, "tokens")
    if how == "model":
        e[key] = (STRING, r.choice([b"llama", b"gpt2", b"none", b"bert"]))
    elif how == "no tokenizer":
        case.gguf.entries = {k: v for k, v in e.items() if not k.startswith("tokenizer.")}
        case.chat = None
    else:
        kind, (element, items) = e[key]
        e[key] = kind, ((U16 if how == "types i8" else element), items if how == "types i8" else items[:-r.randint(1, 3)])
    case.note(f"tokenizer: {how}", "token", "merge", rule=SAME if how == "no tokenizer" else MAY)


def template(case, r):
    how = r.choice(["none", "crlf", "unknown", "default too", "list"])
    key, text = "tokenizer.chat_template", case.folder.template.encode()
    e = case.gguf.entries
    if how == "none":
        del e[key]
    elif how == "crlf":
        e[key] = (STRING, text.replace(b"\n", b"\r\n"))
    elif how == "unknown":
        e[key] = (STRING, b"{{ messages }}")
    elif how == "default too":
        e["tokenizer.chat_templates"] = (ARRAY, (STRING, [b"tool_use"]))
        e["tokenizer.chat_template.tool_use"] = (STRING, b"x")
    else:
        e[key] = (ARRAY, (STRING, [text]))
        case.note("template as a list", "chat_template", rule=MAY)
    case.note(f"template: {how}")


GGUF = {order: 2, entry_order: 1, types: 5, other_type: 6, missing: 5, twice: 3, extra: 6, wrong_shape: 3, dead_kv: 2, head: 6,
        experts: 0, parts: 3, form: 4, entry_removed: 8, entry_type: 7, entry_wrong: 5, entry_more: 4, architecture: 3, value: 6,
        ends: 6, padded: 4, pieces: 4, template: 3}
MIXABLE = [order, entry_order, types, entry_more, parts, template]


def alter(case, r):
    case.gguf, case.parts, case.form = model.to_gguf(case.folder), 1, None
    weights = dict(GGUF)
    if case.folder.kind == "M":
        weights[experts] = 8
    chosen = r.choices(list(weights), list(weights.values()))[0]
    chosen(case, r)
    if r.random() < 0.3 and chosen not in (other_type, twice, form, extra, types, architecture, padded, wrong_shape, parts, template, head, experts):
        other = r.choice([x for x in MIXABLE if x is not chosen])
        other(case, r)


def write(case, path):
    """The file, or the first of its parts."""
    if case.parts > 1:
        return gguf.write_parts(case.gguf, path[:-len(".gguf")], case.parts)[0]
    if case.form == "no tensors":
        case.gguf.tensors = []
    with open(path, "wb") as f:
        data = case.gguf.header() + case.gguf.data()
        if case.form == "cut":
            data = data[:len(data) * 2 // 3]
        elif case.form == "more bytes":
            data += bytes(1000)
        elif case.form == "lfs":
            data = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064x\nsize 4123456\n" % 77
        f.write(data)
    return path
