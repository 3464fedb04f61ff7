"""Reads a stopped or waiting machine's page tables from outside, out of its physical memory.

walk(monitor, arch, ...) gives every mapping as (address, size, physical, writable, executable), in order.
"""
import re
import socket
import time

PRESENT, WRITE, LARGE, NO_EXECUTE = 1, 2, 128, 1 << 63
ADDRESS = 0x000FFFFFFFFFF000


def walk_x86(monitor, levels):
    """PAE has three levels, its first four entries without rights of their own; long mode has four."""

    def table(at, level, base, writable, executable):
        count = 4 if levels == 3 and level == 3 else 512
        shift = 12 + 9 * (level - 1)
        for i, entry in enumerate(monitor.physical(at, count)):
            if not entry & PRESENT:
                continue
            address = base + (i << shift)
            rights = count == 4
            may_write = writable and (rights or bool(entry & WRITE))
            may_execute = executable and (rights or not entry & NO_EXECUTE)
            if level == 1 or (entry & LARGE and not rights):
                yield address, 1 << shift, entry & ADDRESS & -(1 << shift), may_write, may_execute
            else:
                yield from table(entry & ADDRESS, level - 1, address, may_write, may_execute)

    root = monitor.register("CR3") & ~0xFFF if levels == 4 else monitor.register("CR3") & ~0x1F
    return list(table(root, levels, 0, True, True))


def walk_arm(monitor, ttbr0):
    """Short descriptors, TTBCR 0: sections of 1 MiB, small pages; AP[2] forbids writing, WXN is not counted on."""
    found = []
    for i, first in enumerate(monitor.physical(ttbr0 & ~0x3FFF, 4096, 4)):
        base = i << 20
        if first & 3 == 2:
            assert not first & 1 << 18, f"a supersection at {base:#x}"
            writable = bool(first & 1 << 10) and not first & 1 << 15
            found.append((base, 1 << 20, first & 0xFFF00000, writable, not first & 1 << 4))
        elif first & 3 == 1:
            for j, page in enumerate(monitor.physical(first & ~0x3FF, 256, 4)):
                assert page & 3 != 1, f"a large page at {base:#x}"
                if page & 2:
                    writable = bool(page & 1 << 4) and not page & 1 << 9
                    found.append((base + (j << 12), 1 << 12, page & ~0xFFF, writable, not page & 1))
    return found


class Gdb:
    """As much of gdb's remote protocol as it takes to read a system register that the monitor does not show."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.pending = b""
        self.send("qSupported:xmlRegisters=arm")
        while "PacketSize" not in self.receive():
            pass  # that it has stopped, because we connected

    def send(self, text):
        body = text.encode()
        self.socket.sendall(b"$" + body + b"#%02x" % (sum(body) & 255))

    def receive(self):
        while not (match := re.search(rb"\$([^#]*)#..", self.pending, re.S)):
            chunk = self.socket.recv(65536)
            assert chunk, "gdb's socket was closed"
            self.pending += chunk
        self.pending = self.pending[match.end() :]
        self.socket.sendall(b"+")
        return match[1].decode("latin-1")

    def ask(self, text):
        self.send(text)
        return self.receive()

    def document(self, name):
        text = ""
        while True:
            part = self.ask(f"qXfer:features:read:{name}:{len(text):x},800")
            text += part[1:]
            if part[0] != "m":
                return text

    def system_register(self, name):
        self.document("target.xml")
        tag = re.search(rf'<reg name="{name}"[^>]*regnum="(\d+)"', self.document("system-registers.xml"))
        return int.from_bytes(bytes.fromhex(self.ask(f"p{int(tag[1]):x}")), "little")

    def detach(self):
        self.ask("D")
        self.socket.close()
        time.sleep(0.05)


def walk(monitor, arch, gdb_socket):
    if arch == "armv7a":
        gdb = Gdb(gdb_socket)
        ttbr0 = gdb.system_register("TTBR0(?:_EL1|_NS)?")
        gdb.detach()
        return walk_arm(monitor, ttbr0)
    return walk_x86(monitor, 4 if arch == "x86_64" else 3)
