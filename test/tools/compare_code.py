"""compare_code.py OLD_GEMMAC NEW_GEMMAC CONFIGS [SIZE/TARGET/QUANT ...]: whether two builds of the
compiler make the same machine code of the real configurations.

Functions are compared by their instructions, free of names and addresses, so renamed kernels are
the same. Prints for each program how many functions there are, and the names of those that only
one side has; exits 1 if there are any. Needs llvm-objdump and llvm-objcopy of LLVM 22 on PATH.
"""
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

PROGRAMS = [f"{size}/{target}/{quant}"
            for size, quant in (("E2B", "q4"), ("26B-A4B", "q4"), ("E2B", "auto"), ("E2B", "f32"), ("12B", "q8"))
            for target in ("x86-avx512", "x86-avx2", "arm-neon")]


def functions(gemmac, configs, program, folder):
    """{instructions: names} of all functions, and the bytes of the constants."""
    size, target, quant = program.split("/")
    obj = pathlib.Path(folder) / "code.o"
    subprocess.run([gemmac, "-q", f"{configs}/{size}", f"--target={target}", f"--quant={quant}",
                    "--emit=obj", "-o", obj], check=True)
    text = subprocess.run(["llvm-objdump", "-d", "--no-show-raw-insn", "--no-addresses", obj],
                          check=True, capture_output=True, text=True).stdout
    found = collections.defaultdict(list)
    name, lines = None, []

    def end():
        # Padding between functions is not theirs.
        while lines and re.match(r"\s*(nop|int3|xchg)", lines[-1]):
            lines.pop()
        if name and not name.startswith("gm_") and lines:
            found["\n".join(lines)].append(name)

    for line in text.splitlines():
        if match := re.match(r"<(.*)>:$", line):
            end()
            name, lines = match.group(1), []
        elif line.startswith("\t") or line.startswith(" "):
            # Addresses in text and distances between functions are not code.
            line = re.sub(r"\b(?:0x)?[0-9a-f]+ <[^>]*>", "<>", line)
            line = re.sub(r"<[^>]*>", "<>", line)
            lines.append(re.sub(r"-?0x[0-9a-f]+\(%rip\)", "(%rip)", line))
    end()
    return found


def main():
    old, new, configs, *programs = sys.argv[1:]
    different = 0
    for program in programs or PROGRAMS:
        with tempfile.TemporaryDirectory() as folder:
            before = functions(old, configs, program, folder)
            after = functions(new, configs, program, folder)
        gone = sorted(n for code, names in before.items() if code not in after for n in names)
        come = sorted(n for code, names in after.items() if code not in before for n in names)
        print(f"{program}: {sum(map(len, before.values()))} functions, {len(gone)} differ", flush=True)
        for name in gone:
            print("  -", name)
        for name in come:
            print("  +", name)
        different += bool(gone or come)
    print(f"{different} programs differ")
    return different != 0


if __name__ == "__main__":
    sys.exit(main())
