"""Memory and the end of programs that see and hear (environment variable PROGRAM, compiled from examples/nano-e):
check_media_memory.py SOURCE [NAME...] in an empty working folder."""
import base64
import json
import os
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import wave
import zlib

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools")
sys.path.insert(0, TOOLS)
import checks
from checks import expect

PROGRAM = os.environ["PROGRAM"]
MEDIA = os.path.join(sys.argv[1], "examples/eval/media")
PEAK = os.path.join(TOOLS, "peak.py")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_png(path, width, height, junk=0):
    """Noise; `junk` bytes more that are no pixels."""
    draw = random.Random(1)
    rows = b"".join(b"\0" + draw.randbytes(3 * width) for _ in range(height))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
        if junk:
            f.write(chunk(b"juNk", draw.randbytes(junk)))
        f.write(chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def prepare():
    write_png("large.png", 4000, 3000)
    write_png("small.png", 300, 200)
    write_png("junk.png", 300, 200, 60 << 20)
    with wave.open("long.wav", "wb") as f:
        f.setparams((2, 2, 48000, 0, "NONE", ""))
        f.writeframes(random.Random(2).randbytes(4 * 48000 * 30))


def info(*flags):
    return json.loads(subprocess.check_output([PROGRAM, "info", "--json", "-t", "2", *flags]))


def peak(*flags):
    command = [PROGRAM, "run", "-t", "2", "--temp", "0", "-n", "4", *flags, "x"]
    out = subprocess.check_output([sys.executable, "-I", "-S", PEAK, *command])
    code, used = map(int, out.split()[-2:])
    expect(code == 0, f"{flags}: exit {code}")
    return used


def check_plan():
    """The peak is below the plan, also without the room for reading, which files of usual size need in part only."""
    for run, plan in ((["--image-tokens", "1120", "--image", "large.png"], ["--image-tokens", "1120"]),
                      (["--image-tokens", "1120", "--image", "large.png", "--image", "small.png", "--audio", "long.wav"],
                       ["--image-tokens", "1120", "--images", "2", "--audios", "1"]),
                      (["--audio", "long.wav"], ["--audios", "1"])):
        most = info(*plan)
        used = peak(*run)
        expect(used <= most["total_bytes"], f"{run}: {used} bytes of {most['total_bytes']}")
        read = 3 * 4000 * 3000 + os.path.getsize("large.png") if "large.png" in run else 32 << 20
        expect(most["memory"]["media"] > read, f"{plan}: {most['memory']}")


def check_files_are_freed():
    """What a file had is gone when the tower runs."""
    flags = ["--image-tokens", "1120", "--image"]
    plain, junk = peak(*flags, "small.png"), peak(*flags, "junk.png")
    expect(junk < plain + (30 << 20), f"{junk} bytes with a file of 60 MiB, {plain} without")


def check_terms():
    """Towers add terms and change no other but those that they share."""
    without, picture = info()["memory"], info("--images", "1")["memory"]
    more = {"picture", "sound", "soft", "media"}
    expect(set(picture) == set(without) | more and not set(without) & more, f"{without} {picture}")
    for name in "step", "io", "pages", "ple", "cache_local", "weights":
        expect(picture[name] == without[name], f"{name}: {picture[name]}, {without[name]} without a picture")
    plan = info("--images", "3", "--image-tokens", "140", "--audios", "2", "--frames", "5")["plan"]
    expect((plan["image_rows"], plan["sound_rows"], plan["soft_rows"]) == (140, 750, 3 * 140 + 2 * 750 + 5 * 70), f"{plan}")
    small, large = (info("--image-tokens", "70", "--image-pixels", str(n))["memory"]["media"] for n in (1 << 20, 1 << 25))
    expect(large - small == 12 * ((1 << 25) - (1 << 20)), f"--image-pixels: {small} {large}")


def check_run_reserves_it():
    """What `run` cannot have is what `info` says, and what data: URLs take."""
    limit = 100 << 20
    url = "data:image/png;base64," + base64.b64encode(open("junk.png", "rb").read()[:3 << 20]).decode()
    with open("messages.json", "w") as f:
        json.dump([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url[:size]}}
                                                for size in (1 << 20, len(url), 1 << 21)]}], f)
    for run, plan, more in ((["x", "--image", "small.png", "--image-tokens", "1120"], ["--image-tokens", "1120"], 0),
                            (["x", "--image", "small.png", "--audio", "long.wav"], ["--images", "1", "--audios", "1"], 0),
                            (["x", "--image", "small.png", "--image-pixels", "60000", "-c", "2000"],
                             ["--images", "1", "--image-pixels", "60000", "-c", "2000"], 0),
                            (["--messages", "messages.json"], ["--images", "3"], 2 * len(url) + (3 << 20))):
        done = subprocess.run([PROGRAM, "run", "-t", "2", *run], capture_output=True, text=True,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        most = info(*plan)
        # With addresses that nothing is mapped at: host/fit.cpp.
        want = most["total_bytes"] + max(0, most["weights_bytes"] - most["memory"]["weights"]) + (4 << 20) + more
        found = re.search(r"needs ([\d.]+) MiB of addresses", done.stderr)
        expect(done.returncode == 5 and found and abs(float(found[1]) - want / 2**20) < 0.06,
               f"{run}: exit {done.returncode}, {done.stderr!r}, expected {want / 2**20:.1f} MiB")


def check_too_many_pixels():
    done = subprocess.run([PROGRAM, "run", "--image-pixels", "59999", "--image", "small.png", "x"], capture_output=True, text=True)
    expect(done.returncode == 2 and "'small.png': a picture of 300 x 200 pixels: expects at most 59999" in done.stderr and
           "--image-pixels" in done.stderr, f"exit {done.returncode}: {done.stderr!r}")
    with open("film.y4m", "wb") as f:
        f.write(b"YUV4MPEG2 W300 H200 F1:1\nFRAME\n" + bytes(90000))
    done = subprocess.run([PROGRAM, "run", "--image-pixels", "59999", "--video", "film.y4m", "x"], capture_output=True, text=True)
    expect(done.returncode == 2 and "'film.y4m': a picture of 300 x 200 pixels" in done.stderr,
           f"exit {done.returncode}: {done.stderr!r}")


def check_interrupt():
    """Ctrl-C ends the encoding of a picture, not only that of all."""
    command = [PROGRAM, "run", "-t", "2", "--temp", "0", "--image-tokens", "1120"]
    start = time.time()
    subprocess.run([*command, "-n", "1", "--image", "small.png", "x"], check=True, stdout=subprocess.DEVNULL)
    one = time.time() - start
    count = 20 + int(10 / one)
    # More than the context holds, which is known behind the last.
    process = subprocess.Popen([*command, *["--image", "small.png"] * count, "x"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    time.sleep(one + 0.5)
    process.send_signal(signal.SIGINT)
    start = time.time()
    out, err = process.communicate(timeout=60)
    expect(process.returncode == -signal.SIGINT and "interrupted while a picture was encoded" in err and not out,
           f"exit {process.returncode}: {out!r} {err!r}")
    expect(time.time() - start < 2, f"{time.time() - start:.2f} s after the signal")


prepare()
checks.run([check_plan, check_files_are_freed, check_terms, check_run_reserves_it, check_too_many_pixels, check_interrupt],
           sys.argv[2:])
