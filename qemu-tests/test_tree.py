"""ARM: what boot makes of a device tree: of whole ones, with all that may be in one, and of broken ones.

QEMU would put its own RAM and command line into a tree it is given. So it gets one that is too large to load, and ours
is put where it would have been.
"""
import re
import struct
import subprocess

import pytest
import qemu

BEGIN, END, PROPERTY, NOP, LAST = 1, 2, 3, 4, 9
MIB = 1 << 20


def words(*numbers):
    return struct.pack(f">{len(numbers)}I", *numbers)


def padded(data):
    return data + bytes(-len(data) % 4)


def node(name, properties, *children):
    """(structure, names of properties): offsets of names are filled in by flatten()."""
    return name, properties, children


def flatten(root, reserved=()):
    """The tree as a blob: header, reservations, structure, strings. A NOP goes wherever one may be."""
    strings = b""

    def write(name, properties, children):
        nonlocal strings
        data = words(BEGIN) + padded(name.encode() + b"\0") + words(NOP)
        for key, value in properties.items():
            data += words(PROPERTY, len(value), len(strings)) + padded(value) + words(NOP)
            strings += key.encode() + b"\0"
        return data + b"".join(write(*child) for child in children) + words(END, NOP)

    structure = write(*root)[:-4] + words(LAST)
    reservations = b"".join(struct.pack(">QQ", *r) for r in (*reserved, (0, 0)))
    at_structure = 40 + len(reservations)
    at_strings = at_structure + len(structure)
    header = words(
        0xD00DFEED, at_strings + len(strings), at_structure, at_strings, 40, 17, 16, 0, len(strings), len(structure)
    )
    return header + reservations + structure + strings


def cells(address, size):
    return {"#address-cells": words(address), "#size-cells": words(size)}


def memory(name, base, size, **more):
    return node(name, {"device_type": b"memory\0", "reg": words(base, size), **more})


def tree(*children, root=cells(1, 1), reserved=()):
    return flatten(node("", root, *children), reserved)


CHOSEN = node("chosen", {"bootargs": b'one "two words"\0'})
RAM = memory("memory@40000000", 0x40000000, 96 * MIB)
FREE = 94  # MiB of those 96: less the image and the guard below it
FREE_WITHOUT = 62  # of the board's 64, when the tree is of no use


@pytest.fixture
def boot(request, tmp_path):
    """Boots an image by a tree; returns MiB of RAM free, and the console."""
    if "armv7a" not in (request.config.getoption("--arch") or qemu.ARCHS):
        pytest.skip("only ARM has a device tree")

    def run(blob, **more):
        big, ours = tmp_path / "big.dtb", tmp_path / "ours.dtb"
        big.write_bytes(flatten(node("", cells(1, 1) | {"big": bytes(2 * MIB)})))
        ours.write_bytes(blob)
        qemu_args = ["-dtb", str(big), "-device", f"loader,file={ours},addr=0x40000000,force-raw=on"]
        case = {"arch": "armv7a", "image": "qemu-tests/arguments.c", "id": "tree", "qemu_args": qemu_args} | more
        command = qemu.run_command(case, tmp_path)
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stdout + result.stderr
        return int(re.search(r", (\d+) MiB of RAM free", result.stdout)[1]), result.stdout

    return run


def test_memory_and_command_line(boot):
    free, console = boot(tree(RAM, CHOSEN))
    assert free == FREE
    assert re.search(r"booted by device tree\r?$", console, re.M)
    assert re.search(r"^3: main\|one\|two words\|\r?$", console, re.M)


def test_memory_in_parts(boot):
    parts = memory("memory@40000000", 0x40000000, 64 * MIB, reg=words(0x40000000, 32 * MIB, 0x42000000, 32 * MIB))
    assert boot(tree(parts, node("soc", {}, RAM), memory("memory@44000000", 0x44000000, 32 * MIB)))[0] == FREE


def test_what_is_no_memory(boot):
    disabled = memory("memory@46000000", 0x46000000, 32 * MIB, status=b"disabled\0")
    controller = memory("memory-controller@46000000", 0x46000000, 32 * MIB)
    other = node("memory@46000000", {"device_type": b"memoryless\0", "reg": words(0x46000000, 32 * MIB)})
    assert boot(tree(controller, disabled, other, RAM, node("soc", {}, disabled)))[0] == FREE


def test_cells_of_64_bits(boot):
    ram = memory("memory", 0, 0, reg=words(0, 0x40000000, 0, 96 * MIB, 1, 0, 0, MIB))
    assert boot(tree(ram, CHOSEN, root=cells(2, 2)))[0] == FREE


def test_reserved(boot):
    """In the list before the structure, and in nodes, whose cells are not the root's."""
    inside = node("a@45000000", {"reg": words(0, 0x45000000, 4 * MIB)}), node("pool", {"size": words(MIB)})
    nodes = node("reserved-memory", cells(2, 1), *inside)
    elsewhere = node("soc", {}, node("reserved-memory", cells(1, 1), node("b", {"reg": words(0x41000000, MIB)})))
    assert boot(tree(RAM, nodes, elsewhere, CHOSEN, reserved=[(0x44000000, 8 * MIB)]))[0] == FREE - 12


def test_initial_ram_disk(boot):
    bounds = {"linux,initrd-start": words(0x44000000), "linux,initrd-end": words(0, 0x44400000)}
    assert boot(tree(RAM, node("chosen", bounds)))[0] == FREE - 4
    for half in bounds:
        assert boot(tree(RAM, node("chosen", {half: bounds[half]})))[0] == FREE


def cut_in(blob, what):
    """Up to there, and the header says so."""
    end = blob.index(what) + 4 & ~3
    return blob[:4] + words(end) + blob[8:12] + words(end) + blob[16:32] + words(0, end - 56) + blob[40:end]


WHOLE = tree(RAM, CHOSEN)


@pytest.mark.parametrize(
    "blob, why",
    [
        (b"", "there is none"),
        (WHOLE[:20] + words(15) + WHOLE[24:], "its header is wrong"),
        (WHOLE[:8] + words(58) + WHOLE[12:], "its header is wrong"),
        (WHOLE[:4] + words(3 * MIB) + WHOLE[8:], "it is too large"),
        (tree(CHOSEN), "it lists no memory"),
        (tree(), "it lists no memory"),
        (tree(node("memory@40000000", {"device_type": b"memory\0"})), "it lists no memory"),
        (tree(RAM, root=cells(5, 1)), "it lists no memory"),
        (cut_in(WHOLE, b"memory@4"), "it lists no memory"),
    ],
)
def test_useless(boot, blob, why):
    free, console = boot(blob)
    assert free == FREE_WITHOUT
    assert re.search(rf"^boot: device tree at 40000000: {why}; taking 64 MiB of RAM\r?$", console, re.M)


@pytest.mark.parametrize("length", [0x10000, 0xFFFFFFF0, 0xFFFFFFF4])  # the last with its tag makes 0
def test_broken_behind_the_memory(boot, length):
    """What comes before counts, what comes after is lost."""
    free, console = boot(WHOLE.replace(words(PROPERTY, 16), words(PROPERTY, length)))
    assert (free, bool(re.search(r"^1: main\|\r?$", console, re.M))) == (FREE, True)


def cpus(*affinities, **more):
    """By number; with more properties for the one that is named."""
    nodes = [node(f"cpu@{a:x}", {"reg": words(a), **more.get(f"cpu{a}", {})}) for a in affinities]
    return node("cpus", cells(1, 0), node("idle-states", {"reg": words(1)}), *nodes)


def psci(**properties):
    return node("psci", {"compatible": b"arm,psci-0.2\0", **properties})


HVC = {"method": b"hvc\0"}


@pytest.mark.parametrize(
    "nodes, smp, count, words_of_it",
    [
        ([cpus(0, 1, 2, 3), psci(**HVC)], 4, 4, []),
        ([cpus(3, 2, 1, 0), psci(**HVC, cpu_on=words(0x84000003))], 4, 4, []),
        ([cpus(0, 1, 2, 3)], 4, 1, []),
        ([psci(**HVC)], 4, 1, []),
        ([cpus(0, 1, 2, cpu1={"status": b"fail-sss\0"}, cpu2={"status": b"disabled\0"}), psci(**HVC)], 4, 2, []),
        # Two that are not there: the next takes the number.
        ([cpus(0, 5, 1, 6, 2), psci(**HVC)], 3, 3, ["5 was not started: PSCI says -2", "6 was not started"]),
        ([cpus(0, 1), psci(**HVC, cpu_on=words(0x8400FFFF))], 2, 1, ["1 was not started: PSCI says -1"]),
    ],
)
def test_cpus(boot, nodes, smp, count, words_of_it):
    console = boot(tree(RAM, *nodes), image="qemu-tests/cpus-arm.c", smp=smp)[1]
    assert re.search(rf"^CPUs: {count}\r?$", console, re.M), console
    assert re.search(r"^checks: 6 passed, 0 failed", console, re.M), console
    assert console.count("socle: the CPU with MPIDR ") == len(words_of_it)
    for line in words_of_it:
        assert f"socle: the CPU with MPIDR {line}" in console
