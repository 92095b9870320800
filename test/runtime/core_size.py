"""Counts the lines of code of a folder: usage FOLDER MOST."""
import pathlib
import re
import sys

folder, most = sys.argv[1], int(sys.argv[2])
files = [f for f in pathlib.Path(folder).iterdir() if f.suffix in (".cpp", ".h")]
count = sum(not re.fullmatch(r"\s*(//.*)?", line) for f in files for line in f.read_text().splitlines())
print(count, "lines")
sys.exit(not 0 < count <= most)
