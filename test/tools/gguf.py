"""Reads, changes and writes GGUF files (little endian, version 3), for tests."""
import mmap
import struct

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# type number -> (values, bytes) of a block
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 12: (256, 144),
          13: (256, 176), 14: (256, 210), 20: (32, 18), 30: (1, 2)}
STRING, ARRAY = 8, 9


class Tensor:
    def __init__(self, name, ne, kind, data):
        self.name, self.ne, self.kind, self.data = name, list(ne), kind, data


class Gguf:
    """entries: key -> (type, value), an array's value is (element type, list); strings are bytes.
    With data=False tensors have no data, so that a file of any size can be looked at."""

    def __init__(self, path=None, data=True):
        self.entries, self.tensors, self.version, self.alignment = {}, [], 3, 32
        if path:
            with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as bytes_of_file:
                self._parse(bytes_of_file, data)

    def _parse(self, data, keep):
        at = 4

        def number(form):
            nonlocal at
            (value,) = struct.unpack_from("<" + form, data, at)
            at += struct.calcsize("<" + form)
            return value

        def string():
            nonlocal at
            size = number("Q")
            at += size
            return data[at - size:at]

        def value(kind):
            if kind == STRING:
                return string()
            if kind == ARRAY:
                element, count = number("I"), number("Q")
                return element, [value(element) for _ in range(count)]
            return number(SCALARS[kind])

        assert data[:4] == b"GGUF"
        self.version = number("I")
        tensors, entries = number("Q"), number("Q")
        for _ in range(entries):
            key, kind = string().decode(), number("I")
            self.entries[key] = (kind, value(kind))
        places = []
        for _ in range(tensors):
            name = string().decode()
            ne = [number("Q") for _ in range(number("I"))]
            places.append((name, ne, number("I"), number("Q")))
        self.alignment = self.entries.get("general.alignment", (4, 32))[1]
        base = -(-at // self.alignment) * self.alignment
        for name, ne, kind, offset in places:
            end = base + offset + size(ne, kind) if keep else base + offset
            self.tensors.append(Tensor(name, ne, kind, data[base + offset:end]))

    def tensor(self, name):
        return next(t for t in self.tensors if t.name == name)

    def header(self, offsets=None, counts=None):
        """The bytes before the data, padded; `offsets` and `counts` replace the true ones."""
        if offsets is None:
            offsets, at = [], 0
            for t in self.tensors:
                offsets.append(at)
                at += -(-len(t.data) // self.alignment) * self.alignment
        out = [b"GGUF", struct.pack("<IQQ", self.version, *(counts or (len(self.tensors), len(self.entries))))]
        for key, (kind, value) in self.entries.items():
            out += [string(key.encode()), struct.pack("<I", kind), pack(kind, value)]
        for t, offset in zip(self.tensors, offsets):
            out += [string(t.name.encode()), struct.pack("<I%dQIQ" % len(t.ne), len(t.ne), *t.ne, t.kind, offset)]
        return pad(b"".join(out), self.alignment)

    def data(self):
        return b"".join(pad(t.data, self.alignment) for t in self.tensors)

    def write(self, path):
        with open(path, "wb") as f:
            f.write(self.header() + self.data())


def size(ne, kind):
    values = 1
    for n in ne:
        values *= n
    per, count = BLOCKS[kind]
    return values // per * count


def string(data):
    return struct.pack("<Q", len(data)) + data


def pack(kind, value):
    if kind == STRING:
        return string(value)
    if kind == ARRAY:
        element, items = value
        return struct.pack("<IQ", element, len(items)) + b"".join(pack(element, i) for i in items)
    return struct.pack("<" + SCALARS[kind], value)


def pad(data, alignment):
    return data + b"\0" * (-len(data) % alignment)


def split_experts(model):
    """ffn_gate_up_exps becomes ffn_gate_exps and ffn_up_exps."""
    out = []
    for t in model.tensors:
        if not t.name.endswith("ffn_gate_up_exps.weight"):
            out.append(t)
            continue
        columns, rows, experts = t.ne
        half = len(t.data) // experts // 2
        parts = [t.data[i * half:(i + 1) * half] for i in range(2 * experts)]
        for first, name in ((0, "ffn_gate_exps"), (1, "ffn_up_exps")):
            out.append(Tensor(t.name.replace("ffn_gate_up_exps", name), [columns, rows // 2, experts], t.kind,
                              b"".join(parts[first::2])))
    model.tensors = out


def write_parts(model, stem, parts):
    """STEM-00001-of-0000N.gguf ...: metadata in the first, tensors dealt in turn."""
    paths = []
    for i in range(parts):
        part = Gguf()
        part.entries = dict(model.entries) if i == 0 else {"general.architecture": (STRING, b"gemma4")}
        part.entries.update({"split.no": (2, i), "split.count": (2, parts),
                             "split.tensors.count": (5, len(model.tensors))})
        part.tensors = model.tensors[i::parts]
        paths.append("%s-%05d-of-%05d.gguf" % (stem, i + 1, parts))
        part.write(paths[-1])
    return paths


def main():
    import sys
    command, source, target = sys.argv[1:4]
    model = Gguf(source)
    if command == "split-experts":
        split_experts(model)
        model.write(target)
    elif command in ("head-same", "head-other", "head-alone"):
        embed = model.tensor("token_embd.weight")
        data = embed.data if command != "head-other" else embed.data[len(embed.data) // 2:] + embed.data[:len(embed.data) // 2]
        model.tensors.append(Tensor("output.weight", embed.ne, embed.kind, data))
        model.tensors = [t for t in model.tensors if command != "head-alone" or t is not embed]
        model.write(target)
    elif command == "parts":
        write_parts(model, target, 3)
    else:
        sys.exit("usage: gguf.py split-experts|head-same|head-other|head-alone|parts IN.gguf OUT")


if __name__ == "__main__":
    main()
