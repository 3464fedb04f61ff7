"""Reads an image's page tables from outside, through QEMU's monitor: does the machine have what the image says?

The image (qemu-tests/tables.c) prints `map: NAME LO HI PERM`, PERM one of r-x r-- rw- ---, for what it knows of,
then `map: done`, and waits.
"""
import re
import types

import pagewalk
import pytest
import qemu

PAGE = 4096


@pytest.fixture(scope="module")
def machine(tables_case, tmp_path_factory):
    """The image, waiting at `map: done`: its ranges, its mappings, and the monitor."""
    folder = tmp_path_factory.mktemp("tables")
    command = qemu.run_command(tables_case, folder)
    at = command.index(str(qemu.TREE / "tools/run")) + 1
    gdb = f"unix:{folder}/gdb,server=on,wait=off"
    command[at:at] = ["--monitor", f"{folder}/qmp", "--qemu-arg=-gdb", f"--qemu-arg={gdb}"]
    with qemu.Console(command) as console:
        console.until(r"^map: done")
        monitor = qemu.Monitor(f"{folder}/qmp")
        lines = re.findall(r"^map: (\S+) ([0-9a-fx]+) ([0-9a-fx]+) (r-x|r--|rw-|---)\r?$", console.text, re.M)
        assert len(lines) == len(re.findall(r"^map: (?!done)", console.text, re.M)), f"strange:\n{console.text}"
        arch = tables_case["arch"]
        yield types.SimpleNamespace(
            arch=arch,
            monitor=monitor,
            ranges=[(name, int(lo, 16), int(hi, 16), rights) for name, lo, hi, rights in lines],
            mappings=pagewalk.walk(monitor, arch, f"{folder}/gdb"),
        )
        monitor.quit()


def pages(machine, lo, hi):
    """The mappings that touch [lo, hi)."""
    return [m for m in machine.mappings if m[0] < hi and m[0] + m[1] > lo]


def edges(lo, hi):
    """Pages worth asking the machine about: both ends, the middle, and what lies between if that is little."""
    count = (hi - lo) // PAGE
    return [lo + i * PAGE for i in (range(count) if count <= 16 else (0, 1, count // 2, count - 2, count - 1))]


def test_says_something(machine):
    rights = [r for _, _, _, r in machine.ranges]
    assert {"r-x", "r--", "rw-", "---"} <= set(rights), machine.ranges
    assert machine.mappings


def test_no_page_both_writable_and_executable(machine):
    assert not [hex(m[0]) for m in machine.mappings if m[3] and m[4]]


def test_page_0_is_absent(machine):
    assert not pages(machine, 0, PAGE)
    assert machine.monitor.gva2gpa(0) is None


def test_absent_ranges_are_absent(machine):
    for name, lo, hi, rights in machine.ranges:
        if rights == "---":
            assert not pages(machine, lo, hi), f"{name}: there is a page in it"
            for address in edges(lo, hi):
                assert machine.monitor.gva2gpa(address) is None, f"{name}: {address:#x}"


def test_present_ranges_have_their_rights(machine):
    for name, lo, hi, rights in machine.ranges:
        if rights == "---":
            continue
        found = pages(machine, lo, hi)
        assert sum(min(hi, a + size) - max(lo, a) for a, size, *_ in found) == hi - lo, f"{name}: not all is there"
        wrong = [m for m in found if (m[3], m[4]) != ("w" in rights, "x" in rights)]
        assert not wrong, f"{name} is to be {rights}, but at {wrong[0][0]:#x}: writable, executable = {wrong[0][3:]}"
        for address in edges(lo, hi):
            (inside,) = pages(machine, address, address + 1)
            assert machine.monitor.gva2gpa(address) == inside[2] + address - inside[0], f"{name}: {address:#x}"


def test_nothing_else_is_executable(machine):
    text = [(lo, hi) for _, lo, hi, rights in machine.ranges if rights == "r-x"]
    for address, size, _, _, executable in machine.mappings:
        assert not executable or any(lo <= address and address + size <= hi for lo, hi in text), hex(address)


def test_the_machine_reads_its_tables_as_we_do(machine):
    """QEMU's own reading, where it has one: `info tlb` is for x86 only, on ARM gva2gpa at each mapping's ends."""
    if machine.arch == "armv7a":
        for address, size, physical, *_ in machine.mappings[:: max(1, len(machine.mappings) // 64)]:
            assert machine.monitor.gva2gpa(address + size - 4) == physical + size - 4
        return
    # One entry's own bits, without those of the levels above, which in our tables allow everything.
    assert sorted(machine.monitor.info_tlb()) == sorted((m[0], m[2], m[3], m[4]) for m in machine.mappings)
