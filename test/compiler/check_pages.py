#!/usr/bin/env python3
"""Compares completions and manual pages with --help: check_pages.py PROGRAM...,
in a folder that may be written to. Bash runs its completions; those of zsh and fish are read, and run where these
shells are. Exits 1 with what differs."""
import os
import re
import shutil
import subprocess
import sys

problems = []


def output(*command, code=0):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != code:
        problems.append("%s: exit code %d: %s" % (" ".join(command), done.returncode, done.stderr))
    return done.stdout


# Flags of a line of help, in front of what they mean: "-c, --ctx-size N  most".
HELP = re.compile(r"^(?: {2}| {6})(-[\w-]+(?:,\s*--[\w-]+)?)", re.M)


def flags_of_help(program, *command):
    found = set()
    for names in HELP.findall(output(program, *command, "--help")):
        found |= set(re.split(r",\s*", names))
    return found


def commands_of(program):
    text = output(program, "--help")
    if "\ncommands" in text:  # of a program
        return re.findall(r"^  ([a-z]+) ", text[text.index("\ncommands"):], re.M)
    return ["doctor"] if os.path.basename(program) == "gemmac" else []


def bash(program, script, words):
    """What bash offers for the last of `words`."""
    name = os.path.basename(program)
    quoted = " ".join("'%s'" % word for word in [name, *words])
    run = ('source "$1"; COMP_WORDS=(%s); COMP_CWORD=%d; f=$(complete -p %s); f=${f##*-F }; ${f%%%% *}; '
           'printf "%%s\\n" "${COMPREPLY[@]}"') % (quoted, len(words), name)
    return set(output("bash", "-c", run, "bash", script).split())


def same(what, found, expected):
    if found != expected:
        problems.append("%s: lacks %s, has besides %s" % (what, sorted(expected - found), sorted(found - expected)))


def check(program):
    name = os.path.basename(program)
    commands = commands_of(program)
    texts = {}
    for shell in ("bash", "zsh", "fish"):
        texts[shell] = output(program, "--completions=" + shell)
        assert texts[shell] == output(program, "--completions", shell)
        with open("completions." + shell, "w") as file:
            file.write(texts[shell])
        if shutil.which(shell):
            output(shell, "-n", "completions." + shell)
    output(program, "--completions=tcsh", code=2)
    page = output(program, "--man").replace("\\-", "-")

    own = flags_of_help(program)
    if commands and name != "gemmac":  # without a command a program runs
        own |= flags_of_help(program, "run")
    tables = {"": own, **{command: flags_of_help(program, command) for command in commands}}
    parts = page.split("\n.SH ")
    for command, flags in tables.items():
        assert len(flags) > 2, (program, command, flags)
        what = "%s %s" % (name, command)
        words = [command] if command else []
        same(what + ": bash", bash(program, "completions.bash", [*words, "-"]), flags)
        start = "  %s\\) flags=\\(\n(.*?)\n    \\) ;;" % (command or "\\*")
        block = re.search(start, texts["zsh"], re.S)[1]
        same(what + ": zsh", set(re.findall(r"'\*(--?[\w-]+?)[=+]?\[", block)), flags)
        when = ("-n '__fish_seen_subcommand_from %s'" % command if command
                else "-n 'not __fish_seen_subcommand_from" if commands else "")
        fish = set()
        for line in texts["fish"].splitlines():
            if line.startswith("complete ") and when in line:
                line = line.split(" -d ")[0]
                fish |= {"-" + n for n in re.findall(r" -[so] (\S+)", line)} | {"--" + n for n in re.findall(r" -l (\S+)", line)}
        same(what + ": fish", fish, flags)
        section = next(p for p in parts if p.startswith('"COMMAND %s"' % command if command else "OPTIONS"))
        heads = re.findall(r"^\.TP\n(\\fB-.*)$", section, re.M)
        same(what + ": man", {flag for head in heads for flag in re.findall(r"\\fB(-[\w-]+)\\fR", head)}, flags)

    # Names of commands, values and paths.
    if commands:
        same(name + ": commands", bash(program, "completions.bash", [""]) & set(commands), set(commands))
    if name == "gemmac":
        same("--weights", bash(program, "completions.bash", ["--weights", "=", "e"]), {"embedded", "external"})
        same("--weights", bash(program, "completions.bash", ["--weights", "="]), {"embedded", "external", "none"})
        same("--quant", bash(program, "completions.bash", ["--quant", "q"]), {"q8", "q4"})
        os.makedirs("a folder", exist_ok=True)
        same("-o", bash(program, "completions.bash", ["-o", "a f"]), {"a", "folder"})
        assert "exit codes" in page
    if name == "nano":
        same("--load", bash(program, "completions.bash", ["chat", "--load", "c"]), {"copy"})
        same("-n", bash(program, "completions.bash", ["run", "-n", ""]), set())
    # Lines that roff takes for requests are its own.
    for line in page.splitlines():
        if line.startswith((".", "'")) and not re.match(r"\.(TH|SH|TP|br|nf|fi)\b", line):
            problems.append("%s: roff would read '%s' as a request" % (name, line))
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=output(program, "--man"), capture_output=True, text=True)
        if done.stderr:
            problems.append("%s: groff: %s" % (name, done.stderr))


def main():
    for program in sys.argv[1:]:
        check(program)
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main())
