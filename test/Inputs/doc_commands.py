"""Checks the flags that documents speak of: doc_commands.py ROOT PROGRAM...

PROGRAM is what gemmac made of a model; flags may be of any of several, for
different targets. In code of the README, CONTRIBUTING and
the like (indented lines, fenced lines and `spans`) a flag --x after gemmac,
gemma-opt, gemma-kernels or the name of a program must stand in the help of that
tool; one without a tool in front, in that of any. Prints what is wrong and exits 1 if there is anything."""
import glob
import os
import re
import subprocess
import sys

ROOT, PROGRAMS = sys.argv[1], sys.argv[2:]
COMMANDS = ("run", "chat", "serve", "eval", "bench", "tokenize", "detokenize", "info")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
# Words that begin a command, and whose it is ("": not checked).
TOOLS = [(r"(?:build/bin/)?gemmac", "gemmac"), (r"(?:build/bin/)?gemma-opt", "gemma-opt"),
         (r"(?:build/bin/)?gemma-kernels", "gemma-kernels"),
         (r"PROGRAM|(?:build/|\./)(?:gemma|nano)[\w-]*|eval|info", "program"),
         (r"(?:build/bin/)?gemma-eval|cmake|ninja|lit|/usr/[\w/.-]+|qemu-\w+|git|[\w/.-]*python3|\./bootstrap"
          r"|build/unit/\w+|clang[\w+-]*|cc|pkg-config|mmdebstrap", "")]
START = re.compile(r"(?<![\w/.-])(?:%s)(?![\w/.-])" % "|".join(f"({words})" for words, _ in TOOLS))


def help_of(*commands):
    text = ""
    for command in commands:
        result = subprocess.run(command, capture_output=True, text=True)
        text += result.stdout + result.stderr
    return set(FLAG.findall(text)) | {"--help", "--version"}


def code(text):
    """The lines of a document's code with their numbers."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield number, line
        else:
            for span in re.findall(r"`([^`]+)`", line):
                yield number, span


def main():
    known = {"gemmac": help_of(["gemmac", "--help"]), "gemma-opt": help_of(["gemma-opt", "--help"]),
             "gemma-kernels": help_of(["gemma-kernels", "--help"]),
             "program": help_of(*([program, "--help"] for program in PROGRAMS),
                                *([program, command, "--help"] for program in PROGRAMS for command in COMMANDS))}
    known["any"] = set().union(*known.values())
    checked, problems = 0, []
    paths = [path for pattern in ("*.md", "docs/*.md", "examples/*.md")
             for path in sorted(glob.glob(os.path.join(ROOT, pattern)))
             if not path.endswith("docs/performance.md")]  # commands of test/perf/compare
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for number, line in code(text):
            starts = [(match.start(), TOOLS[match.lastindex - 1][1]) for match in START.finditer(line)]
            for flag in FLAG.finditer(line):
                before = [tool for at, tool in starts if at < flag.start()]
                tool = before[-1] if before else "any"
                if not tool:
                    continue
                checked += 1
                if flag.group() not in known[tool]:
                    name = os.path.relpath(path, ROOT)
                    problems.append(f"{name}:{number}: {flag.group()} is no flag of {tool}: {line.strip()}")
    print("\n".join(problems))
    print(f"{checked} flags, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
