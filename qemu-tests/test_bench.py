"""make bench: the same counts on each run, within what the issues ask for; and the page and the object that it prints."""
import importlib.machinery
import importlib.util
import json
import re

import qemu


def load_bench():
    loader = importlib.machinery.SourceFileLoader("bench", str(qemu.TREE / "tools/bench"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
    loader.exec_module(module)
    return module


bench = load_bench()


def test_counts(arch):
    image = bench.build(arch, "bench")
    counts = bench.count(arch, image)
    assert bench.count(arch, image) == counts
    assert set(counts) >= {name for name, _, _ in bench.ROWS}
    targets = {name: bench.limit(arch, target) for name, _, target in bench.ROWS if target is not None}
    assert not {name: counts[name] for name, target in targets.items() if counts[name] > target}


def test_what_it_prints(capsys):
    """Real time is measured, but nothing is expected of it here."""
    result = qemu.make("bench", "ARCH=x86_64", "JSON=1")
    assert result.returncode == 0, result.stdout
    results = json.loads(result.stdout)
    numbers = results["x86_64"]
    assert all(numbers["smp"][name][str(cpus)] > 0 for name, _ in bench.SMP_ROWS for cpus in bench.CPUS)
    bench.print_table(results | {"i386": numbers | {"mutex": 26, "yield": 200}})
    bench.print_beyond(results | {"i386": numbers | {"mutex": 26}})
    page = capsys.readouterr().out
    assert re.search(rf"^\| yield between .* \| +90 \| +{numbers['yield']:.0f} \| +\*200\* \|$", page, re.M)
    assert "own count: mutex lock + unlock, free on i386 (" in page
