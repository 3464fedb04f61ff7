# gdb's view of Socle, on all three architectures; `make debug` loads it. `help socle` lists the commands.
#
# gdb knows of one thread, the CPU. A goroutine that does not run is a saved context on its own stack, as drawn in
# arch/*/switch.S; socle-goroutine loads that into the registers, as arch_resume() would, and from then on bt, up and
# info locals show that goroutine. The registers are put back by socle-back, and before anything that runs the machine.
#
# Tracebacks here follow frame records {caller's record, return address}, as runtime/report.c does: they lead from a
# callback to g0, through the foreign frames and back to the goroutine, where gdb's own bt takes a change of stacks
# for corruption and ends.

python
import collections
import itertools

import gdb

# A saved context: how long it is (then SP is above it), and at which offsets lie the registers it holds.
Arch = collections.namedtuple("Arch", "word sp fp context_size registers")
X86_64 = Arch(8, "rsp", "rbp", 64, {"r15": 8, "r14": 16, "r13": 24, "r12": 32, "rbx": 40, "rbp": 48, "pc": 56})
I386 = Arch(4, "esp", "ebp", 28, {"edi": 8, "esi": 12, "ebx": 16, "ebp": 20, "pc": 24})
ARM = Arch(4, "sp", "r11", 104, {f"r{n}": 52 + 4 * n for n in range(4, 11)} | {"r11": 96, "pc": 100})
STATUS = {0: "dead", 1: "runnable", 2: "running", 3: "waiting"}
MAX_FRAMES = 200
saved = {}  # the machine's own registers, while a goroutine's are shown


def arch():
    name = gdb.selected_inferior().architecture().name()
    return ARM if name.startswith("arm") else X86_64 if "64" in name else I386


def register(name):
    return int(gdb.parse_and_eval(f"${name}")) & (1 << 8 * arch().word) - 1


def word(address):
    size = arch().word
    return int.from_bytes(gdb.selected_inferior().read_memory(address, size), "little")


def machine_sp():
    """Where the machine really stands, whatever is shown."""
    return saved[arch().sp] if saved else register(arch().sp)


def runtime_variable(name):
    """A static one, of runtime/; an application may have its own of that name."""
    for symbol in gdb.lookup_static_symbols(name) or []:
        if "runtime/" in symbol.symtab.filename:
            return symbol.value()
    return gdb.parse_and_eval(name)


def text(pointer, otherwise="unnamed"):
    return pointer.string() if int(pointer) else otherwise


def goroutines():
    """All that live, by id."""
    g, found = runtime_variable("sched")["all_gs"], []
    while int(g):
        if int(g["status"]):
            found.append(g)
        g = g["all"]
    return sorted(found, key=lambda g: int(g["id"]))


def goroutine(number):
    for g in goroutines():
        if int(g["id"]) == number:
            return g
    raise gdb.GdbError(f"there is no goroutine {number}; socle-goroutines lists those that live")


# ---- Stacks ----


class Stack:
    def __init__(self, guard, lo, hi, used, owner):
        self.guard, self.lo, self.hi, self.used, self.owner = int(guard), int(lo), int(hi), int(used), owner


def fixed_stacks():
    i, stacks = 0, gdb.parse_and_eval("fixed_stacks")
    while int(stacks[i]["name"]):
        s = stacks[i]
        owner = "m0's g0 (boot stack)" if i == 0 else f"{s['name'].string()} handler"
        yield Stack(s["guard"], s["lo"], s["hi"], s["lo"], owner)
        i += 1


def arena_owner(s):
    kind = str(s["kind"])
    if kind == "STACK_GOROUTINE":
        g = s["hi"].cast(gdb.lookup_type("struct g").pointer())
        return f"goroutine {int(g['id'])} ({text(g['name'])})"
    if kind == "STACK_G0":
        return f"m{int(s['hi'].cast(gdb.lookup_type('struct m').pointer())['id'])}'s g0"
    return "a foreign call's own"


def arena_stacks():
    """Each slot ends with its struct stack; a slot whose last page is absent is not in use."""
    arena, pointer = runtime_variable("arena"), gdb.lookup_type("struct stack").pointer()
    for i in range(int(arena["spans"])):
        span = arena["span"][i]
        size = int(span["class"]["slot"])
        for slot in range(int(span["lo"]), int(span["next"]), size):
            try:
                s = (gdb.Value(slot + size).cast(pointer) - 1).dereference()
                if s["in_use"]:
                    yield Stack(s["guard"], s["lo"], s["hi"], s["touched"], arena_owner(s))
            except gdb.MemoryError:
                pass


def stack_of(address, known):
    """The stack that holds the address, or None. Those found before are looked at first."""
    for s in known:
        if s.lo <= address <= s.hi:
            return s
    for stacks in (fixed_stacks(), arena_stacks()):
        for s in stacks:
            if s.lo <= address <= s.hi:
                known.append(s)
                return s
    return None


def show_stacks():
    if next(fixed_stacks(), None) is None:
        raise StopIteration("there are no stacks")
    sp, width = machine_sp(), 2 * arch().word
    print(f"  {'guard from':>{width}}  {'stack from':>{width}}  {'to':>{width}}  {'size':>9}")
    for stacks in (fixed_stacks(), arena_stacks()):
        for s in stacks:
            here = f", SP {s.hi - sp} bytes deep" if s.lo <= sp <= s.hi else ""
            here += ", SP in the guard" if s.guard <= sp < s.lo else ""
            size = f"{(s.hi - s.lo + 1023) // 1024} KiB"
            print(f"  {s.guard:0{width}x}  {s.lo:0{width}x}  {s.hi:0{width}x}  {size:>9}  {s.owner}{here}")


# ---- Tracebacks ----


def place(pc, call):
    """Function and line of a pc, or of the call before it."""
    at = pc - 1 if call else pc
    block, name = gdb.block_for_pc(at), None
    while block:  # the outermost function: those inside it are inlined
        name = block.function.name if block.function else name
        block = block.superblock
    if name is None:  # assembly
        words = gdb.execute(f"info symbol {at:#x}", to_string=True)
        name = "??" if words.startswith("No symbol") else words.split()[0]
    line = gdb.find_pc_line(at)
    return name, f" at {line.symtab.filename}:{line.line}" if line.symtab else ""


def print_frame(number, pc, call):
    name, where = place(pc, call)
    print(f"  #{number:<3} {pc:#0{2 * arch().word + 2}x} in {name}{where}")


def records(fp, known):
    """Yields (stack, return address) along the chain; ends where a record lies in no stack or the chain goes down."""
    last = None
    while fp and fp % arch().word == 0:
        s = stack_of(fp, known)
        if s is None or (last and last[0] is s and fp <= last[1]):
            return
        try:
            up, pc = word(fp), word(fp + arch().word)
        except gdb.MemoryError:
            return  # it points into the guard, or to where nothing is backed
        if pc == 0:
            return
        yield s, pc
        last, fp = (s, fp), up


def unrecorded_caller(chain):
    """In its prologue a function has no record yet, and a leaf may never have one: gdb's own unwinder knows."""
    try:
        older = gdb.newest_frame().older()
        while older and older.type() == gdb.INLINE_FRAME:
            older = older.older()
        pc = older.pc() if older else 0
    except gdb.error:
        return 0
    return 0 if chain and pc == chain[0][1] else pc


def traceback(pc, sp, fp, current):
    known = []
    stack = stack_of(sp, known)
    chain = list(itertools.islice(records(fp, known), MAX_FRAMES))
    caller = unrecorded_caller(chain) if current else 0
    print(f"  on the stack of {stack.owner if stack else 'nobody known'}:")
    print_frame(0, pc, not current)
    for number, (s, return_pc) in enumerate([(stack, caller)] * bool(caller) + chain, 1):
        if s is not stack:
            print(f"  on the stack of {s.owner}:")
            stack = s
        print_frame(number, return_pc, True)
    if len(chain) == MAX_FRAMES:
        print("  ... and more")


# ---- Goroutines ----


def is_here(g):
    """The machine runs on this goroutine's own stack."""
    return int(g["lo"]) <= machine_sp() <= int(g["hi"])


def describe(g):
    words = STATUS.get(int(g["status"]), "?")
    if str(g["status"]) == "G_WAITING":
        words += f": {text(g['waiting_for'], '?')} {int(g['waiting_on']):#x}"
    if str(g["status"]) == "G_RUNNING":
        words += "" if is_here(g) else ", not on its own stack"
    if int(g["callbacks"]):
        words += f", {int(g['callbacks'])} callbacks deep"
    return f"goroutine {int(g['id'])} ({text(g['name'])}), {words}, stack [{int(g['lo']):#x}, {int(g['hi']):#x})"


def show(g):
    """Loads the goroutine's saved context into the registers."""
    sp = int(g["tcb"]["sp"])
    values = {name: word(sp + offset) for name, offset in arch().registers.items()}
    values[arch().sp] = sp + arch().context_size
    if not saved:
        gdb.newest_frame().select()
        saved.update({name: register(name) for name in values})
    load(values)


def load(values):
    for name, value in values.items():
        gdb.execute(f"set ${name} = {value:#x}", to_string=True)
    gdb.newest_frame().select()


def back():
    if not saved:
        return False
    values = dict(saved)
    load(values)
    saved.clear()
    return True


def forget(_event):
    saved.clear()


gdb.events.exited.connect(forget)


class Command(gdb.Command):
    """Socle's goroutines and stacks."""

    def __init__(self, name, run, prefix=False):
        self.__doc__, self.run = run.__doc__, run
        super().__init__(name, gdb.COMMAND_STACK, gdb.COMPLETE_NONE, prefix)

    def invoke(self, argument, _from_tty):
        try:
            self.run(argument.strip())
        except (gdb.MemoryError, StopIteration) as error:
            raise gdb.GdbError(f"{error}: is the image loaded yet? Try `break main`, `continue`")


def socle_goroutines(_):
    """Lists the goroutines that live: number, name, what they do or wait for, bounds of the stack."""
    for g in goroutines():
        print(("* " if int(g["status"]) == 2 else "  ") + describe(g))


def socle_goroutine(argument):
    """socle-goroutine N: shows goroutine N: its traceback now, and bt, up, info locals until socle-back.

    What runs the machine again (continue, step ...) does socle-back first."""
    if not argument.isdigit():
        raise gdb.GdbError("socle-goroutine N: a number, from socle-goroutines")
    g = goroutine(int(argument))
    here = is_here(g)
    back() if here else show(g)
    print(describe(g))
    traceback(register("pc"), register(arch().sp), register(arch().fp), here)


def socle_back(_):
    """Back to where the machine stands, after socle-goroutine."""
    print("back on the CPU" if back() else "no goroutine was shown")


def socle_back_quietly(_):
    """Before the machine runs: no goroutine is shown any more."""
    if back():
        print("(socle: back on the CPU first)")


def socle_traceback(argument):
    """socle-traceback [TRAP]: how the code got here, through all stacks.

    With an expression for a struct trap *, from the code that was interrupted: socle-traceback t, in kernel_trap."""
    if argument:
        t = gdb.parse_and_eval(argument)
        traceback(int(t["pc"]), int(t["sp"]), int(t["fp"]), False)
        return
    gdb.newest_frame().select()
    traceback(register("pc"), register(arch().sp), register(arch().fp), not saved)


def socle_stacks(_):
    """Lists every stack: guard, bounds, owner, and where SP is."""
    show_stacks()


for command in (socle_goroutines, socle_goroutine, socle_back, socle_back_quietly, socle_traceback, socle_stacks):
    Command(command.__name__.replace("_", "-"), command)
for word_that_runs in ("continue", "step", "next", "stepi", "nexti", "finish", "until", "advance", "jump", "detach"):
    gdb.execute(f"define hook-{word_that_runs}\nsocle-back-quietly\nend")
end

set pagination off
set confirm off
echo Socle: socle-goroutines, socle-goroutine N, socle-back, socle-traceback, socle-stacks; `apropos socle-`\n
