"""Each image of tests.toml, on each of its architectures and CPUs: status, checks and console must all agree."""
import subprocess

import pytest
import qemu


def test_image(case, tmp_path):
    for reason in qemu.missing_sources(case).values():
        pytest.skip(reason)
    command, problem = None, None
    try:
        command = qemu.run_command(case, tmp_path)
    except qemu.TableError as error:
        problem = str(error)
    if problem:
        pytest.fail(problem, pytrace=False)
    result = subprocess.run(
        command, input=case.get("input", "").encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    console = result.stdout.decode(errors="replace").replace("\r\n", "\n")
    wrong = qemu.judge(case, result.returncode, console)
    if wrong:
        pytest.fail(qemu.report(command, wrong, console), pytrace=False)
