"""tools/socle.gdb, in the way that `make debug` loads it: stops qemu-tests/gdb.c while a goroutine is parked."""
import functools
import re
import subprocess

import pytest
import qemu

COMMANDS = (
    "tbreak stop_here", "continue", "p $pc",
    "echo ==== goroutines\\n", "socle-goroutines",
    "echo ==== stacks\\n", "socle-stacks",
    "echo ==== here\\n", "socle-traceback",
    "echo ==== parked\\n", "socle-goroutine 2",
    "echo ==== bt\\n", "bt",
    "echo ==== back\\n", "socle-back", "p $pc",
    "echo ==== main again\\n", "socle-goroutine 2", "socle-goroutine 1",
    "echo ==== continue\\n", "socle-goroutine 2", "continue",
)  # fmt: skip


@functools.lru_cache
def run(arch):
    """What gdb said after each `echo ==== name`."""
    image = qemu.image_path({"arch": arch, "image": "qemu-tests/gdb.c"})
    words = [f"--gdb-arg={word}" for command in COMMANDS for word in ("-ex", command)]
    result = subprocess.run(
        [qemu.TREE / "tools/run", "--debug", "--gdb-arg=-batch", *words, image],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip
    parts = re.split(r"^==== (.*)\n", result.stdout, flags=re.M)
    return {"start": parts[0]} | dict(zip(parts[1::2], parts[2::2]))


@pytest.fixture
def session(arch):
    return run(arch)


def frames(text):
    """The functions of a traceback, a change of stacks as `on OWNER`."""
    found = re.findall(r"^  on the stack of (.*):$|^  #\d+ +0x[0-9a-f]+ in (\S+)", text, re.M)
    return [f"on {owner}" if owner else name for owner, name in found]


def in_order(names, found):
    rest = iter(found)
    return all(name in rest for name in names)


WAITER = ["on goroutine 2 (waiter)", "socle_chan_recv", "wait_inside", "waiter", "g_start"]
MAIN = [
    "on goroutine 1 (main)", "stop_here", "called_back", "arch_call_on",
    "on m0's g0 (boot stack)", "callback", "socle_callback", "foreign_routine", "arch_call_on",
    "on goroutine 1 (main)", "socle_foreign_call", "main", "run_main", "g_start",
]  # fmt: skip


def test_goroutines(session):
    lines = session["goroutines"].splitlines()
    assert len(lines) == 2, lines
    assert re.match(r"\* goroutine 1 \(main\), running, 1 callbacks deep, stack \[0x", lines[0])
    assert re.match(r"  goroutine 2 \(waiter\), waiting: receiving from channel 0x[0-9a-f]+, stack \[0x", lines[1])


def test_stacks(session):
    owners = re.findall(r"KiB  (.*)", session["stacks"])
    assert owners[0] == "m0's g0 (boot stack)" and "fault handler" in owners and "irq handler" in owners
    assert re.fullmatch(r"goroutine 1 \(main\), SP \d+ bytes deep", owners[-2]) and owners[-1] == "goroutine 2 (waiter)"


def test_traceback_crosses_the_stacks(session):
    assert in_order(MAIN, frames(session["here"])), session["here"]
    assert "stop_here at qemu-tests/gdb.c:" in session["here"]


def test_parked_goroutine(session):
    assert in_order(WAITER, frames(session["parked"])), session["parked"]
    assert "wait_inside at qemu-tests/gdb.c:" in session["parked"]
    assert "stop_here" not in session["parked"]


def test_gdb_sees_the_parked_goroutine(session):
    assert in_order(WAITER[1:], re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(\w+)", session["bt"], re.M)), session["bt"]


def test_back(session):
    before, after = (re.search(r"= .*(0x[0-9a-f]+ <stop_here\+\d+>)", session[part]) for part in ("start", "back"))
    assert before and after and before[1] == after[1]
    assert in_order(MAIN, frames(session["main again"])), session["main again"]


def test_continue_goes_back_first(session):
    """The image ends well, though another goroutine's registers were loaded when it was told to go on."""
    said = session["continue"]
    assert re.search(r"^checks: 22 passed, 0 failed\nsocle: exit status 0$", said, re.M), said
