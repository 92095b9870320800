"""What an alteration did to a checkpoint, and what is right then. Must not know
the alterations themselves, nor who answers."""

# What is right: the answer of transformers (of the unaltered model, where
# transformers has none), that or a refusal which names the altered thing, or
# such a refusal alone.
SAME, MAY, MUST = range(3)


class Case:
    def __init__(self, folder, random):
        self.folder, self.r = folder, random
        self.notes, self.names, self.rule = [], set(), SAME
        self.chat = "small" if folder.kind == "E" else "large" # form of the protocol; None: either
        # Functions of a Folder that take back what transformers does not read but
        # is to be read; it is then asked for the rest.
        self.undo = []
        self.warns = False # a warning that names the altered thing does, too
        self.gguf = None # the file, where that is what is compiled

    def note(self, text, *names, rule=SAME):
        """`names`: a refusal must hold one of them, in any case of letters; without
        the usual prefix, which another alteration may have changed."""
        self.notes.append(text)
        self.names |= {str(name).removeprefix("model.language_model.").lower() for name in names}
        self.rule = max(self.rule, rule)

    def text(self):
        return "; ".join(self.notes)
