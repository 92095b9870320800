"""A model inside a Python program: embed.py LIBRARY TEXT, where LIBRARY is the
file libgemma.so of a folder that `gemmac --emit=lib` has made."""
import ctypes
import json
import sys


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int32), ("text", ctypes.c_char * 508)]


class Request(ctypes.Structure):  # begins as gemma_request; `size` says how far
    _fields_ = [("size", ctypes.c_size_t), ("chat", ctypes.c_char_p)]


class Piece(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("kind", ctypes.c_int32), ("call", ctypes.c_int32),
                ("text", ctypes.c_char_p)]


lib = ctypes.CDLL(sys.argv[1])
error, model, answer = Error(), ctypes.c_void_p(), ctypes.c_void_p()


def check(code):
    if code:
        sys.exit(f"error: {error.text.decode()}")


check(lib.gemma_open(None, ctypes.byref(model), ctypes.byref(error)))
chat = json.dumps({"messages": [{"role": "user", "content": sys.argv[2]}], "temperature": 0})
request = Request(ctypes.sizeof(Request), chat.encode())
check(lib.gemma_start(model, ctypes.byref(request), ctypes.byref(answer), ctypes.byref(error)))
piece = Piece(ctypes.sizeof(Piece))
while piece.kind != 5:  # GEMMA_END
    check(lib.gemma_next(answer, ctypes.c_int64(-1), ctypes.byref(piece), ctypes.byref(error)))
    if piece.kind == 1:  # GEMMA_TEXT
        print(piece.text.decode(), end="", flush=True)
print()
lib.gemma_end(answer)
lib.gemma_close(model)
