"""What the tools read of ELF files: sections, symbols, relocations."""
import struct


class Elf:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.wide = self.data[4] == 2
        section = struct.Struct("<IIQQQQIIQQ" if self.wide else "<IIIIIIIIII")
        at = struct.unpack_from("<Q", self.data, 40)[0] if self.wide else struct.unpack_from("<I", self.data, 32)[0]
        count, names = struct.unpack_from("<HH", self.data, 60 if self.wide else 48)
        self.sections = [section.unpack_from(self.data, at + i * section.size) for i in range(count)]
        base = self.sections[names][4]
        self.names = [self.string(base + s[0]) for s in self.sections]

    def string(self, at):
        return self.data[at : self.data.index(b"\0", at)].decode()

    def number(self, at):
        """An unsigned LEB128."""
        value = shift = 0
        while True:
            byte = self.data[at]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            at, shift = at + 1, shift + 7

    def symbols(self):
        """Yields name, value, type, section index."""
        table = next(s for s in self.sections if s[1] == 2)
        strings = self.sections[table[6]][4]
        entry = struct.Struct("<IBBHQQ" if self.wide else "<IIIBBH")
        for fields in entry.iter_unpack(self.data[table[4] : table[4] + table[5]]):
            if self.wide:
                name, info, _, index, value, _ = fields
            else:
                name, value, _, info, _, index = fields
            yield self.string(strings + name), value, info & 15, index

    def relocations(self):
        """Yields the section that is changed and the symbol's name."""
        names = [name for name, *_ in self.symbols()]
        for kind, _, _, at, size, _, target in (s[1:8] for s in self.sections if s[1] in (4, 9)):
            entry = struct.Struct(("<QQ" if self.wide else "<II") + ("qi"[not self.wide] if kind == 4 else ""))
            for _, info, *_ in entry.iter_unpack(self.data[at : at + size]):
                yield target, names[info >> (32 if self.wide else 8)]
