"""Compares runtime/media/sound.cpp with soxr at many rates: check_resampler.py [RATE...].

Builds it as a shared library with clang++-22, resamples full-scale noise, a
sweep and a square wave, and prints the largest differences. Not a part of the
tests, which hold recorded results; needs numpy and PyPI's soxr 1.1.0.
"""
import ctypes
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import soxr

RATES = [4000, 4001, 5512, 5760, 6000, 7350, 8000, 9000, 9600, 10000, 11000, 11025, 11111, 11200, 12000, 12800, 14000,
         15999, 16001, 16537, 17000, 18000, 18900, 19000, 20000, 20800, 21000, 21333, 22000, 22050, 22255, 23000, 24000,
         24001, 24320, 25000, 25600, 27840, 28000, 31250, 31900, 32000, 33000, 35200, 36000, 37800, 40000, 44056, 44100,
         47250, 47952, 48000, 48001, 50000, 50400, 56000, 63000, 64000, 80000, 88200, 96000, 100000, 128000, 144000, 176400,
         192000, 200000, 250000, 352800, 384000, 705600, 768000]
BOUND = 1e-4
WRAPPER = """
#include "runtime/media/sound.h"
#include <cstring>
extern "C" long resample(const float *from, long samples, long rate, float *to) {
  std::vector<float> out;
  if (!gm::media::resample(from, samples, rate, out).ok())
    return -1;
  memcpy(to, out.data(), out.size() * sizeof(float));
  return long(out.size());
}
"""


def build(folder):
    root = pathlib.Path(__file__).resolve().parents[2]
    (folder / "wrapper.cpp").write_text(WRAPPER)
    subprocess.run(["clang++-22", "-O2", "-std=c++20", "-ffp-contract=off", "-shared", "-fPIC", f"-I{root}",
                    folder / "wrapper.cpp", root / "runtime/media/sound.cpp", root / "runtime/status.cpp",
                    "-o", folder / "resample.so"], check=True)
    library = ctypes.CDLL(folder / "resample.so")
    library.resample.restype = ctypes.c_long
    return library.resample


def ours(resample, sound, rate):
    out = np.zeros(-(-len(sound) * 16000 // rate), np.float32)
    made = resample(sound.ctypes.data_as(ctypes.c_void_p), ctypes.c_long(len(sound)), ctypes.c_long(rate),
                    out.ctypes.data_as(ctypes.c_void_p))
    assert made == len(out), (rate, made)
    return out


def theirs(sound, rate):
    length = -(-len(sound) * 16000 // rate)
    made = soxr.resample(sound, rate, 16000, quality="soxr_hq")
    return np.pad(made, (0, max(0, length - len(made))))[:length]


def sounds(rate):
    time = np.arange(rate) / rate
    sweep = 0.9 * np.sin(2 * np.pi * 0.55 * min(rate, 16000) / 2 * time * time)
    noise = np.random.default_rng(rate).normal(0, 0.3, rate).clip(-1, 1)
    square = np.where(np.arange(rate) % 1000 < 500, 0.9, -0.9)
    return [sound.astype(np.float32) for sound in (noise, sweep, square)]


def main(rates):
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        resample = build(pathlib.Path(folder))
        for rate in rates:
            off = [float(np.abs(ours(resample, sound, rate) - theirs(sound, rate)).max()) for sound in sounds(rate)]
            print(rate, *(f"{value:.1e}" for value in off))
            bad += [rate] if max(off) > BOUND else []
    print("more than", BOUND, "away:", *(bad or ["none"]))
    return 1 if bad else 0


sys.exit(main([int(rate) for rate in sys.argv[1:]] or RATES))
