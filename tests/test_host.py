"""Host unit tests: each tests/NAME.c, which includes the machine-independent code it tests, under ASan and UBSan."""
import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FLAGS = [
    "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DSOCLE_HOST_TEST",
    f"-I{HERE.parent}", f"-I{HERE.parent}/include", f"-I{HERE}",
]  # fmt: skip


@pytest.mark.parametrize("source", sorted(path.stem for path in HERE.glob("*.c")))
def test_host(source, tmp_path):
    program = tmp_path / source
    compiler = ["clang", *FLAGS, HERE / f"{source}.c", "-o", program, "-lm"]
    built = subprocess.run(compiler, capture_output=True, text=True)
    if built.returncode:
        pytest.fail(built.stderr, pytrace=False)
    ran = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    counts = re.findall(r"^checks: (\d+) passed, (\d+) failed$", ran.stdout, re.M)
    if ran.returncode or len(counts) != 1 or counts[0][0] == "0" or counts[0][1] != "0":
        wrong = f"exit status {ran.returncode}; `checks: N passed, 0 failed` is asked for\n"
        pytest.fail(wrong + ran.stdout, pytrace=False)
