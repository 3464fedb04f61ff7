"""Models in Promela of what several CPUs do at once: each is right, and finds each bug that is put into it. spin looks
at every order in which their steps can come; models/NAME.pml says what of the C code it models."""
import re
import subprocess
from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parent / "models"
TAKES = ["STEAL_TAIL_RELAXED", "CAS_RELAXED", "CAS_NOT_ATOMIC"]
PUTS = ["PUT_HEAD_RELAXED", "PUT_TAIL_RELAXED", "EMPTY_HEAD_RELAXED", *TAKES]
STEALS = ["OWN_TAIL_RELAXED", "STEAL_TAIL_FIRST", "NULL_TAKEN_FOR_EMPTY", *TAKES]
PARKS = ["WAITING_RELAXED", "WAITING_EARLY", "NOT_WAITED", "PUT_RELAXED", "PUT_EARLY", "LOCK_RELAXED"]
TRIMS = ["EXCHANGE_LEFT_OUT", "NOT_WAITED", "STATUS_RELAXED", "BACK_RELAXED"]
RACES = ["READY_AT_ONCE", "CLAIM_UNLOCKED", "NO_CANCEL", "NO_LEAVE", "LEAVE_WAITS", "LEAVE_UNASKED"]
FENCES = ["NO_PUT_FENCE", "NO_IDLE_FENCE", "NO_STEAL_FENCE"]
IDLES = [*FENCES, "NO_SECOND_LOOK", "GLOBAL_UNSEEN", "TAKE_IGNORED", "SPINNING_BEFORE_WON", "THIEF_SILENT"]
YIELDERS = ["TICK_SILENT", "TICK_TOO_EARLY", "NO_TURN", "SHARE_SILENT"]
SPINNERS = ["NO_STOP_FENCE", "SPINNING_CLEARED_LATE", "STOPS_UNASKED", "GIVES_UP"]
PARKED = ["PARKED_EARLY", "WOKEN_DROPPED", "WRONG_QUEUE", "ASLEEP_KEPT", "INTERRUPT_LEFT_OUT", "FREED_EARLY"]
FOREIGN = ["LOCKED_M_LATE", "NEXT_P_LATE", "READY_ANYWHERE", "RETIRED_LATE", "RETIRED_AFTER_PARK", "P_KEPT"]
CASES = [  # the model, how large, and its bugs
    ("runq", [], PUTS),
    ("runq", ["STEAL"], STEALS),
    ("park", [], PARKS),
    ("race", [], RACES),
    ("trim", [], TRIMS),
    ("idle", ["CPUS=2"], IDLES),
    ("idle", ["CPUS=2", "YIELDS=2"], YIELDERS),
    ("idle", ["CPUS=3"], SPINNERS),
    ("thread", ["CPUS=2"], PARKED),
    ("thread", ["CPUS=3"], ["NO_GENERATION"]),
    ("foreign_p", ["MS=3", "PS=1"], []),
    ("foreign_p", ["MS=3", "PS=2"], FOREIGN),
    ("foreign_p", ["MS=3", "PS=2", "IDLE_MS=1"], ["FREED_AT_ONCE"]),
]


def errors(name, defines, folder):
    """All states are visited, or the first error found: how many there are, and what pan says."""

    def run(*command):
        ran = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    run("spin", "-a", "-Pclang -E -x c", *(f"-D{define}" for define in defines), MODELS / f"{name}.pml")
    run("clang", "-O0", "-w", "-DSAFETY", "-DMEMLIM=1000", "-o", "pan", "pan.c")
    said = run("./pan", "-m400000", "-w20", "-n")
    return int(re.search(r"errors: (\d+)$", said, re.M)[1]), said


def test_no_bug_is_left_out():
    """Each define that changes a model is tried."""
    for path in MODELS.glob("*.pml"):
        tried = {word for name, defines, bugs in CASES if name == path.stem for word in [*defines, *bugs]}
        tried = {word.partition("=")[0] for word in tried}
        asked = re.findall(r"^#ifn?def (\w+)|defined\((\w+)\)", path.read_text(), re.M)
        assert {a or b for a, b in asked} == tried, path.name


@pytest.mark.parametrize("name, size, bugs", CASES, ids=["-".join([name, *size]) for name, size, _ in CASES])
def test_model(name, size, bugs, tmp_path):
    found, said = errors(name, size, tmp_path)
    assert found == 0 and "error: max search depth" not in said and "Search not completed" not in said, said
    missed = [bug for bug in bugs if errors(name, [*size, bug], tmp_path)[0] == 0]
    assert not missed, f"{name}.pml does not find {missed}"
