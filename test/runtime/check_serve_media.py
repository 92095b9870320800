"""Checks pictures and sounds in requests of `PROGRAM serve` (server.py)."""
import base64
import json
import os
import random
import struct
import subprocess
import zlib

from server import has_error, MACHINE, PROGRAM, serving, run_checks
from checks import expect

MEDIA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/eval/media")
WHAT = "What is in the picture?"


def read_bytes(name):
    with open(os.path.join(MEDIA, name), "rb") as f:
        return f.read()


def base64_of(data):
    return base64.b64encode(data).decode()


def picture_part(data, kind="png"):
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{base64_of(data)}"}}


def sound_part(data, kind="wav"):
    return {"type": "input_audio", "input_audio": {"data": base64_of(data), "format": kind}}


def png(width, height, data=None, rows=None):
    """A PNG of that size; `data`: RGB of all of it, `rows`: how many of them there are."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = height if rows is None else rows
    data = data or bytes(3 * width * rows)
    lines = b"".join(b"\0" + data[3 * width * i:3 * width * (i + 1)] for i in range(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def seen(*parts, text=WHAT):
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def content_of(reply):
    return reply["choices"][0]["message"]["content"]


def cached_of(reply):
    return reply["usage"]["prompt_tokens_details"]["cached_tokens"]


def run_with(*flags):
    """What `run` says."""
    done = subprocess.run([PROGRAM, "run", "--temp", "0", *MACHINE, *flags], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    expect(done.returncode == 0, f"run {flags}: {done.stderr}")
    return done.stdout.rstrip("\n")


def check_media():
    """Pictures and sounds: answers are those of `run`, with several clients at once."""
    import threading
    pictures, sounds = [f"img{i:03}.png" for i in (3, 5, 6, 9)], [f"aud{i:03}.wav" for i in (0, 1)]
    cases = [([picture_part(read_bytes(f))], WHAT, run_with("--image", os.path.join(MEDIA, f), "-p", WHAT)) for f in pictures]
    cases += [([sound_part(read_bytes(f))], "Transcribe the audio.", run_with("--audio", os.path.join(MEDIA, f), "-p", "Transcribe the audio.")) for f in sounds]
    both = [part for f in pictures[:2] for part in ("--image", os.path.join(MEDIA, f))] + ["--audio", os.path.join(MEDIA, sounds[0])]
    cases.append(([picture_part(read_bytes(f)) for f in pictures[:2]] + [sound_part(read_bytes(sounds[0]))], WHAT, run_with(*both, "-p", WHAT)))
    expect(len({c[2] for c in cases}) > 4, f"the answers are too much alike: {cases}")
    plain = {"max_tokens": 100}
    with serving("--parallel", "3", "-c", "1024", "--metrics") as s:
        expect(json.loads(s.ask("GET", "/props")[2])["modalities"] == {"vision": True, "audio": True}, "modalities")
        wrong = []

        def client(number):
            for i in range(len(cases)):
                parts, text, wanted = cases[(i + 3 * number) % len(cases)]
                try:
                    got = content_of(s.chat(messages=seen(*parts, text=text), **plain))
                except Exception as e:
                    got = repr(e)
                if got != wanted:
                    wrong.append(f"{text}: {got!r}, run says {wanted!r}")

        clients = [threading.Thread(target=client, args=(i,)) for i in range(5)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        expect(not wrong, "\n".join(wrong))
        # A file that is known is reused with its rows, another one at its place is not.
        parts, text, wanted = cases[0]
        again = s.chat(messages=seen(*parts, text=text), **plain)
        rows = again["usage"]["prompt_tokens"]
        expect(content_of(again) == wanted and cached_of(again) > rows - 3, f"computed again: {again}")
        other = s.chat(messages=seen(picture_part(png(96, 96, bytes([200, 30, 30]) * 9216)), text=text), **plain)
        expect(cached_of(other) < 8, f"rows of another picture are reused: {other}")
        # The same in the other APIs; what counts tokens counts rows.
        source = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64_of(read_bytes(pictures[0]))}}
        message = {"messages": seen(source), "temperature": 0, "max_tokens": 100}
        status, reply = s.post("/v1/messages", message)
        expect(status == 200 and reply["content"][0]["text"] == wanted, f"/v1/messages: {reply}")
        expect(s.post("/v1/messages/count_tokens", {"messages": message["messages"]}) == (200, {"input_tokens": rows}), "count_tokens")
        parts = [{"type": "input_image", "image_url": parts[0]["image_url"]["url"]}, {"type": "input_text", "text": WHAT}]
        asked = {"input": [{"role": "user", "content": parts}], "temperature": 0}
        status, reply = s.post("/v1/responses", asked)
        expect(status == 200 and reply["output"][-1]["content"][0]["text"] == wanted, f"/v1/responses: {reply}")
        expect(s.post("/v1/responses/input_tokens", asked)[1]["input_tokens"] == rows, "input_tokens")
    # Few numbers for rows: they are given anew, and mean nothing of what they meant.
    with serving("--test-media-rows", "150", "-c", "1024") as s:
        for parts, text, wanted in cases[:4] + cases[:4]:
            expect(content_of(s.chat(messages=seen(*parts, text=text), **plain)) == wanted, "another answer after numbers were given anew")


def check_media_errors():
    """What is no picture or sound, or too much of it, is an error; nothing is opened."""
    def refused(s, status, *words, parts):
        got, reply = s.post("/v1/chat/completions", {"messages": seen(*parts), "max_tokens": 1})
        has_error(reply, status, *words, got=got)

    good = picture_part(read_bytes("img003.png"))
    noise = random.Random(1).randbytes(3 * 350 * 350)
    with serving("--media-ram", "1", "--image-pixels", "1000000", "-c", "512") as s:
        here = os.path.join(MEDIA, "img003.png")
        for url in here, "file://" + here, "http://127.0.0.1:1/x.png", "-", "FILE:" + here, "/dev/stdin":
            refused(s, 400, "data:", "not opened", parts=[good, {"type": "image_url", "image_url": {"url": url}}])
            refused(s, 400, "not opened", parts=[{"type": "input_audio", "input_audio": {"data": url, "format": "wav"}}])
        whole = read_bytes("img003.png")
        for data in whole[:300], b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(20), b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"no picture", png(30000, 30000, rows=1), png(0, 5), png(5, 5, rows=2), read_bytes("aud000.wav"):
            refused(s, 400, "picture or sound 2", parts=[good, picture_part(data)])
        for data in read_bytes("aud000.wav")[:30], b"RIFF", b"fLaC" + bytes(50), b"ID3\4" + bytes(80), whole, b"OggS" + bytes(60):
            refused(s, 400, "picture or sound 1", parts=[sound_part(data)])
        refused(s, 400, "empty", parts=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}])
        refused(s, 400, "base64", parts=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}])
        refused(s, 400, "pixels", parts=[picture_part(png(2000, 1000))])
        refused(s, 400, "at most 64", parts=[good] * 65)
        refused(s, 400, "the context holds", parts=[good] * 60)
        refused(s, 400, "films", parts=[{"type": "video_url", "video_url": {"url": "data:image/gif;base64,R0lGODlh"}}])
        refused(s, 400, "--media-ram", parts=[picture_part(png(700, 700, random.Random(2).randbytes(3 * 700 * 700)))])
        # Each fits, both do not at once; those of earlier requests make room.
        two = [picture_part(png(350, 350, noise)), picture_part(png(350, 350, noise[::-1]))]
        refused(s, 503, "--media-ram", parts=two)
        for part in two:
            s.chat(messages=seen(part), max_tokens=1)
        s.chat(messages=seen(good), max_tokens=1)
    for flags in ["--no-media"], ["-c", "32"]:
        with serving(*flags) as s:
            expect(json.loads(s.ask("GET", "/props")[2])["modalities"]["vision"] is False, f"modalities with {flags}")
            refused(s, 400, flags[0] if len(flags) == 1 else "larger -c", parts=[good])


run_checks(globals())
