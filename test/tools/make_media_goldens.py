"""Makes pictures and sounds of many kinds and records what they decode to: make_media_goldens.py GOLDENS OUT.

GOLDENS is vision/preprocess as made with HF transformers, whose files are among the pictures; OUT is
test/Inputs/media. Pictures are recorded as Pillow 13 and transformers' load_image make them, sounds as
transformers' load_audio with soundfile does. Needs numpy, pillow 13.0.0, soundfile 0.14.0, soxr 1.1.0 and, for
subsamplings that Pillow does not write, cjpeg of Debian's libjpeg-turbo-progs.
"""
import hashlib
import io
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import soundfile
import soxr
from PIL import Image, ImageOps

HEIGHT, WIDTH = 29, 37
RANDOM = np.random.default_rng(1)


def photo(height=HEIGHT, width=WIDTH, channels=3):
    """Smooth colours with edges and some noise, uint8 (height, width, channels)."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 90 * np.sin(x / (4 + c) + c) * np.cos(y / (6 + c)) + 30 * ((x * 3 + y * 2 + c * 5) % 17 < 4) for c in range(channels)]
    noise = RANDOM.integers(-8, 9, (height, width, channels))
    return np.clip(np.stack(planes, -1) + noise, 0, 255).astype(np.uint8)


# PNG, of every kind that there is.

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows(samples, depth):
    """Bytes of rows: samples (height, width, channels) of `depth` bits."""
    out = b""
    for row in samples:
        flat = row.reshape(-1)
        if depth == 16:
            packed = flat.astype(">u2").tobytes()
        elif depth == 8:
            packed = flat.astype(np.uint8).tobytes()
        else:
            bits = ((flat[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8).reshape(-1)
            packed = np.packbits(bits).tobytes()
        out += b"\0" + packed
    return out


def png(samples, depth, colour, before=(), after=(), interlaced=False):
    height, width = samples.shape[:2]
    data = b""
    for y, x, down, across in [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]:
        part = samples[y::down, x::across]
        if part.size:
            data += rows(part, depth)
    chunks = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)), *(chunk(*pair) for pair in before)]
    packed = zlib.compress(data, 9)
    half = len(packed) // 2
    chunks += [chunk(b"IDAT", packed[:half]), chunk(b"IDAT", packed[half:]), *(chunk(*pair) for pair in after), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def exif(orientation):
    return b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1" + struct.pack(">HH", orientation, 0) + b"\0\0\0\0"


def xmp(orientation):
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def raw_profile(block):
    return f"\nexif\n{len(block):8}\n".encode() + block.hex().encode() + b"\n"


def pngs():
    grey, colour, alpha = photo(channels=1), photo(), photo(channels=4)
    wide = (photo(channels=4).astype(np.int64) * 257 + RANDOM.integers(-128, 128, (HEIGHT, WIDTH, 4))).clip(0, 65535)
    alpha[3:9, 5:20, 3], alpha[10:, :9, 3] = 0, 255
    dark = (wide[..., :1] // 200)  # grey of 16 bits around 255
    palette = photo(16, 16).reshape(256, 3).tobytes()
    key = lambda *values: (b"tRNS", struct.pack(f">{len(values)}H", *values))
    for depth in (1, 2, 4, 8):
        few = grey >> (8 - depth)
        entries = (b"PLTE", palette[:3 << depth])
        yield f"grey{depth}", png(few, depth, 0)
        yield f"grey{depth}-interlaced", png(few, depth, 0, interlaced=True)
        yield f"grey{depth}-key", png(few, depth, 0, [key(int(few[4, 4, 0]))])
        yield f"grey{depth}-key0", png(few, depth, 0, [key(0)])
        yield f"palette{depth}", png(few, depth, 3, [entries])
        yield f"palette{depth}-alpha-interlaced", png(few, depth, 3, [entries, (b"tRNS", bytes(range(0, 256, 256 >> depth)))], interlaced=True)
    yield "palette-short", png(grey, 8, 3, [(b"PLTE", palette[:300]), (b"tRNS", b"\0\x80")])
    yield "palette-one-clear", png(grey >> 4, 4, 3, [(b"PLTE", palette[:48]), (b"tRNS", b"\xff\xff\0")])
    yield "grey8-key-wide", png(grey, 8, 0, [key(256 + int(grey[4, 4, 0]))])
    yield "grey16", png(wide[..., :1], 16, 0)
    yield "grey16-dark", png(dark, 16, 0, interlaced=True)
    yield "grey16-key", png(dark, 16, 0, [key(int(dark[4, 4, 0]))])
    yield "grey16-key-white", png(dark, 16, 0, [key(65535)])
    yield "grey-alpha8", png(alpha[..., 2:], 8, 4, interlaced=True)
    yield "grey-alpha16", png(wide[..., 2:], 16, 4)
    yield "rgb8-interlaced", png(colour, 8, 2, interlaced=True)
    yield "rgb8-key", png(colour, 8, 2, [key(*map(int, colour[4, 4]))])
    yield "rgb8-palette", png(colour, 8, 2, [(b"PLTE", palette)])
    yield "rgb16", png(wide[..., :3], 16, 2)
    yield "rgb16-key", png(wide[..., :3] // 256, 16, 2, [key(*map(int, wide[4, 4, :3] // 256))])
    yield "rgba8-interlaced", png(alpha, 8, 6, interlaced=True)
    yield "rgba8-opaque", png(np.dstack([colour, np.full((HEIGHT, WIDTH), 255, np.uint8)]), 8, 6)
    yield "rgba16", png(wide, 16, 6)
    yield "one-pixel", png(colour[:1, :1], 8, 2, interlaced=True)
    yield "gamma", png(colour, 8, 2, [(b"gAMA", struct.pack(">I", 100000)), (b"sBIT", b"\5\6\5")])
    yield "exif6", png(colour, 8, 2, [(b"eXIf", exif(6))])
    yield "exif5-behind", png(colour, 8, 2, after=[(b"eXIf", exif(5))])
    yield "exif1-xmp6", png(colour, 8, 2, [(b"eXIf", exif(1)), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6))])
    yield "xmp8", png(colour, 8, 2, [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(8))])
    yield "xmp7-packed", png(colour, 8, 2, [(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0key\0" + zlib.compress(xmp(7)))])
    yield "raw-profile3", png(colour, 8, 2, [(b"tEXt", b"Raw profile type exif\0" + raw_profile(exif(3)))])
    yield "raw-profile2", png(colour, 8, 2, [(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(b"Exif\0\0" + exif(2))))])
    frame = lambda number: (b"fcTL", struct.pack(">IIIIIHHBB", number, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0))
    second = struct.pack(">I", 2) + zlib.compress(rows(colour[::-1], 8))
    yield "animated", png(colour, 8, 2, [(b"acTL", struct.pack(">II", 2, 0)), frame(0)], [frame(1), (b"fdAT", second)])


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpegs():
    image, grey = Image.fromarray(photo()), Image.fromarray(photo(channels=1)[..., 0])
    cmyk = Image.fromarray(photo(channels=4), "CMYK")
    app = lambda number, data: b"\xff" + bytes([0xE0 + number]) + struct.pack(">H", len(data) + 2) + data
    base = saved(image, "JPEG", quality=88)
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        for progressive in (False, True):
            yield f"{name}{'-progressive' * progressive}", saved(image, "JPEG", quality=80, subsampling=subsampling, progressive=progressive)
    ppm = saved(image, "PPM")
    cjpeg = shutil.which("cjpeg")
    for name, flags in (("411", ["-sample", "4x1"]), ("440", ["-sample", "1x2"]), ("410", ["-sample", "4x2"]), ("odd", ["-sample", "2x2,1x2,2x1"]),
                        ("arithmetic", ["-arithmetic"]), ("restart", ["-restart", "2"]), ("rgb", ["-rgb"])):
        yield name, subprocess.run([cjpeg, "-quality", "80", *flags], input=ppm, stdout=subprocess.PIPE, check=True).stdout
    yield "grey-progressive", saved(grey, "JPEG", progressive=True, quality=60)
    yield "cmyk", saved(cmyk, "JPEG", quality=85)
    yield "cmyk-no-adobe", saved(cmyk, "JPEG", quality=85).replace(b"\xff\xee\0\x0eAdobe", b"\xff\xee\0\x0eOther")
    yield "ycck", saved(cmyk, "JPEG", quality=85).replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2")
    for orientation in range(1, 9):
        yield f"exif{orientation}", base[:2] + app(1, b"Exif\0\0" + exif(orientation)) + base[2:]
    yield "exif9", base[:2] + app(1, b"Exif\0\0" + exif(9)) + base[2:]
    yield "exif-in-two", base[:2] + app(1, b"Exif\0\0" + exif(6)[:20]) + app(1, b"Exif\0\0" + exif(6)[20:]) + base[2:]
    yield "xmp6", base[:2] + app(1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(6)) + base[2:]
    yield "stray-bytes", base.replace(b"\xff\xda", b"\0\0\xff\xda", 1)
    yield "behind-the-end", base + b"anything"


def webps():
    image, clear = Image.fromarray(photo()), photo(channels=4)
    clear[3:9, 5:20, 3], clear[10:, :9, 3] = 0, 255
    clear = Image.fromarray(clear)
    yield "lossy", saved(image, "WEBP", quality=70)
    yield "lossless", saved(image, "WEBP", lossless=True)
    yield "lossy-alpha", saved(clear, "WEBP", quality=70)
    yield "lossless-alpha", saved(clear, "WEBP", lossless=True, exact=True)
    yield "exif6", saved(image, "WEBP", quality=70, exif=b"Exif\0\0" + exif(6))
    yield "xmp8", saved(image, "WEBP", quality=70, xmp=xmp(8))
    moved = [Image.fromarray(np.roll(np.asarray(clear), 7 * i, 1)) for i in range(3)]
    yield "animated-alpha", saved(moved[0], "WEBP", save_all=True, append_images=moved[1:], duration=[40, 100, 70], lossless=True)
    moved = [Image.fromarray(np.roll(np.asarray(image), 7 * i, 1)) for i in range(3)]
    yield "animated", saved(moved[0], "WEBP", save_all=True, append_images=moved[1:], duration=40, exif=b"Exif\0\0" + exif(8))


# GIF, with codes that say each pixel for itself.

def codes(numbers):
    bits, count, out = 0, 0, bytearray()
    sequence = []
    for i, number in enumerate(numbers):
        if i % 250 == 0:
            sequence.append(256)
        sequence.append(int(number))
    for code in [*sequence, 257]:
        bits |= code << count
        count += 9
        while count >= 8:
            out.append(bits & 255)
            bits, count = bits >> 8, count - 8
    out.append(bits & 255)
    return b"\x08" + b"".join(bytes([len(out[i:i + 255])]) + out[i:i + 255] for i in range(0, len(out), 255)) + b"\0"


def gif(screen, palette, frames, background=0, end=b";"):
    """frames: dicts of numbers (height, width), at (x, y), clear, disposal, palette, interlaced, duration, control."""
    size = lambda colours: len(colours).bit_length() - 2
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80 | size(palette) if palette is not None else 0, background, 0)
    out += b"" if palette is None else bytes(palette.reshape(-1))
    for frame in frames:
        numbers, clear, own = frame["numbers"], frame.get("clear"), frame.get("palette")
        if frame.get("control", True):
            flags = frame.get("disposal", 0) << 2 | (clear is not None)
            out += b"!\xf9\4" + struct.pack("<BHBB", flags, frame.get("duration", 7), clear or 0, 0)
        height, width = numbers.shape
        flags = 0x40 * frame.get("interlaced", False) | (0x80 | size(own) if own is not None else 0)
        out += b"," + struct.pack("<HHHHB", *frame.get("at", (0, 0)), width, height, flags)
        out += b"" if own is None else bytes(own.reshape(-1))
        if frame.get("interlaced"):
            numbers = np.concatenate([numbers[0::8], numbers[4::8], numbers[2::4], numbers[1::2]])
        out += codes(numbers.reshape(-1))
    return out + end


def gifs():
    palette, other = photo(16, 16).reshape(256, 3), photo(16, 16)[::-1].reshape(256, 3).copy()
    whole, part = photo(channels=1)[..., 0], photo(11, 13, 1)[..., 0]
    holes = part.copy()
    holes[2:7, 3:9] = 9
    screen, greys = (WIDTH, HEIGHT), np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    yield "plain", gif(screen, palette, [{"numbers": whole, "control": False}])
    yield "interlaced", gif(screen, palette, [{"numbers": whole, "interlaced": True}])
    yield "clear", gif(screen, palette, [{"numbers": whole, "clear": int(whole[4, 4])}])
    yield "part", gif(screen, palette, [{"numbers": part, "at": (5, 6)}], background=17)
    yield "part-clear", gif(screen, palette, [{"numbers": holes, "at": (5, 6), "clear": 9}], background=17)
    yield "small-palette", gif(screen, palette[:4], [{"numbers": whole & 7}])
    yield "own-palette", gif(screen, palette, [{"numbers": whole, "palette": other}])
    yield "no-palette", gif(screen, None, [{"numbers": whole}])
    yield "greys", gif(screen, greys, [{"numbers": whole, "clear": int(whole[4, 4])}])
    yield "larger-than-screen", gif((9, 8), palette, [{"numbers": whole}])
    yield "no-end", gif(screen, palette, [{"numbers": whole}], end=b"")
    yield "stray-bytes", gif(screen, palette, [{"numbers": whole}], end=b"\0\0;")
    yield "pillow", saved(Image.fromarray(photo()), "GIF")
    for disposal in (0, 1, 2, 3, 4):
        for clear in (None, 9):
            frames = [{"numbers": whole, "disposal": disposal, "clear": clear and int(whole[4, 4])},
                      *({"numbers": holes + i, "at": (3 * i, 2 * i), "disposal": disposal, "clear": clear and clear + i, "duration": 5 + i,
                         "palette": other if i == 2 else None, "interlaced": i == 1} for i in range(1, 5)),
                      {"numbers": part, "at": (20, 15), "disposal": 0, "control": disposal != 4}, {"numbers": holes, "at": (1, 1), "clear": 9}]
            yield f"animated{disposal}{'-clear' * bool(clear)}", gif(screen, palette, frames, background=17)
    yield "animated-first-part", gif(screen, palette, [{"numbers": part, "at": (4, 4), "disposal": 2}, {"numbers": holes, "clear": 9}], background=17)
    yield "animated-first-restored", gif(screen, palette, [{"numbers": holes, "at": (4, 4), "disposal": 3, "clear": 9}, {"numbers": holes, "clear": 9}])
    yield "animated-grows", gif((13, 11), palette, [{"numbers": part}, {"numbers": holes, "at": (10, 5), "disposal": 3}, {"numbers": part, "at": (2, 3)}])
    yield "animated-grows-clear", gif((13, 11), palette, [{"numbers": part, "clear": 9}, {"numbers": holes, "at": (10, 5), "clear": 9}, {"numbers": part, "at": (2, 3)}])
    yield "animated-greys", gif(screen, greys, [{"numbers": whole, "clear": 9}, {"numbers": holes, "clear": 9, "disposal": 2}, {"numbers": part, "at": (9, 9)}])
    yield "animated-disposal-beyond", gif(screen, palette, [{"numbers": part}, {"numbers": part & 3, "palette": other[:4], "disposal": 2}, {"numbers": part, "at": (9, 9)}], background=200)


def sha256(image):
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def is_clear(image):
    return "A" in image.getbands() or image.info.get("transparency") is not None


def as_object(image):
    """transformers' convert_to_rgb."""
    if not is_clear(image):
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image).convert("RGB")


def picture(name, data):
    with Image.open(io.BytesIO(data)) as image:
        row = {"file": name, "height": image.height, "width": image.width}
        loaded = ImageOps.exif_transpose(image).convert("RGB")
        row["height"], row["width"] = loaded.height, loaded.width
        row["sha256_rgb"] = sha256(loaded)
        if getattr(image, "is_animated", False):
            row["animated"] = True
    with Image.open(io.BytesIO(data)) as image:
        row["sha256_rgb_as_object"] = sha256(as_object(image))
        if is_clear(image) and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            row["transparent"] = True
    return row


def animation(name, data):
    frames, milliseconds, white = [], [], []
    with Image.open(io.BytesIO(data)) as image:
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            milliseconds.append(image.info.get("duration", 0))
            frames.append(sha256(ImageOps.exif_transpose(image).convert("RGB")))
            white.append(sha256(as_object(image)))
    return {"file": name, "milliseconds": milliseconds, "sha256_rgb": frames, "sha256_rgb_as_object": white}


def pictures(goldens, out):
    kept, films = [], []
    for case in json.loads((goldens / "cases.json").read_text())["files"]:
        data = (goldens / case["file"]).read_bytes()
        row = picture(case["file"], data)
        assert all(row[key] == case[key] for key in ("sha256_rgb", "sha256_rgb_as_object")), case
        (out / case["file"]).write_bytes(data)
        kept.append(row)
    for kind, made in (("png", pngs), ("jpg", jpegs), ("webp", webps), ("gif", gifs)):
        for name, data in made():
            (out / f"{name}.{kind}").write_bytes(data)
            kept.append(picture(f"{name}.{kind}", data))
            if name.startswith("animated") and kind != "png":
                films.append(animation(f"{name}.{kind}", data))
    return kept, films


# Sounds.

def tone(count, rate, channels=1):
    time = np.arange(count) / rate
    waves = [0.4 * np.sin(2 * np.pi * (300 + 170 * c) * time + c) + 0.2 * np.sin(2 * np.pi * 2100 * time) for c in range(channels)]
    noise = RANDOM.uniform(-0.05, 0.05, (count, channels))
    return np.stack(waves, -1) + noise


def wav(data, tag, channels, rate, width, bits=None, extra=b"", size=None, before=b"", name=b"RIFF"):
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * channels * width, channels * width, bits or width * 8) + extra
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return name + struct.pack("<I", len(body) if size is None else 0xFFFFFFFF) + body


def wide(values, width):
    """Whole numbers, little-endian, of `width` bytes."""
    return b"".join(int(value).to_bytes(width, "little", signed=True) for value in values.reshape(-1))


def wavs():
    one, two = tone(500, 16000), tone(400, 16000, 2)
    every = np.arange(256, dtype=np.uint8).tobytes()
    yield "pcm8", wav(every, 1, 1, 16000, 1)
    yield "pcm16", wav(wide(one * 32767, 2), 1, 1, 16000, 2)
    yield "pcm16-edges", wav(struct.pack("<4h", -32768, 32767, 0, -1), 1, 1, 16000, 2)
    yield "pcm24-stereo", wav(wide(two * 8388607, 3), 1, 2, 16000, 3)
    yield "pcm32", wav(wide(one * 2147483647, 4), 1, 1, 16000, 4)
    yield "float32-loud", wav((one * 5).astype("<f4").tobytes(), 3, 1, 16000, 4)
    yield "float64-stereo", wav(two.astype("<f8").tobytes(), 3, 2, 16000, 8)
    yield "a-law", wav(every, 6, 1, 16000, 1)
    yield "mu-law", wav(every, 7, 1, 16000, 1)
    guid = lambda tag: struct.pack("<H", tag) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    yield "extensible16", wav(wide(two * 32767, 2), 0xFFFE, 2, 16000, 2, extra=struct.pack("<HHI", 22, 16, 3) + guid(1))
    yield "extensible20", wav(wide(two * 8388607, 3), 0xFFFE, 2, 16000, 3, extra=struct.pack("<HHI", 22, 20, 3) + guid(1))
    yield "extensible-float", wav(two.astype("<f4").tobytes(), 0xFFFE, 2, 16000, 4, extra=struct.pack("<HHI", 22, 32, 3) + guid(3))
    yield "no-size", wav(wide(one * 32767, 2), 1, 1, 16000, 2, size=0xFFFFFFFF)
    yield "other-chunks", wav(wide(one * 32767, 2), 1, 1, 16000, 2, before=b"LIST\3\0\0\0abc\0junk\4\0\0\0dddd") + b"LIST\4\0\0\0abcd"
    data = wide(one * 32767, 2)
    yield "rf64", wav(data, 1, 1, 16000, 2, size=0xFFFFFFFF, name=b"RF64", before=b"ds64" + struct.pack("<IQQQI", 28, len(data) + 80, len(data), len(one), 0))
    yield "six-channels", wav(wide(tone(200, 16000, 6) * 32767, 2), 1, 6, 16000, 2)
    yield "rate8000", wav(wide(tone(700, 8000) * 32767, 2), 1, 1, 8000, 2)
    yield "rate44100-stereo", wav(wide(tone(1200, 44100, 2) * 32767, 2), 1, 2, 44100, 2)
    yield "rate48000", wav(wide(tone(1200, 48000) * 32767, 2), 1, 1, 48000, 2)


def written(values, rate, kind, subtype):
    out = io.BytesIO()
    soundfile.write(out, values, rate, format=kind, subtype=subtype)
    return out.getvalue()


def sounds():
    yield from ((f"{name}.wav", data) for name, data in wavs())
    one, two = tone(5000, 16000), tone(3000, 44100, 2)
    yield "s8.flac", written(one[:2000], 16000, "FLAC", "PCM_S8")
    yield "s16.flac", written(one, 16000, "FLAC", "PCM_16")
    yield "s24-stereo.flac", written(tone(2000, 16000, 2), 16000, "FLAC", "PCM_24")
    yield "rate44100.flac", written(two, 44100, "FLAC", "PCM_16")
    yield "mono.ogg", written(one, 16000, "OGG", "VORBIS")
    yield "stereo44100.ogg", written(two, 44100, "OGG", "VORBIS")
    yield "mono.mp3", written(one, 16000, "MP3", "MPEG_LAYER_III")
    yield "stereo44100.mp3", written(tone(6000, 44100, 2), 44100, "MP3", "MPEG_LAYER_III")
    yield "id3.mp3", b"ID3\4\0\0\0\0\0\x0c" + b"\0" * 12 + written(one, 16000, "MP3", "MPEG_LAYER_III")


def sound(name, data):
    """transformers' load_audio(backend="soundfile")."""
    values, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    mono = np.mean(values, axis=1, dtype=np.float32) if values.shape[1] > 1 else values[:, 0]
    row = {"file": name, "rate": rate, "channels": values.shape[1], "samples": len(values)}
    if rate == 16000 and not name.endswith((".mp3", ".ogg")):
        row["sha256"] = hashlib.sha256(mono.tobytes()).hexdigest()
        return row
    length = -(-len(mono) * 16000 // rate)
    if rate != 16000:
        made = soxr.resample(mono, rate, 16000, quality="soxr_hq")
        mono = np.pad(made, (0, max(0, length - len(made))))[:length]
    row["length"] = length
    row["values"] = [float(f"{value:.7g}") for value in mono[:: max(1, length // 150)]]
    row["step"] = max(1, length // 150)
    return row


def main(goldens, out):
    goldens, out = pathlib.Path(goldens), pathlib.Path(out)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    kept, films = pictures(goldens, out)
    heard = []
    for name, data in sounds():
        (out / name).write_bytes(data)
        heard.append(sound(name, data))
    cases = {"pictures": kept, "animations": films, "sounds": heard}
    lines = (f' {json.dumps(key)}: [\n  ' + ",\n  ".join(json.dumps(row) for row in rows) + "\n ]" for key, rows in cases.items())
    (out / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main(*sys.argv[1:])
