"""Host unit tests of machine-independent code: each tests/NAME.c, linked with the sources it tests, under ASan and
UBSan; and where there are threads, under TSan."""
import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
QUEUES = ["runtime/heap.c", "runtime/time.c", "runtime/wait.c"]
LINKED = {  # what they do not include
    "concurrent": [*QUEUES, "runtime/chan.c", "runtime/select.c", "runtime/sync.c"],
    "fiber": ["runtime/fiber.c"],
    "heap": ["runtime/heap.c"],
    "preempt": ["runtime/preempt.c"],
    "runq": ["runtime/runq.c"],
    "scheduler": [
        *QUEUES, "runtime/proc.c", "runtime/m.c", "runtime/idle.c", "runtime/preempt.c", "runtime/runq.c",
        "runtime/chan.c", "runtime/select.c", "runtime/sync.c", "kernel/thread.c",
    ],  # fmt: skip
    "stack": ["runtime/arena.c", "runtime/stack.c"],
    "vm": ["kernel/frames.c", "kernel/vm.c"],
    "wait": QUEUES,
}
THREADED = ["concurrent", "fiber", "runq", "scheduler", "stack", "vm"]
FLAGS = [
    "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer", "-pthread",
    "-fno-sanitize-recover=all", f"-I{HERE.parent}", f"-I{HERE.parent}/include", f"-I{HERE}",
]  # fmt: skip
CASES = [(path.stem, "address,undefined") for path in sorted(HERE.glob("*.c"))]
CASES += [(name, "thread") for name in THREADED]


@pytest.mark.parametrize("name, sanitizer", CASES)
def test_host(name, sanitizer, tmp_path):
    program = tmp_path / name
    sources = [HERE / f"{name}.c", *(HERE.parent / path for path in LINKED.get(name, []))]
    built = subprocess.run(
        ["clang", *FLAGS, f"-fsanitize={sanitizer}", *sources, "-o", program], capture_output=True, text=True
    )
    if built.returncode:
        pytest.fail(built.stderr, pytrace=False)
    ran = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    counts = re.findall(r"^checks: (\d+) passed, (\d+) failed$", ran.stdout, re.M)
    if ran.returncode or len(counts) != 1 or counts[0][0] == "0" or counts[0][1] != "0":
        wrong = f"exit status {ran.returncode}; `checks: N passed, 0 failed` is asked for\n"
        pytest.fail(wrong + ran.stdout, pytrace=False)
