#!/usr/bin/python3
"""Writes a film as YUV4MPEG2 (4:4:4): frames of one colour each, given as Y,U,V.

  make_y4m.py WIDTH HEIGHT FPS COLOUR... >film.y4m
"""
import sys

width, height, fps = map(int, sys.argv[1:4])
out = sys.stdout.buffer
out.write(b"YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C444\n" % (width, height, fps))
for colour in sys.argv[4:]:
    out.write(b"FRAME\n")
    for value in map(int, colour.split(",")):
        out.write(bytes([value]) * (width * height))
