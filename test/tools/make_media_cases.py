"""Records what images and sounds must become: make_media_cases.py GOLDENS OUT.

GOLDENS holds vision/preprocess and audio/frontend as made with HF transformers;
of them the smallest part that shows a fault is kept, in OUT (test/golden/media).
Resampled sounds are soxr's (PyPI soxr 1.1.0, quality HQ, with the padding of
transformers' load_audio). Needs numpy, pillow 13 and soxr.
"""
import hashlib
import json
import pathlib
import struct
import sys

import numpy as np
import soxr
from PIL import Image
from safetensors import File

RATES = [4000, 8000, 9600, 11025, 12000, 12800, 17000, 20000, 22050, 24000, 25000, 25600, 32000, 44056, 44100, 48000,
         56000, 64000, 88200, 96000, 144000, 176400, 192000, 384000]


def save_file(tensors, path):
    names = {np.dtype(np.uint8): "U8", np.dtype(np.int16): "I16", np.dtype(np.int32): "I32", np.dtype(np.float32): "F32"}
    header, at = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": names[tensor.dtype], "shape": tensor.shape, "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(tensor.tobytes() for tensor in tensors.values()))


def noise(count):
    """Full-scale noise from its first sample on, exact in f32: the same in media_test.cpp."""
    state, out = np.uint64(1), np.empty(count, np.float32)
    for i in range(count):
        state = (state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)) & np.uint64(2**64 - 1)
        out[i] = np.float32(int(state >> np.uint64(40)) / 2**23 - 1)
    return out


def vision(source, out):
    golden, cases = File(source / "golden.safetensors"), json.loads((source / "cases.json").read_text())
    kept = {name: golden[name] for name in golden.names() if name.startswith("image") and "." not in name}
    kept["patches.image"], kept["patches.values"] = golden["patches.image"], golden["patches.values"][::27]
    kept["patches.positions"] = golden["patches.positions"]
    files = []
    for case in cases["files"]:
        with Image.open(source / case["file"]) as image:
            if image.mode in ("RGBA", "LA"):
                pixels = np.asarray(image)
            elif "transparency" in image.info:  # as decoders resolve a palette
                pixels = np.asarray(image.convert("RGBA"))
            elif 0x112 in image.getexif():
                pixels = np.asarray(image)
            else:
                continue
            kept[case["file"]] = pixels
            case["orientation"] = image.getexif().get(0x112, 1)
        files.append({key: case[key] for key in ("file", "orientation", "sha256_rgb", "sha256_rgb_as_object",
                                                 "sha256_b70_pil", "target_height", "target_width")})
    images = [{key: case[key] for key in ("image", "budget", "target_height", "target_width", "soft_tokens", "sha256_pil")}
              for case in cases["images"]]
    save_file(kept, out / "vision.safetensors")
    return {"target_sizes": cases["target_sizes"], "images": images, "files": files}


def audio(source, out):
    golden, cases = File(source / "golden.safetensors"), json.loads((source / "cases.json").read_text())
    kept, clips = {}, []
    for case in cases["clips"]:
        name = case["clip"]
        if f"{name}.samples" not in golden or name == "clip11":
            continue
        rows = golden[f"{name}.features"]
        step = 1 if len(rows) < 10 else len(rows) // 8
        kept[f"{name}.samples"] = golden[f"{name}.samples"]
        kept[f"{name}.features"] = np.ascontiguousarray(rows[::step])
        clips.append({"clip": name, "step": step, "frames": case["frames"], "valid_frames": case["valid_frames"],
                      "tokens": case["tokens"]})
    save_file(kept, out / "audio.safetensors")
    return {"clips": clips, "token_counts": cases["token_counts"]}


def resampled(out):
    """Outputs 0..39, 40 in the middle and the last 40, of a quarter of a second and 7 samples."""
    kept = {}
    for rate in RATES:
        sound = noise(rate // 4 + 7)
        length = -(-len(sound) * 16000 // rate)
        made = soxr.resample(sound, rate, 16000, quality="soxr_hq")
        made = np.pad(made, (0, max(0, length - len(made))))[:length]
        kept[str(rate)] = np.concatenate([made[:40], made[length // 2 - 20 : length // 2 + 20], made[-40:]])
    save_file(kept, out / "resampled.safetensors")


def ordered(out):
    """Pictures whose columns are resized before their rows, and neighbours that are not: sha256 of Pillow's bytes."""
    rows = []
    for height, width, to_height, to_width in [(200, 60, 96, 48), (72, 60, 48, 48), (73, 60, 48, 48), (60, 30, 48, 96), (48, 90, 96, 48),
                                               (300, 200, 48, 100), (90, 20, 48, 20), (33, 70, 33, 48), (234, 108, 96, 48)]:
        pixels = ((noise(height * width * 3) + 1) * 128).astype(np.uint8).reshape(height, width, 3)
        made = Image.fromarray(pixels).resize((to_width, to_height), Image.Resampling.BICUBIC)
        rows.append([height, width, to_height, to_width, hashlib.sha256(made.tobytes()).hexdigest()])
    return rows


def main(goldens, out):
    goldens, out = pathlib.Path(goldens), pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    cases = {**vision(goldens / "vision/preprocess", out), **audio(goldens / "audio/frontend", out), "resized": ordered(out)}
    resampled(out)
    lines = (f' {json.dumps(key)}: [\n  ' + ",\n  ".join(json.dumps(row) for row in rows) + "\n ]" for key, rows in cases.items())
    (out / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main(*sys.argv[1:])
