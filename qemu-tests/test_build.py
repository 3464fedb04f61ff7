"""What must be true of the objects and of the tools, without running an image."""
import functools
import re
import subprocess

import pytest
import qemu

NM = {"x86_64": "nm", "i386": "nm", "armv7a": "arm-none-eabi-nm"}
# A handler may run any of kernel/ and arch/: what they call must not use the FPU, which belongs to whom they interrupt.
# These run at boot only, or as what a goroutine calls.
EXEMPT = re.compile(r"boot/|runtime/|kernel/libc\.c|arch/[^/]*/(cpu|boot)\.c")
MEMORY = {"memcpy", "memset", "memmove", "memcmp", "bcmp", "memchr", "strlen", "strcmp", "strncmp", "strnlen"}


@functools.lru_cache
def objects(arch):
    """The runtime's objects, built: path to (undefined, defined)."""
    result = qemu.make("-j2", "runtime", f"ARCH={arch}")
    assert result.returncode == 0, result.stdout
    folder = qemu.TREE / "build" / f"{arch}-{qemu.BOARDS[arch]}"
    found = {}
    for path in (folder / "objects").read_text().split():
        lines = subprocess.run([NM[arch], qemu.TREE / path], check=True, capture_output=True, text=True).stdout
        words = [line.split() for line in lines.splitlines()]
        name = path.removeprefix(f"build/{folder.name}/")
        found[name] = ({w[1] for w in words if len(w) == 2}, {w[2] for w in words if len(w) == 3})
    return found


def test_handlers_do_not_call_the_c_library(arch):
    defined = set().union(*(d for _, d in objects(arch).values()))
    calls = {
        path: (undefined & MEMORY) - defined
        for path, (undefined, _) in objects(arch).items()
        if not EXEMPT.match(path)
    }
    assert not {path: names for path, names in calls.items() if names}


# What hands goroutines, m's and p's on. Where it calls something outside of the core, a turn may end half way.
SCHEDULER = {"foreign", "proc", "m", "idle", "preempt", "fault", "foreign_thread", "fiber", "time", "libc"}
HARMLESS = {
    "m": {"memset"},  # a new m, while the caller's p is not its own, or not to be taken
    "foreign_thread": {"memset"},  # a new thread, which nobody knows yet
    "fiber": {"malloc", "free"},  # before and after fibers.lock
    # memset() as with a lock held; the others where nothing is half done
    "libc": {"memset", "calloc", "free", "exit", "_reclaim_reent", "_global_impure_ptr", "__sf", "__divdi3", "__aeabi_ldivmod"},
}
LIBGCC = re.compile(r"__(aeabi_|[a-z]+[sd]i[34]$)")


def test_no_turn_ends_inside_the_scheduler(arch):
    defined = set().union(*(d for _, d in objects(arch).values()))
    for path, (undefined, _) in objects(arch).items():
        name = path.removeprefix("runtime/").removesuffix(".c.o")
        if path.startswith("runtime/") and name in SCHEDULER:
            outside = {symbol for symbol in undefined - defined if not symbol.startswith("core_text_")}
            assert outside <= HARMLESS.get(name, set()), (path, outside)
        if path.startswith("kernel/") and name != "kernel/libc":  # who owns the console goes on, too
            assert not {symbol for symbol in undefined - defined if LIBGCC.match(symbol)}, path


def test_run_says_what_there_is():
    for words, expected in (
        (("ARCH=vax",), "ARCH=vax: there are"),
        (("BOARD=tin",), "BOARD=tin: for x86_64 there are pc"),
        (("APP=nothing.c",), "APP=nothing.c: there is no such file or folder"),
    ):
        result = qemu.make("image", *words)
        assert result.returncode == 2 and expected in result.stdout


def test_images_of_one_name_are_not_mixed_up(tmp_path):
    """The same NAME from two folders: the image is made anew each time the path changes."""
    for folder, status in (("a", 3), ("b", 4), ("a", 3)):
        source = tmp_path / folder / "socle_same_name.c"
        source.parent.mkdir(exist_ok=True)
        if not source.exists():
            source.write_text(f"int main(void) {{ return {status}; }}\n")
        result = qemu.make("run", f"APP={source}")
        assert re.search(rf"^exit status {status}$", result.stdout, re.M), result.stdout


def test_verdict_needs_the_line_and_the_device(tmp_path):
    """tools/run on images that hang, vanish, or lie about their status."""
    outl = '#define outl(value) __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"((unsigned short)0xf4))'
    for body, status in (
        ("for (;;) ;", 124),
        ("outl(0); return 0;", 125),
        ('printf("socle: exit status 0\\n"); outl(5); return 0;', 125),
    ):  # fmt: skip
        source = tmp_path / "socle_verdict.c"
        source.write_text(f"#include <stdio.h>\n{outl}\nint main(void) {{ {body} }}\n")
        result = qemu.make("run", f"APP={source}", "LIMIT=2")
        assert re.search(rf"^exit status {status}$", result.stdout, re.M), result.stdout


def test_what_is_not_there_does_not_link(tmp_path, arch):
    """No stubs: a pthread function that newlib declares and Socle has not is an undefined symbol. And nobody who uses
    none has any."""
    source = tmp_path / "socle_cancels.c"
    source.write_text("#include <pthread.h>\nint main(void) { return pthread_cancel(pthread_self()); }\n")
    result = qemu.make("image", f"ARCH={arch}", f"APP={source}")
    assert result.returncode == 2 and "undefined reference to `pthread_cancel'" in result.stdout, result.stdout
    result = qemu.make("image", f"ARCH={arch}", "APP=examples/hello.c")
    assert result.returncode == 0, result.stdout
    image = qemu.TREE / result.stdout.splitlines()[-1]
    names = subprocess.run([NM[arch], image], check=True, capture_output=True, text=True).stdout
    assert not re.search(r"pthread|foreign_thread", names)


def test_style():
    """The tree is as clang-format leaves it, but for the headers that are tables of numbers."""
    files = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=qemu.TREE, stdout=subprocess.PIPE, text=True).stdout.split()
    files = [f for f in files if not f.endswith(("layout.h", "board.h"))]
    if not files:
        pytest.skip("not a git checkout")
    checked = subprocess.run(
        ["clang-format", "--dry-run", "-Werror", *files], cwd=qemu.TREE, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
    )
    assert checked.returncode == 0, checked.stdout[:2000]


def test_unchecked_frames_fit_the_smallest_guard(tmp_path, arch):
    """What no prologue checks, and is not foreign code either."""
    source = tmp_path / "socle_frames.c"
    source.write_text(
        '#include "socle.h"\n'
        '#define use(frame) __asm__ volatile("" : : "r"(frame) : "memory")\n'
        "SOCLE_UNCHECKED void small(void) { volatile char frame[6000]; use(frame); }\n"
        "SOCLE_UNCHECKED void large(void) { volatile char frame[9000]; use(frame); }\n"
        "SOCLE_UNCHECKED void varies(int n) { volatile char frame[n]; use(frame); }\n"
        "void checked(void) { volatile char frame[9000]; use(frame); }\n"
        "int main(int argc, char **argv) { (void)argv; small(); large(); varies(argc); checked(); return 0; }\n"
    )
    result = qemu.make("image", f"ARCH={arch}", f"APP={source}")
    assert result.returncode == 2
    found = re.findall(r"(\w+)\(\) is SOCLE_UNCHECKED and has (.*)", result.stdout)
    assert [name for name, _ in found] == ["large", "varies"], result.stdout
    assert re.fullmatch(r"a frame of [89]\d{3} bytes", found[0][1]) and found[1][1] == "a frame of no fixed size"
