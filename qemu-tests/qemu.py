"""What the tests share: the table of images, how one is built and run, and QEMU's monitor."""
import fcntl
import functools
import json
import os
import re
import select
import shlex
import socket
import subprocess
import tempfile
import time
import tomllib
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
ARCHS = ["x86_64", "i386", "armv7a"]
BOARDS = {"x86_64": "pc", "i386": "pc", "armv7a": "virt"}
KEYS = {
    "name", "image", "archs", "args", "mem", "smp", "cpus", "machine", "firmware", "boot", "icount", "limit", "wall",
    "input", "status", "checks", "console", "absent", "monitor", "qemu_args", "sources", "machines", "seeds",
}  # fmt: skip


MACHINE = re.compile(r"([1-8])(| multi| single| icount)(| \d+)")  # the last is a seed


class TableError(Exception):
    pass


def load_table():
    """The stanzas of tests.toml, checked."""
    with open(TREE / "qemu-tests/tests.toml", "rb") as file:
        stanzas = tomllib.load(file).get("test", [])
    names = set()
    for stanza in stanzas:
        name = stanza.get("name")
        unknown = set(stanza) - KEYS - set(ARCHS)
        if not name or "image" not in stanza or unknown or name in names:
            raise TableError(f"tests.toml: {name}: no name or image, the same name twice, or unknown: {unknown}")
        if not any(key in stanza for key in ("checks", "console", "monitor")):
            raise TableError(f"tests.toml: {name}: it declares nothing to check")
        names.add(name)
    return stanzas


def on_machine(case, machine):
    """The case with `machines` of the table put in: CPUs, and how QEMU runs them."""
    match = MACHINE.fullmatch(machine)
    if not match:
        raise TableError(f"tests.toml: {case['name']}: no such machine: {machine}")
    how, seed = match[2].strip(), match[3].strip()
    args = {"args": f"{case.get('args', '')} chaos={seed}".strip()} if seed else {}
    single = ["-accel", "tcg,thread=single"] if how == "single" else []
    return case | args | {
        "id": f"{case['id']}-{machine.replace(' ', '-')}",
        "smp": int(match[1]),
        "icount": how == "icount",
        "qemu_args": case.get("qemu_args", []) + single,
    }


def spread(case):
    """One for each of its machines, and each of its seeds on each of them."""
    for one in [on_machine(case, machine) for machine in case["machines"]] if "machines" in case else [case]:
        if "seeds" not in case:
            yield one
        for seed in case.get("seeds", []):
            args = f"{case.get('args', '')} chaos={seed}".strip()
            yield one | {"id": f"{one['id']}-{seed}", "args": args}


def cases(archs, monitor=False):
    """One dictionary for each stanza, architecture, CPU, machine and seed, with what [test.ARCH] overrides put in."""
    for stanza in load_table():
        if ("monitor" in stanza) != monitor:
            continue
        for arch in stanza.get("archs", ARCHS):
            if arch not in archs:
                continue
            case = {k: v for k, v in stanza.items() if k not in ARCHS} | stanza.get(arch, {}) | {"arch": arch}
            for cpu in case.get("cpus", [None]):
                yield from spread(case | {"cpu": cpu, "id": "-".join(filter(None, [stanza["name"], arch, cpu]))})


def make(*words):
    """Another make, which knows nothing of the words and the jobs of the one that runs the tests."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-C", str(TREE), "--no-print-directory", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, env=environment,
    )  # fmt: skip


@functools.lru_cache
def not_to_be_had(package):
    """Why the sources of a Debian package cannot be fetched; None if they are there."""
    if "SOCLE_BUILT" in os.environ:
        return json.loads(Path(os.environ["SOCLE_BUILT"]).read_text())["not to be had"].get(package)
    result = subprocess.run([TREE / "tools/sources", package], capture_output=True, text=True)
    return (result.stderr.strip() or "tools/sources failed").splitlines()[-1] if result.returncode else None


def missing_sources(stanza):
    """Package to reason, for what this stanza's image is made of and cannot be fetched."""
    return {p: reason for p in stanza.get("sources", []) if (reason := not_to_be_had(p))}


def build_all(arch):
    """Builds every image of the table. Returns what make said of those that could not be built."""
    failed = {}
    stanzas = [s for s in load_table() if arch in s.get("archs", ARCHS) and not missing_sources(s)]
    stanzas.sort(key=lambda s: "sources" not in s)  # libraries take longest: nothing should wait for them at the end
    images = list(dict.fromkeys(s["image"] for s in stanzas))
    if images and make("-j2", "images", f"ARCH={arch}", f"APPS={' '.join(images)}").returncode:
        for image in images:
            result = make("-j2", "image", f"ARCH={arch}", f"APP={image}")
            if result.returncode:
                failed[f"{arch} {image}"] = result.stdout
    return failed


def build_once(archs, say=print):
    """Builds every image before the first is asked for, by this process or one that it starts."""
    failed, missing = {}, {}
    for stanza in load_table():
        missing |= missing_sources(stanza)
    for arch in archs:
        say(f"building the images for {arch}", flush=True)
        failed |= build_all(arch)
    (TREE / "build").mkdir(exist_ok=True)
    (TREE / "build/not-built.json").write_text(json.dumps({"not built": failed, "not to be had": missing}))
    os.environ["SOCLE_BUILT"] = str(TREE / "build/not-built.json")


def image_path(case):
    """The built image. Raises TableError with make's words if it does not build."""
    arch, image = case["arch"], case["image"]
    if "SOCLE_BUILT" in os.environ:  # all at once, before the tests
        words = json.loads(Path(os.environ["SOCLE_BUILT"]).read_text())["not built"].get(f"{arch} {image}")
    else:
        with open(f"/tmp/socle-test-{os.getuid()}-{arch}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = make("-j2", "image", f"ARCH={arch}", f"APP={image}")
            words = result.stdout if result.returncode else None
    if words is not None:
        raise TableError(f"{image} does not build for {arch}:\n{words}")
    return str(TREE / "build" / f"{arch}-{BOARDS[arch]}" / (Path(image).stem + ".elf"))


def make_iso(image, args, path):
    """A disc on which GRUB starts the image by Multiboot 2."""
    with tempfile.TemporaryDirectory() as folder:
        grub = Path(folder, "boot/grub")
        grub.mkdir(parents=True)
        (grub / "grub.cfg").write_text(f"set timeout=0\nmenuentry socle {{\n multiboot2 /image {args}\n boot\n}}\n")
        Path(folder, "image").write_bytes(Path(image).read_bytes())
        subprocess.run(["grub-mkrescue", "-o", path, folder], check=True, capture_output=True)


def run_command(case, folder):
    """tools/run for this case; folder takes what must be made for it."""
    image, args = image_path(case), case.get("args", "")
    command = [str(TREE / "tools/run"), "--board", BOARDS[case["arch"]], "--limit", str(case.get("limit", 120))]
    for option in ("mem", "smp", "cpu", "machine", "firmware", "wall"):
        if case.get(option):
            command += [f"--{option}", str(case[option])]
    if case.get("icount"):
        command.append("--icount")
    command += [f"--qemu-arg={word}" for word in case.get("qemu_args", [])]
    boot = case.get("boot", "default")
    if boot == "pvh":
        command.append("--pvh")
    elif boot == "multiboot2":
        iso = str(Path(folder, case["id"] + ".iso"))
        make_iso(image, args, iso)
        return command + ["--firmware", "seabios", "--iso", "--arch", case["arch"], iso]
    elif boot != "default":
        raise TableError(f"boot = {boot!r}: there are default, pvh and multiboot2")
    return command + [image, "--", *([args] if args else [])]


def judge(case, status, console):
    """What is wrong with this end of this image: a list, empty if nothing is."""
    wrong = []
    expected = case.get("status", 0)
    if status != expected:
        wrong.append(f"exit status {status} instead of {expected}")
    if "checks" in case:
        found = re.findall(r"^checks: (\d+) passed, (\d+) failed\r?$", console, re.M)
        if found != [(str(case["checks"]), "0")]:
            said = "; ".join(f"{passed} passed, {failed} failed" for passed, failed in found) or "nothing"
            wrong.append(f"checks: {case['checks']} were declared, the image says: {said}")
    at = 0
    for pattern in case.get("console", []):
        match = re.compile(pattern, re.M).search(console, at)
        if not match:
            elsewhere = " there (it is, but earlier)" if re.search(pattern, console, re.M) else ""
            wrong.append(f"the console does not show{elsewhere}: {pattern}")
            break
        at = match.end()
    wrong += [f"the console shows: {p}" for p in case.get("absent", []) if re.search(p, console, re.M)]
    return wrong


def report(command, wrong, console):
    return "\n".join([*wrong, "to repeat it:  " + shlex.join(command), "---- console ----", console, "----"])


class Console:
    """An image that runs, read line by line. `with` it: then it has ended after."""

    def __init__(self, command):
        self.text = ""
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def until(self, pattern, seconds=60):
        """Reads until the console matches; returns the match."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text, re.M)):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                raise AssertionError(f"{pattern!r} did not come\n---- console ----\n{self.text}")
            self.text += chunk.decode(errors="replace")
        return match

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Monitor:
    """QEMU's monitor: asks the machine itself, from outside, what is in its page tables."""

    def __init__(self, path, seconds=20):
        deadline = time.monotonic() + seconds
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.file = self.socket.makefile("rw")
        self.file.readline()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise AssertionError(f"{command}: {answer['error']}")

    def command(self, line):
        """One line of the human monitor."""
        return self.execute("human-monitor-command", **{"command-line": line})

    def gva2gpa(self, address):
        """The physical address, or None: no page there."""
        answer = self.command(f"gva2gpa {address:#x}")
        match = re.match(r"gpa: (0x[0-9a-f]+)", answer)
        assert match or "Unmapped" in answer, answer
        return int(match[1], 16) if match else None

    def info_mem(self):
        return self.command("info mem")

    def info_tlb(self):
        """x86: yields address, physical address, writable, executable for each leaf of the page tables."""
        for line in self.command("info tlb").splitlines():
            match = re.match(r"([0-9a-f]+): ([0-9a-f]+) ([-A-Z]+)\s*$", line)
            if match:
                flags = match[3]  # X first: no-execute is set. W last.
                yield int(match[1], 16), int(match[2], 16) & (1 << 52) - 1, flags[-1] == "W", flags[0] != "X"

    def register(self, name):
        """From `info registers`, as CR3=00101000."""
        return int(re.search(rf"\b{name}=([0-9a-f]+)", self.command("info registers"))[1], 16)

    def physical(self, address, count, size=8):
        """Words of physical memory."""
        answer = self.command(f"xp /{count}{'g' if size == 8 else 'w'}x {address:#x}")
        return [int(word, 16) for line in answer.splitlines() for word in line.partition(":")[2].split()]

    def quit(self):
        try:
            self.command("quit")
        except (ValueError, OSError):
            pass  # it is gone before it answers
