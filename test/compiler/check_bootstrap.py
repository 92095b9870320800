#!/usr/bin/env python3
"""Runs `bootstrap demo` with everything that it calls replaced by scripts:
check_bootstrap.py SOURCE WORK. Nothing is installed or built."""
import os
import re
import shutil
import subprocess
import sys

# Knows x86-avx2 and arm-neon; the first is the host's on some machines. What it
# compiles says for what.
GEMMAC = """#!/bin/sh
echo "$@" >>log
case " $* " in
*" --list-targets "*) printf 'x86-avx512 a\\nx86-avx2 b%s\\narm-neon c\\n' "$HOST_MARK"; exit 0 ;;
*" --target=x86-avx512 "*) target=x86-avx512 ;;
*" --target=arm-neon "*) target=arm-neon ;;
*) [ -n "$HOST_MARK" ] || exit 6; target=x86-avx2 ;;
esac
[ -z "$BROKEN" ] || exit $BROKEN
printf '#!/bin/sh\\n[ %s != x86-avx512 ] || exit 6\\necho "ran $0 for %s"\\n' $target $target >build/nano
chmod +x build/nano
"""


def script(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o755)


def demo(source, work, mark="", broken=""):
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work + "/build")
    open(work + "/build/build.ninja", "w").close()
    shutil.copy(source + "/bootstrap", work)
    shutil.copytree(source + "/cmake", work + "/cmake")
    for name in ("halide", "miniaudio", "cuda-tools", "page"):
        os.makedirs(work + "/.deps/" + name)
        shutil.copy(source + "/cmake/" + name + ".txt", work + "/.deps/" + name + "/.complete")
    with open(source + "/bootstrap") as file:
        archives = re.search(r"^archives=\(\n(.*?)\n\)", file.read(), flags=re.M | re.S).group(1)
    os.makedirs(work + "/.deps/arm64")
    with open(work + "/.deps/arm64/.complete", "w") as file:
        file.write(" ".join(archives.split()) + "\n")
    script(work + "/build/bin/gemmac", GEMMAC)
    script(work + "/tools/dpkg-query", "#!/bin/sh\necho installed\n")
    script(work + "/tools/ninja", "#!/bin/sh\necho ninja \"$@\" >>log\n")
    script(work + "/tools/qemu-aarch64", "#!/bin/sh\nprintf 'emulated: '; exec \"$@\"\n")
    env = {"PATH": work + "/tools:" + os.environ["PATH"], "HOST_MARK": mark, "BROKEN": broken}
    done = subprocess.run(["bash", work + "/bootstrap", "demo"], env=env, capture_output=True, text=True)
    with open(work + "/log") as log:
        return done.returncode, done.stdout, log.read()


def main():
    source, work = (os.path.abspath(a) for a in sys.argv[1:3])
    work += "/tree"
    code, out, log = demo(source, work, mark="  [host]")
    assert code == 0 and "ran build/nano for x86-avx2" in out and "emulated" not in out, (code, out, log)
    for tool in ("gemmac", "gemma-opt", "gemma-kernels"):
        assert tool in log.split("\n")[0].split(), "not built: " + tool
    code, out, log = demo(source, work)
    assert code == 0 and "emulated: ran build/nano for arm-neon" in out, (code, out, log)
    code, out, log = demo(source, work, mark="  [host]", broken="5")
    assert code == 5 and "ran" not in out, (code, out, log)


main()
