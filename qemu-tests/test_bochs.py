"""A second emulator. Bochs interprets each instruction, on CPUs that QEMU here does not have: they have an x2APIC, and
complain of what a manual forbids where QEMU forgives. It reads no ELF, so GRUB starts the image, and it has no exit
device, so the console's last line is the end."""
import re
import resource
import subprocess
import time

import qemu

CPU_SECONDS = 90
SETTINGS = """
megs: 128
cpu: model={model}, count={cpus}, ips=50000000, reset_on_triple_fault=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path={folder}/disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={folder}/console
display_library: rfb, options="timeout=0"
log: {folder}/log
clock: sync=none
"""
LAST_LINE = re.compile(r"^socle: exit status (\d+)\r?$", re.M)


def run_to_end(folder):
    """The console's text. Debian's Bochs starts in its debugger, which is to continue."""
    console = folder / "console"
    console.touch()
    (folder / "continue").write_text("c\n")
    bochs = subprocess.Popen(
        ["bochs", "-q", "-f", folder / "settings", "-rc", folder / "continue"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS)),
    )
    while bochs.poll() is None and not LAST_LINE.search(console.read_text(errors="replace")):
        time.sleep(0.1)
    bochs.kill()
    bochs.wait()
    return console.read_text(errors="replace")


def test_bochs(pc_arch, tmp_path):
    """The two share the APIC's code; a run takes 20 s."""
    model, x2apic = {"x86_64": ("corei7_haswell_4770", True), "i386": ("ryzen", False)}[pc_arch]
    case = next(c for c in qemu.cases([pc_arch]) if c["id"] == f"smp-4-{pc_arch}")
    qemu.make_iso(qemu.image_path(case), "", tmp_path / "disc.iso")
    (tmp_path / "settings").write_text(SETTINGS.format(model=model, cpus=4, folder=tmp_path))
    console = run_to_end(tmp_path)
    end = LAST_LINE.search(console)
    log = (tmp_path / "log").read_text(errors="replace")
    assert not qemu.judge(case, int(end[1]) if end else None, console), console + log[-2000:]
    written = dict(re.findall(r"\[CPU(\d) *\] WRMSR: wrote \d+:\w+(\w)00 to MSR_APICBASE", log))  # the last of each CPU
    assert [bool(int(flags, 16) & 4) for flags in written.values()] == [x2apic] * 4, written
