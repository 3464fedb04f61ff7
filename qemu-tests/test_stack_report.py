"""make stack-report, of qemu-tests/stack-report: entries whose frames are known, by clang's own -Wframe-larger-than."""
import fcntl
import functools
import os
import re
import shlex
import subprocess

import pytest
import qemu

APP = "qemu-tests/stack-report"
RETURN_ADDRESS = {"x86_64": 8, "i386": 4, "armv7a": 0}  # pushed by a call; ARM's is in the callee's frame
RED_ZONE = 128


def made(arch, folder):
    """What make stack-report prints; made once for all the processes that run tests."""
    with open(folder / f"stack-report-{arch}", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if text := file.read():
            return text
        qemu.image_path({"arch": arch, "image": APP})
        result = qemu.make("stack-report", f"ARCH={arch}", f"APP={APP}")
        assert result.returncode == 0, result.stdout
        file.write(result.stdout)
        return result.stdout


@pytest.fixture
def text(arch, tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    return made(arch, base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


@pytest.fixture
def entries(text):
    """(static, whether that is a lower bound, measured, calls, notes) of each entry, in order."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r"(>=|  ) *([\d,]+) +([\d,]+|-) +([\d,]+)  (\w+)$", line):
            static, measured, calls = (int(n.replace(",", "")) if n != "-" else None for n in match.group(2, 3, 4))
            notes = []
            found[match[5]] = (static, match[1] == ">=", measured, calls, notes)
        elif match := re.match(r" +! (.*)", line):
            notes.append(match[1])
    return found


@functools.lru_cache
def frames(arch):
    """The compiler's frame sizes in foreign/frames.c, as its warnings give them."""
    flags = (qemu.TREE / "build" / f"{arch}-{qemu.BOARDS[arch]}" / "flags").read_text().split(" | ")[0]
    command = [*shlex.split(flags), "-Wframe-larger-than=0", "-c", f"{APP}/foreign/frames.c", "-o", "/dev/null"]
    said = subprocess.run(command, cwd=qemu.TREE, check=True, capture_output=True, text=True).stderr
    return {name: int(size) for size, name in re.findall(r"stack frame size \((\d+)\).* in '(\w+)'", said)}


def expected(arch, *way):
    return sum(frames(arch).get(name, 0) for name in way) + RETURN_ADDRESS[arch] * (len(way) - 1)


@pytest.mark.parametrize(
    "entry, way",
    [
        ("chain", ("chain", "middle", "deep", "last")),
        ("tail", ("deep", "last")),  # by a jump: the entry's own frame is gone
        ("tabled", ("tabled", "deep", "last")),
        ("hidden_entry", ("hidden_entry", "last")),
        ("faults", ("faults", "last")),  # never returns
    ],
)
def test_exact(arch, entries, entry, way):
    static, lower_bound, measured, _, notes = entries[entry]
    assert static == expected(arch, *way) and not lower_bound
    assert not notes if entry != "faults" else notes[0].startswith("4 ended unseen, by a fault")
    assert static - 64 <= measured <= static  # the lowest bytes of the lowest frame may be padding


def test_frames_are_what_they_are_meant_to_be(arch):
    sizes = frames(arch)
    assert 1024 <= sizes["chain"] < 1100 and 4096 <= sizes["middle"] < 4200 and 80192 <= sizes["deep"] < 80300


def test_red_zone(arch, entries):
    static, lower_bound, measured, *_ = entries["red_zone"]
    own = frames(arch).get("red_zone", 0)
    assert measured >= 96 and measured <= static <= measured + 64 and not lower_bound
    assert own < static <= own + RED_ZONE if arch == "x86_64" else static == own


@pytest.mark.parametrize(
    "entry, note, least",
    [
        ("recursive", "recursion of descend", 9 * 512),
        ("by_pointer", "function pointer in by_pointer", 4096 + 80192),
        ("by_alloca", "alloca or change of stack in by_alloca", 20000),
        ("calls_back", "callback", 256 + 1024 + 4096 + 80192),  # whose foreign call is the chain
    ],
)
def test_lower_bounds_say_why(entries, entry, note, least):
    static, lower_bound, measured, _, notes = entries[entry]
    assert lower_bound and notes == [note]
    assert static < least < measured < least + 1500


def test_callback_room(arch, entries):
    text = "".join((qemu.TREE / "runtime" / name).read_text() for name in ("runtime.h", "foreign.c"))
    room = sum(int(re.search(rf"#define {name} (\d+)", text)[1]) for name in ("G0_SLACK", "CALLBACK_ROOM"))
    own = expected(arch, "calls_back") + room
    assert own <= entries["calls_back"][0] <= own + 64  # socle_callback's own frame, and what i386 pushes for it


def test_entries(entries):
    """Each one of foreign/ that is used elsewhere, whether it was called or not, and no other function of it."""
    calls = {name: found[3] for name, found in entries.items()}
    others = ("tail", "tabled", "recursive", "by_pointer", "by_alloca", "calls_back", "faults", "hidden_entry")
    assert calls == {"chain": 8, "red_zone": 8, "never_called": 0} | {name: 4 for name in others}
    assert entries["never_called"][2] is None and entries["never_called"][0] == entries["tail"][0]


def test_sorted_by_depth(entries):
    depths = [max(static, measured or 0) for static, _, measured, *_ in entries.values()]
    assert depths == sorted(depths, reverse=True)


def test_end(text, entries):
    """The run went well, the compiler's sizes are those of the instructions, and how to size stacks is said."""
    assert "the run: exit status 0\n" in text and "warning" not in text
    used = int(re.search(r"^([\d,]+) of 1,048,\d+ bytes used: a foreign call's own$", text, re.M)[1].replace(",", ""))
    assert entries["tail"][2] <= used < entries["tail"][2] + 64
    assert "socle_foreign_attr.stack_size" in text.splitlines()[-4] and "guard gap" in text.splitlines()[-1]
