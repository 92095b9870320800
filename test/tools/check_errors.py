#!/usr/bin/env python3
"""Feeds gemmac broken inputs and checks exit code and words of each refusal.

check_errors.py GEMMAC EXAMPLES WORK [CASE...]   (names of the functions below)

EXAMPLES holds nano-e (one file) and nano-m (two shards); WORK is an empty
folder. Every case is a copy of one of them, or of a GGUF file in
test/golden/gguf, with one thing broken. Besides the
code and the words: exactly one error line, no output or temporary file left.
"""
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gguf

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDENS = os.path.join(HERE, "..", "golden")
GOLDEN = os.path.join(GOLDENS, "gguf")
CASES = []


def case(code, *words, model="nano-e", args=(), output=None, file_limit=None):
    """Registers a function that breaks the checkpoint in `folder`; "=IN/" in an
    argument is that folder. `output` replaces the program's path; no file may grow beyond `file_limit` bytes."""

    def add(function):
        CASES.append((function, code, words, model, args, output, file_limit))
        return function

    return add


# Helpers: a checkpoint's files are links until a case replaces them.


def write(folder, name, data):
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        os.remove(path)
    with open(path, "wb") as out:
        out.write(data if isinstance(data, bytes) else data.encode())


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def edit_json(folder, name, change):
    value = json.loads(read(folder, name))
    change(value)
    write(folder, name, json.dumps(value))


def edit_text_config(folder, **fields):
    def change(config):
        for key, value in fields.items():
            if value is ...:
                del config["text_config"][key]
            else:
                config["text_config"][key] = value

    edit_json(folder, "config.json", change)


def edit_header(folder, change, name="model.safetensors"):
    """Rewrites the header; `change` gets the dictionary of entries."""
    data = read(folder, name)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    text = change(header)
    text = (text or json.dumps(header)).encode()
    write(folder, name, struct.pack("<Q", len(text)) + text + data[8 + length :])


PREFIX = "model.language_model."
UP = PREFIX + "layers.1.mlp.up_proj.weight"

# The folder.


@case(3, "no such folder")
def no_folder(folder):
    shutil.rmtree(folder)


@case(3, "neither a folder nor a GGUF file")
def a_file(folder):
    shutil.rmtree(folder)
    with open(folder, "w") as out:
        out.write("x")


@case(3, "config.json", "no such file")
def no_config(folder):
    os.remove(folder + "/config.json")


@case(3, "no safetensors", "model.safetensors")
def no_tensors(folder):
    os.remove(folder + "/model.safetensors")


# config.json.


@case(3, "config.json", "JSON", "byte")
def config_not_json(folder):
    write(folder, "config.json", '{"model_type": "gemma4",')


@case(3, "config.json", "JSON")
def config_empty(folder):
    write(folder, "config.json", "")


@case(3, "config.json", "deeper than 64")
def config_deep(folder):
    write(folder, "config.json", "[" * 1000000)


@case(3, "config.json", "duplicate key")
def config_duplicate(folder):
    text = read(folder, "config.json").decode()
    write(folder, "config.json", text.replace("{", '{"model_type": "x",', 1))


@case(3, "config.json", "bytes", "at most")
def config_huge(folder):
    write(folder, "config.json", b" " * (17 << 20))


@case(3, "hidden_size", "missing")
def field_missing(folder):
    edit_text_config(folder, hidden_size=...)


@case(3, "num_hidden_layers", "1 to 1024", "1000000000000")
def field_absurd(folder):
    edit_text_config(folder, num_hidden_layers=10**12)


@case(3, "head_dim", '"x"')
def field_of_other_type(folder):
    edit_text_config(folder, head_dim="x")


@case(4, "use_bidirectional_attention", "all")
def bidirectional(folder):
    edit_text_config(folder, use_bidirectional_attention="all")


@case(3, "eos_token_id", "token ids", "<eos>")
def stop_id_is_a_text(folder):
    edit_json(folder, "generation_config.json", lambda g: g.update(eos_token_id="<eos>"))


# One safetensors file.


@case(3, "model.safetensors", "truncated")
def tensors_empty(folder):
    write(folder, "model.safetensors", b"")


@case(3, "model.safetensors", "header length", "truncated")
def header_truncated(folder):
    write(folder, "model.safetensors", read(folder, "model.safetensors")[:1000])


@case(3, "model.safetensors", "header length")
def header_too_long(folder):
    data = read(folder, "model.safetensors")
    write(folder, "model.safetensors", struct.pack("<Q", 1 << 60) + data[8:])


@case(3, "model.safetensors", "JSON", "byte")
def header_not_json(folder):
    edit_header(folder, lambda h: '{"a":')


@case(3, "outside", "truncated")
def data_truncated(folder):
    write(folder, "model.safetensors", read(folder, "model.safetensors")[:-1000])


@case(3, "after the last tensor")
def data_too_long(folder):
    write(folder, "model.safetensors", read(folder, "model.safetensors") + b"12345")


@case(3, UP, "overlaps")
def tensors_overlap(folder):
    def change(header):
        begin, end = header[UP]["data_offsets"]
        header[UP]["data_offsets"] = [begin - 2, end - 2]

    edit_header(folder, change)


@case(3, UP, "outside")
def offsets_outside(folder):
    def change(header):
        begin, end = header[UP]["data_offsets"]
        header[UP]["data_offsets"] = [begin + (1 << 40), end + (1 << 40)]

    edit_header(folder, change)


@case(3, "duplicate key", UP)
def tensor_twice(folder):
    def change(header):
        text = json.dumps(header)
        return text[:-1] + ', "%s": %s}' % (UP, json.dumps(header[UP]))

    edit_header(folder, change)


@case(3, UP, "dtype", "Q4")
def dtype_unknown(folder):
    edit_header(folder, lambda h: h[UP].update(dtype="Q4"))


@case(3, UP, "expects", "bytes")
def shape_against_bytes(folder):
    edit_header(folder, lambda h: h[UP].update(shape=[1, 2, 3]))


# What people have instead of a model.

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


def named(name, function):
    function.__name__ = name
    return function


def pointer_instead(name):
    return named("lfs_pointer_" + name, lambda folder: write(folder, name, LFS))


for name in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"):
    case(3, name, "git-lfs pointer", "git lfs pull")(pointer_instead(name))
for name in ("model.safetensors.index.json", "model-00002-of-00002.safetensors"):
    case(3, name, "git-lfs pointer", "git lfs pull", model="nano-m")(pointer_instead(name))


@case(3, "config.json", "a web page", "fetch it again")
def web_page(folder):
    write(folder, "config.json", "<!DOCTYPE html><html>")


OTHER_FORMS = [
    (4, "adapter_config.json", "describes an adapter (such as LoRA)", "merge it"), (3, "x-Q4_0.gguf", "a model of its own", "pass that file"),
    (4, "consolidated.safetensors", "layout of Meta or Mistral", "convert"), (4, "pytorch_model.bin", "pickle format", "save_pretrained"),
    (4, "pytorch_model.bin.index.json", "pickle format", "save_pretrained"), (4, "pytorch_model-00001-of-00002.bin", "pickle format", "save_pretrained"),
    (4, "consolidated.00.pth", "pickle format", "save_pretrained"), (4, "last.ckpt", "pickle format", "save_pretrained"),
    (4, "__0_0.distcp", "distributed checkpoint", "export"), (4, "weights.npz", "NumPy arrays (older MLX)", "convert"),
    (4, "tf_model.h5", "another framework", "convert"), (4, "flax_model.msgpack", "another framework", "convert"),
    (4, "model.onnx", "another framework", "convert"), (4, "gemma.litertlm", "another framework", "convert")]


def other_form(name, *gone):
    def change(folder):
        for file in gone:
            os.remove(os.path.join(folder, file))
        write(folder, name, "x")

    return named("form_%s_%d" % (name, len(gone)), change)


for code, name, *words in OTHER_FORMS:
    case(code, "no safetensors", "'%s'" % name, *words)(other_form(name, "model.safetensors"))
for code, name, *words in OTHER_FORMS[:4]:
    case(code, "no config.json", "'%s'" % name, *words)(other_form(name, "model.safetensors", "config.json"))


@case(4, "a model and an adapter", "merge the adapter")
def adapter_and_model(folder):
    write(folder, "adapter_config.json", "{}")
    write(folder, "adapter_model.safetensors", "x")


@case(3, "no safetensors")
def trainers_files_alone(folder):
    os.remove(folder + "/model.safetensors")
    for name in "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth":
        write(folder, name, "x")


# The others are in config_test.cpp.
OTHER_MODELS = {"gemma3": "Gemma 3", "diffusion_gemma": "DiffusionGemma", "embedding_gemma2": "EmbeddingGemma 2", "gemma4_assistant": "drafter",
                "llama": "not supported"}
for name, what in OTHER_MODELS.items():
    case(4, "model_type \"%s\" is" % name, what, "supported are gemma4, gemma4_unified")(
        named("model_" + name, lambda folder, name=name: edit_json(folder, "config.json", lambda c: c.update(model_type=name))))


# Tensors of a kind that is not read. A case changes one matrix as its tool does.

def tensors_of(folder, change, config=None):
    """`change` gets {name: (dtype, shape, bytes)} of model.safetensors."""
    data = read(folder, "model.safetensors")
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {n: (e["dtype"], e["shape"], data[8 + length + e["data_offsets"][0] : 8 + length + e["data_offsets"][1]])
               for n, e in header.items()}
    change(tensors)
    header, at = {}, 0
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode()
    write(folder, "model.safetensors", struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values()))
    if config:
        edit_json(folder, "config.json", lambda c: c.update(config))


def raw(dtype, *shape):
    bits = {"BF16": 16, "BOOL": 8}.get(dtype) or int("".join(c for c in dtype.split("_")[0] if c.isdigit()))
    count = bits
    for n in shape:
        count *= n
    return dtype, list(shape), bytes(count // 8)


MATRIX = UP[: -len("weight")]
ROWS, COLUMNS = 224, 160
# Name, words, what becomes of UP, what comes beside it, config.json.
KINDS = [
    ("mlx", ("MLX",), raw("U32", ROWS, 20), {"scales": raw("BF16", ROWS, 5), "biases": raw("BF16", ROWS, 5)}, {"quantization": {"bits": 4}}),
    ("mlx_mxfp4", ("MLX",), raw("U32", ROWS, 20), {"scales": raw("U8", ROWS, 5)}, {"quantization": {"mode": "mxfp4"}}),
    ("compressed_tensors", ("compressed-tensors",), None,
     {"weight_packed": raw("I32", ROWS, 20), "weight_scale": raw("BF16", ROWS, 5), "weight_shape": raw("I64", 2)},
     {"quantization_config": {"quant_method": "compressed-tensors"}}),
    ("compressed_tensors_int8", ("compressed-tensors",), raw("I8", ROWS, COLUMNS), {"weight_scale": raw("BF16", ROWS, 1)},
     {"quantization_config": {"quant_method": "compressed-tensors"}}),
    ("awq", ("AWQ", '"awq"'), None, {"qweight": raw("I32", COLUMNS, 28), "qzeros": raw("I32", 5, 28), "scales": raw("F16", 5, ROWS)},
     {"quantization_config": {"quant_method": "awq"}}),
    ("gptq", ("GPTQ", '"gptq"'), None,
     {"qweight": raw("I32", 20, ROWS), "qzeros": raw("I32", 5, 28), "scales": raw("F16", 5, ROWS), "g_idx": raw("I32", COLUMNS)},
     {"quantization_config": {"quant_method": "gptq"}}),
    ("nf4", ("bitsandbytes (NF4)",), raw("U8", ROWS * COLUMNS // 2, 1),
     {"weight.absmax": raw("U8", 560), "weight.quant_map": raw("F32", 16), "weight.quant_state.bitsandbytes__nf4": raw("U8", 80)},
     {"quantization_config": {"quant_method": "bitsandbytes"}}),
    ("fp4", ("bitsandbytes (FP4)",), raw("U8", ROWS * COLUMNS // 2, 1), {"weight.quant_state.bitsandbytes__fp4": raw("U8", 80)}, None),
    ("int8", ("bitsandbytes (int8)",), raw("I8", ROWS, COLUMNS), {"SCB": raw("F32", ROWS), "weight_format": raw("U8")}, None),
    ("fp8_blocks", ("FP8",), raw("F8_E4M3", ROWS, COLUMNS), {"weight_scale_inv": raw("F32", 2, 2)}, {"quantization_config": {"quant_method": "fp8"}}),
    ("fp8", ("FP8", "F8_E4M3"), raw("F8_E4M3", ROWS, COLUMNS), {"weight_scale": raw("F32")}, None),
    ("fp8_alone", ("FP8", "F8_E5M2"), raw("F8_E5M2", ROWS, COLUMNS), {}, None),
    ("nvfp4", ("NVFP4",), raw("U8", ROWS, COLUMNS // 2), {"weight_scale": raw("F8_E4M3", ROWS, 10), "weight_scale_2": raw("F32")}, None),
    ("torchao", ("torchao",), None, {"_weight_qdata": raw("I8", ROWS, COLUMNS), "_weight_scale": raw("F32", ROWS)},
     {"quantization_config": {"quant_method": "torchao"}}),
    ("hqq", ("HQQ",), None, {"W_q": raw("U8", ROWS, 80)}, None),
]
for name, words, own, beside, config in KINDS:
    def quantise(tensors, own=own, beside=beside):
        tensors.pop(UP)
        tensors.update({MATRIX + n: t for n, t in beside.items()} | ({UP: own} if own else {}))

    case(4, "model.safetensors: tensor 'model.language_model.layers.1.mlp.up_proj.", "quantised with", *words, "use the checkpoint in bf16, f16 or f32")(
        named("kind_" + name, lambda folder, change=quantise, config=config: tensors_of(folder, change, config)))

for name in ("lora_A.weight", "lora_B.default.weight", "lora_magnitude_vector", "base_layer.weight", "modules_to_save.default.weight", "hada_w1_a",
             "lokr_w1", "ia3_l"):
    case(4, MATRIX + name, "an adapter (such as LoRA) that is not merged", "merge_and_unload")(
        named("adapter_" + name, lambda folder, name=name: tensors_of(folder, lambda t: t.update({MATRIX + name: raw("BF16", 8, COLUMNS)}))))


@case(4, "base_model.model.model", "an adapter", "not merged")
def adapter_around_all(folder):
    def change(tensors):
        for name in list(tensors):
            new = "base_model.model." + name
            tensors[new.replace("up_proj.weight", "up_proj.base_layer.weight")] = tensors.pop(name)

    tensors_of(folder, change)


@case(4, UP, "F64", "F32, F16 or BF16")
def tensor_in_double(folder):
    tensors_of(folder, lambda t: t.update({UP: raw("F64", ROWS, COLUMNS)}))


@case(3, "lm_head.weight", "is missing")
def head_missing(folder):
    edit_json(folder, "config.json", lambda c: c.update(tie_word_embeddings=False))


@case(3, "embed_tokens.weight", "is missing")
def embedding_missing(folder):
    def change(tensors):
        tensors["lm_head.weight"] = tensors.pop(PREFIX + "embed_tokens.weight")

    tensors_of(folder, change, {"tie_word_embeddings": False})


@case(3, "lm_head.weight", "expects shape [2048, 160]", "[3]")
def head_of_other_shape(folder):
    tensors_of(folder, lambda t: t.update({"lm_head.weight": raw("BF16", 3)}))


# Tensors against the model.


def rename(header, old, new):
    header[new] = header.pop(old)


@case(3, "layers.1.mlp.up_proj.weight")
def tensor_missing(folder):
    edit_header(folder, lambda h: rename(h, UP, "model.vision_tower.stray.weight"))


@case(3, "layers.1.mlp.sideways.weight", args=["--no-vision"]) # nothing misses the table
def tensor_unknown(folder):
    def change(header):
        rename(header, "model.vision_tower.patch_embedder.position_embedding_table",
               PREFIX + "layers.1.mlp.sideways.weight")

    edit_header(folder, change)


@case(3, "layers.1.mlp.up_proj.weight", "224", "160")
def tensor_of_other_shape(folder):
    edit_header(folder, lambda h: h[UP]["shape"].reverse())


@case(4, "layers.1.mlp.up_proj.weight", "I16", "F32, F16 or BF16")
def tensor_of_other_type(folder):
    edit_header(folder, lambda h: h[UP].update(dtype="I16"))


@case(3, "model.norm.weight", "no place", args=["--no-vision"])
def tensor_under_two_names(folder):
    def change(header):
        rename(header, "model.vision_tower.patch_embedder.position_embedding_table",
               "model.norm.weight")

    edit_header(folder, change)


# Values.


def infinite(folder, name, row, column):
    """Makes a value of a matrix infinite."""
    path = "model.safetensors"
    data = bytearray(read(folder, path))
    (length,) = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8 : 8 + length])[name]
    assert entry["dtype"] == "BF16"
    at = 8 + length + entry["data_offsets"][0] + 2 * (row * entry["shape"][1] + column)
    data[at : at + 2] = b"\x80\x7f"
    write(folder, path, bytes(data))


@case(3, "model.safetensors: tensor '%s'" % UP, "finite", "inf", "[7, 11]")
def value_infinite(folder):
    infinite(folder, UP, 7, 11)


@case(3, "layers.1.mlp.up_proj.weight", "inf", "[7, 11]", args=["--quant=f32"])
def value_infinite_as_f32(folder):
    infinite(folder, UP, 7, 11)


@case(3, "embed_tokens.weight", "inf", "[2000, 159]", args=["--quant=q8"])
def value_infinite_in_embedding(folder):
    infinite(folder, PREFIX + "embed_tokens.weight", 2000, 159)


@case(3, "embed_tokens_per_layer.weight", "inf", "[2047, 3]", args=["--quant=q4"])
def value_infinite_in_per_layer_embedding(folder):
    infinite(folder, PREFIX + "embed_tokens_per_layer.weight", 2047, 3)


# Shards.

INDEX = "model.safetensors.index.json"
FIRST = "model-00001-of-00002.safetensors"
SECOND = "model-00002-of-00002.safetensors"


@case(3, SECOND, "missing shard", model="nano-m")
def shard_missing(folder):
    os.remove(os.path.join(folder, SECOND))


@case(3, INDEX, "JSON", model="nano-m")
def index_not_json(folder):
    write(folder, INDEX, "{")


@case(3, INDEX, "weight_map", model="nano-m")
def index_without_map(folder):
    write(folder, INDEX, "{}")


@case(3, INDEX, "model.safetensors", "has both", "is missing", model="nano-m")
def index_and_a_foreign_file(folder):
    header = json.dumps({PREFIX + "norm.weight": {"dtype": "BF16", "shape": [160], "data_offsets": [0, 320]}})
    write(folder, "model.safetensors", struct.pack("<Q", len(header)) + header.encode() + bytes(320))


@case(3, "model.safetensors.index.json is missing", "2 files", model="nano-m")
def index_lacks_for_odd_names(folder):
    os.remove(os.path.join(folder, INDEX))
    os.rename(os.path.join(folder, SECOND), os.path.join(folder, "b.safetensors"))
    os.rename(os.path.join(folder, FIRST), os.path.join(folder, "a.safetensors"))


@case(3, "model.safetensors.index.json is missing", FIRST, "1 more of 2", model="nano-m")
def index_lacks(folder):
    os.remove(os.path.join(folder, INDEX))


@case(3, "model.safetensors.index.json is missing", SECOND, "0 more of 2", model="nano-m")
def one_shard_alone(folder):
    os.remove(os.path.join(folder, INDEX))
    os.remove(os.path.join(folder, FIRST))


@case(3, "norm.weight", "is missing", "lists it in " + SECOND, "does not hold it", model="nano-m")
def index_lists_what_no_file_holds(folder):
    edit_header(folder, lambda h: rename(h, PREFIX + "norm.weight", "model.vision_tower.stray.weight"), SECOND)


@case(3, ".safetensors file", "../secret", model="nano-m")
def index_leaves_the_folder(folder):
    path = "../secret.safetensors"
    edit_json(folder, INDEX, lambda i: i["weight_map"].update({"model.stray": path}))


@case(3, SECOND, "duplicate", model="nano-m")
def tensor_in_two_shards(folder):
    def change(header):
        header[PREFIX + "embed_tokens.weight"] = {
            "dtype": "U8", "shape": [0], "data_offsets": [0, 0]}

    edit_header(folder, change, SECOND)


# Tokenizer.


@case(3, "tokenizer.json", "JSON", "byte")
def tokenizer_not_json(folder):
    write(folder, "tokenizer.json", "{")


@case(3, "tokenizer.json")
def tokenizer_without_model(folder):
    write(folder, "tokenizer.json", "{}")


@case(3, "tokenizer.json", "at most 2048 pieces", "got 2049")
def tokenizer_of_a_larger_model(folder):
    edit_json(folder, "tokenizer.json", lambda tokenizer: tokenizer["model"]["vocab"].update(stray=2048))


@case(4, "--chat-template=large", "<|turn>", args=["--chat-template=large"])
def chat_without_its_tokens(folder):
    def change(tokenizer):
        tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if t["content"] != "<|turn>"]
        tokenizer["model"]["vocab"]["stray"] = tokenizer["model"]["vocab"].pop("<|turn>")

    edit_json(folder, "tokenizer.json", change)
    edit_json(folder, "tokenizer_config.json", lambda config: config.pop("sot_token"))


# The command line.


@case(2, "--no-such-flag", args=["--no-such-flag"])
def flag_unknown(folder):
    pass


@case(2, "--quant", args=["--quant=q1"])
def format_unknown(folder):
    pass


@case(3, "in/map:2: expects format f32,", "got 'q5'", args=["--quant-map=IN/map"])
def quant_map_word(folder):
    write(folder, "map", "# by name\n* q5\n")


@case(3, "in/absent: cannot read the map", args=["--quant-map=IN/absent"])
def quant_map_absent(folder):
    pass


@case(2, "no-such-target", args=["--target=no-such-target"])
def target_unknown(folder):
    pass


# The output.


@case(5, "/proc/gemmac", output="/proc/gemmac")
def output_not_writable(folder):
    pass


@case(5, "p", file_limit=1 << 20)
def disk_full(folder):
    pass


# GGUF files: a case changes the file of `model`, written as in.gguf.


def gguf_case(code, *words, model="nano-e-Q4_0.gguf", args=()):
    """Registers a function that changes a gguf.Gguf, or returns the file's bytes."""

    def add(function):
        def breaks(folder):
            file = gguf.Gguf(os.path.join(GOLDEN, model))
            data = function(file)
            if not isinstance(data, bytes):
                data = file.header() + file.data()
            write(folder, "in.gguf", data)

        breaks.__name__ = function.__name__
        CASES.append((breaks, code, words, None, args, None, None))
        return function

    return add


@gguf_case(3, "magic", "GGUF")
def gguf_magic(file):
    return b"GGML" + (file.header() + file.data())[4:]


@gguf_case(3, "truncated")
def gguf_short(file):
    return b"GGUF\x03\0\0\0"


@gguf_case(3, "truncated")
def gguf_half_header(file):
    return file.header()[:50000]


@gguf_case(3, "beyond the data", "truncated")
def gguf_half_data(file):
    return file.header() + file.data()[:1000000]


@gguf_case(4, "version 1")
def gguf_old(file):
    file.version = 1


@gguf_case(4, "version 4", "too old")
def gguf_new(file):
    file.version = 4


@gguf_case(4, "big endian")
def gguf_big_endian(file):
    file.version = 3 << 24


@gguf_case(3, "tensors", "at most")
def gguf_many_tensors(file):
    return file.header(counts=(1 << 63, len(file.entries))) + file.data()


@gguf_case(3, "metadata keys", "fit")
def gguf_many_keys(file):
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 60000) + bytes(1000)


@gguf_case(3, "overlaps")
def gguf_overlap(file):
    return file.header(offsets=[0] * len(file.tensors)) + file.data()


@gguf_case(3, "multiple of 32")
def gguf_unaligned(file):
    return file.header(offsets=list(range(len(file.tensors)))) + file.data()


@gguf_case(3, "blk.3.ffn_up.weight", "of layer 3", "missing")
def gguf_missing(file):
    file.tensors = [t for t in file.tensors if t.name != "blk.3.ffn_up.weight"]


@gguf_case(3, "blk.3.attn_v.weight", "of layer 3", "missing")
def gguf_no_values(file):
    file.tensors = [t for t in file.tensors if t.name != "blk.3.attn_v.weight"]


@gguf_case(3, "blk.3.ffn_up.weight", "shape", "metadata")
def gguf_shape(file):
    file.tensor("blk.3.ffn_up.weight").ne.reverse()


@gguf_case(3, "blk.3.ffn_up.bias", "has no place")
def gguf_unknown_tensor(file):
    file.tensors.append(gguf.Tensor("blk.3.ffn_up.bias", [224], 0, bytes(896)))


@gguf_case(3, "blk.3.ffn_up.weight", "stands twice")
def gguf_twice(file):
    file.tensors.append(file.tensor("blk.3.ffn_up.weight"))


# Number, name, values and bytes of a block of the types of gguf 0.19 that are not read.
GGUF_TYPES = [(9, "Q8_1", 32, 40), (10, "Q2_K", 256, 84), (11, "Q3_K", 256, 110), (15, "Q8_K", 256, 292), (16, "IQ2_XXS", 256, 66),
              (17, "IQ2_XS", 256, 74), (18, "IQ3_XXS", 256, 98), (19, "IQ1_S", 256, 50), (20, "IQ4_NL", 32, 18), (21, "IQ3_S", 256, 110),
              (22, "IQ2_S", 256, 82), (23, "IQ4_XS", 256, 136), (24, "I8", 1, 1), (25, "I16", 1, 2), (26, "I32", 1, 4), (27, "I64", 1, 8),
              (28, "F64", 1, 8), (29, "IQ1_M", 256, 56), (34, "TQ1_0", 256, 54), (35, "TQ2_0", 256, 66), (39, "MXFP4", 32, 17),
              (40, "NVFP4", 64, 36), (41, "Q1_0", 128, 18)]


def gguf_of_type(file, kind, values, size):
    t = file.tensor("blk.3.ffn_up.weight")
    rows = t.ne[0] * t.ne[1] // (t.ne[0] - t.ne[0] % -values)
    t.ne, t.kind = [t.ne[0] - t.ne[0] % -values, rows], kind
    t.data = bytes(t.ne[0] * rows // values * size)


for number, name, values, size in GGUF_TYPES:
    gguf_case(4, "blk.3.ffn_up.weight", "got %s;" % name, "Q4_0")(named("gguf_type_" + name, lambda file, n=number, v=values, s=size: gguf_of_type(file, n, v, s)))


@gguf_case(4, "blk.3.ffn_up.weight", "unknown type 99", "Q4_0")
def gguf_type_unknown(file):
    file.tensor("blk.3.ffn_up.weight").kind = 99


for architecture, what in [("llama", "not supported"), ("gemma3", "is Gemma 3"), ("gemma3n", "is Gemma 3n"), ("gemma-embedding", "vectors, not text"),
                           ("gemma4-assistant", "drafter"), ("clip", "towers")]:
    gguf_case(4, architecture if architecture != "clip" else "mmproj", what)(named(
        "gguf_architecture_" + architecture, lambda file, a=architecture: file.entries.update({"general.architecture": (gguf.STRING, a.encode())})))

for kind, what in [("mmproj", "towers"), ("adapter", "an adapter"), ("imatrix", "statistics")]:
    gguf_case(4, what)(named("gguf_kind_" + kind, lambda file, k=kind: file.entries.update({"general.type": (gguf.STRING, k.encode())})))


@gguf_case(3, "git-lfs pointer", "git lfs pull")
def gguf_lfs_pointer(file):
    return LFS.encode()


@gguf_case(3, "holds no tensors")
def gguf_vocabulary_alone(file):
    file.tensors = []


@gguf_case(3, "gemma4.attention.head_count", "missing")
def gguf_no_heads(file):
    del file.entries["gemma4.attention.head_count"]


@gguf_case(4, "rope_freqs.weight", "pair 3")
def gguf_rope(file):
    t = file.tensor("rope_freqs.weight")
    t.data = t.data[:12] + struct.pack("<f", 2.0) + t.data[16:]


@gguf_case(3, "tensor 'blk.3.ffn_up.weight'", "finite", "[1, 32]")
def gguf_scale_is_no_number(file):
    t = file.tensor("blk.3.ffn_up.weight")
    at = (t.ne[0] // 32 + 1) * 18
    t.data = t.data[:at] + b"\xff\x7f" + t.data[at + 2 :]


@gguf_case(4, "tokenizer.ggml.model", "gpt2")
def gguf_other_tokenizer(file):
    file.entries["tokenizer.ggml.model"] = (gguf.STRING, b"gpt2")


@gguf_case(3, "tokenizer.ggml.merges", "left right")
def gguf_merge(file):
    file.entries["tokenizer.ggml.merges"][1][1][5] = b"abc"


@gguf_case(3, "part 1 of 2", "-00001-of-00002.gguf")
def gguf_part(file):
    file.entries.update({"split.no": (2, 0), "split.count": (2, 2)})


# Files of towers: a case changes that of GOLDEN's tiny-e-mm, which stands beside the decoder.


def towers_case(code, *words, model="tiny-e-mm", text=None, **options):
    """Registers a case of make_mmproj.py's `options`; `text`: the decoder is that of another model."""

    def add(name):
        def breaks(folder):
            for source, out in ((text or model, "in.gguf"), (model, "towers.gguf")):
                more = [f"--{'model' if out == 'in.gguf' else 'towers'}={os.path.join(folder, out)}"]
                if out == "towers.gguf":
                    more += [f"--{key}={value}" for key, values in options.items()
                             for value in (values if isinstance(values, list) else [values])]
                subprocess.run([sys.executable, os.path.join(HERE, "make_mmproj.py"), os.path.join(GOLDENS, source), *more], check=True)

        breaks.__name__ = name
        CASES.append((breaks, code, words, None, ["--mmproj=IN/towers.gguf"], None, None))

    return add


TOWERS = "towers.gguf: "
towers_case(4, TOWERS, "clip.vision.projector_type \"gemma3\"", "gemma4v and gemma4uv", set="clip.vision.projector_type=gemma3")("towers_projector")
towers_case(4, TOWERS, "clip.audio.projector_type \"ultravox\"", "gemma4a", set="clip.audio.projector_type=ultravox")("towers_audio_projector")
towers_case(4, TOWERS, "clip.projector_type \"qwen2vl_merger\"", without="audio",
            set=["clip.vision.projector_type=", "clip.projector_type=qwen2vl_merger"])("towers_older_projector")
towers_case(3, TOWERS, "clip.vision.projector_type is missing", set="clip.vision.projector_type=")("towers_no_projector")
towers_case(3, TOWERS, "clip.has_vision_encoder", "clip.has_audio_encoder",
            set=["clip.has_vision_encoder=false", "clip.has_audio_encoder="])("towers_without_any")
towers_case(3, TOWERS, "projectors of one model", "gemma4uv", "gemma4a", set="clip.vision.projector_type=gemma4uv")("towers_mixed")
towers_case(3, TOWERS, "gemma4uv", "in.gguf", "per-layer embeddings", model="tiny-u-mm", text="tiny-e-mm")("towers_of_12b")
towers_case(3, TOWERS, "gemma4a", "width of 32", "in.gguf", "64 wide", model="conformer", text="tiny-e-mm")("towers_width")
towers_case(3, TOWERS, "clip.audio.projection_dim", "2560", set="clip.audio.projection_dim=2560")("towers_projection_dim")
towers_case(3, TOWERS, "mmproj", "\"llama\"", set="general.architecture=llama")("towers_architecture")
towers_case(4, TOWERS, "v.clamp_data", "ollama", add="v.clamp_data")("towers_of_ollama")
towers_case(4, TOWERS, "part", set="split.count=2")("towers_part")
towers_case(3, TOWERS, "v.position_embd.weight", "missing", drop="v.position_embd.weight")("towers_no_positions")
towers_case(3, TOWERS, "clip.vision.block_count", "1 to 1024", set="clip.vision.block_count=0")("towers_no_layers")


@gguf_case(3, "absent.gguf", args=["--mmproj=IN/absent.gguf"])
def towers_absent(file):
    pass


@case(2, "--mmproj", "GGUF model", "a folder holds its towers itself", args=["--mmproj=IN/towers.gguf"])
def towers_of_folder(folder):
    pass


@case(2, "--mmproj", "--no-vision", args=["--mmproj=IN/towers.gguf", "--no-vision", "--no-audio"])
def towers_unwanted(folder):
    pass


def limit_files(size):
    """What a full disk looks like: writes beyond `size` fail."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def run_case(gemmac, examples, work, case):
    breaks, code, words, model, args, output, file_limit = case
    name = breaks.__name__
    root = os.path.join(work, name)
    shutil.rmtree(root, ignore_errors=True)
    folder = os.path.join(root, "in")
    out = os.path.join(root, "out")
    os.makedirs(folder)
    os.makedirs(out)
    for file in os.listdir(os.path.join(examples, model)) if model else ():
        os.symlink(os.path.join(examples, model, file), os.path.join(folder, file))
    breaks(folder)
    if not any(a.startswith("--target") for a in args):
        args = ["--target=x86-avx512", *args]
    args = [a.replace("=IN/", "=%s/" % folder) for a in args]
    if not model:
        folder = os.path.join(folder, "in.gguf")
    command = [gemmac, folder, "-o", output or os.path.join(out, "p"), *args]
    prepare = (lambda: limit_files(file_limit)) if file_limit else None
    done = subprocess.run(command, capture_output=True, timeout=300, preexec_fn=prepare)
    said = done.stderr.decode(errors="replace")
    problems = []
    if done.returncode != code:
        problems.append("exit code %d, expects %d" % (done.returncode, code))
    problems += ["no '%s'" % word for word in words if word not in said]
    if code != 2 and said.count("gemmac: error: ") != 1:
        problems.append("expects one line of error")
    if os.listdir(out):
        problems.append("left behind: %s" % os.listdir(out))
    shutil.rmtree(root)
    if problems:
        print("%s: %s\n  %s" % (name, "; ".join(problems), said.strip()[:1000]))
    return not problems


def main():
    gemmac = shutil.which(sys.argv[1])
    examples, work = (os.path.abspath(a) for a in sys.argv[2:4])
    only = sys.argv[4:]
    names = [c[0].__name__ for c in CASES]
    unknown = [name for name in only if name not in names]
    if unknown:
        sys.exit("no case %s; there are %s" % (", ".join(unknown), ", ".join(names)))
    chosen = [c for c in CASES if not only or c[0].__name__ in only]
    failed = sum(not run_case(gemmac, examples, work, c) for c in chosen)
    print("%d of %d cases as expected" % (len(chosen) - failed, len(chosen)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
