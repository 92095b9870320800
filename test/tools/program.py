"""program.py BUILD MODEL -o PROGRAM FLAGS...: as `gemmac -q` with these arguments,
but a program that another test has asked for is not compiled again. It is kept
in BUILD/test/programs as long as gemmac, its runtimes and the model are the same;
for tests of what programs do, not of what gemmac says. One file: no
--weights=external."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys


def stamp(*paths):
    """Changes when a file at or below one of the paths does."""
    found = hashlib.sha256()
    for path in paths:
        files = [path] if os.path.isfile(path) else [
            os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
        for file in sorted(files):
            stat = os.stat(file)
            found.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return found.hexdigest()[:20]


def main():
    build, arguments = sys.argv[1], sys.argv[2:]
    at = arguments.index("-o")
    model, flags, output = arguments[0], arguments[1:at] + arguments[at + 2 :], arguments[at + 1]
    # The emulator runs PTX alone, whatever assembler this machine has.
    if any(flag.startswith("--target=cuda") for flag in flags):
        flags.append("--ptxas=none")
    gemmac = os.path.join(build, "bin", "gemmac")
    folder = os.path.join(build, "test", "programs", stamp(gemmac, os.path.join(build, "lib")))
    os.makedirs(folder, exist_ok=True)
    for old in os.listdir(os.path.dirname(folder)): # of other compilers
        if old != os.path.basename(folder):
            shutil.rmtree(os.path.join(os.path.dirname(folder), old), ignore_errors=True)
    name = hashlib.sha256(" ".join([stamp(model), *flags]).encode()).hexdigest()[:20]
    kept = os.path.join(folder, name)
    with open(kept + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(kept):
            code = subprocess.run([gemmac, "-q", model, *flags, "-o", kept]).returncode
            if code:
                sys.exit(code)
    if os.path.exists(output):
        os.unlink(output)
    shutil.copy2(kept, output)


main()
