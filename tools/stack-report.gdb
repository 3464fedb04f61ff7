# For tools/stack-report: measures how deep each foreign entry goes. tools/run has loaded socle.gdb, which knows the
# stacks; `report_file` names the addresses, and takes what was found when the image ends.
#
# Where an entry begins, what lies below SP on its stack is nobody's: it is zeroed, as fresh pages are. When the entry
# has returned to where it was called from, the lowest byte that is not zero tells how deep it went. A call inside
# another's callback zeroes what the outer one has left there, so that is noted before. A call that a fault or a panic
# has ended never returns: it is over when another begins at or above it. Callbacks return to the same instruction of
# arch_call_on(); when too many of them have stopped the machine there, it is not stopped there any more.

python
import json
import re

CALLS = 200  # of one entry; then it is left alone
DISCOVERIES = 2000  # stops where an entry is handed over
MISSES = 5000  # stops where a measured call might have returned, and another did


class Call:
    def __init__(self, entry, sp, stack, back):
        self.entry, self.sp, self.stack, self.back, self.low = entry, sp, stack, back, sp


class Report:
    def __init__(self, asked):
        self.entries, self.stacks, self.active, self.breakpoints = {}, {}, [], {}
        self.apis = {int(at): [n, DISCOVERIES] for at, n in asked["calls"].items()}
        self.end, self.misses = asked["end"], MISSES
        for at in [*self.apis, *asked["entries"], self.end]:
            self.stop_at(at)
        self.wanted = set(asked["entries"])

    def stop_at(self, at):
        if at not in self.breakpoints:
            self.breakpoints[at] = gdb.Breakpoint(f"*{at:#x}", internal=True)

    def do_not_stop_at(self, at):
        if at in self.breakpoints:
            self.breakpoints.pop(at).delete()

    def memory(self, lo, hi):
        """What is absent reads as zeroes."""
        inferior = gdb.selected_inferior()
        try:
            return bytes(inferior.read_memory(lo, hi - lo))
        except gdb.MemoryError:
            if hi - lo <= 4096:
                return bytes(hi - lo)
        middle = max((lo + hi) // 2 & ~4095, (lo & ~4095) + 4096)
        return self.memory(lo, middle) + self.memory(middle, hi)

    def look(self, stack, sp):
        """The lowest byte of the stack that is not zero, for all calls on it; and what is below SP."""
        data = self.memory(stack.used, sp)
        low = stack.used + len(data) - len(data.lstrip(b"\0")) & -arch().word
        for call in self.active:
            if call.stack == stack.lo:
                call.low = min(call.low, low)
        if not stack.owner.startswith("goroutine"):
            owner = re.sub(r"m[1-9]\d*'s g0", "g0 of a further m, the deepest", stack.owner)
            self.stacks[owner] = max((stack.hi - low, stack.hi - stack.lo), self.stacks.get(owner, (0, 0)))
        return data

    def finish(self, stack, below, returned=None):
        """The calls on this stack that began at or below this SP are over; one of them has just returned."""
        for call in [c for c in self.active if c.stack == stack.lo and c.sp <= below]:
            self.active.remove(call)
            depth, calls, unseen = self.entries.get(call.entry, (0, 0, 0))
            self.entries[call.entry] = (max(depth, call.sp - call.low), calls + 1, unseen + (call is not returned))
            if calls + 1 == CALLS:
                self.wanted.discard(call.entry)
                if call.entry not in self.apis:
                    self.do_not_stop_at(call.entry)
        for at in set(self.breakpoints) - set(self.apis) - self.wanted - {c.back for c in self.active} - {self.end}:
            self.do_not_stop_at(at)

    def begin(self, entry, sp, stack):
        data = self.look(stack, sp)
        self.finish(stack, sp)
        for at in range(0, len(data), 4096):
            piece = data[at : at + 4096]
            if piece.count(0) != len(piece):
                gdb.selected_inferior().write_memory(stack.used + at, bytes(len(piece)))
        back = register("lr") & ~1 if arch() is ARM else word(sp)
        self.active.append(Call(entry, sp, stack.lo, back))
        if self.misses > 0:
            self.stop_at(back)

    def argument(self, n):
        if arch() is I386:
            return word(register("esp") + 4 * (n + 1))
        return register((("rdi", "rsi") if arch() is X86_64 else ("r0", "r1"))[n])

    def stopped(self, pc):
        sp = register(arch().sp)
        if pc in self.apis:
            n, left = self.apis[pc]
            entry = self.argument(n) & (~1 if arch() is ARM else ~0)
            if self.entries.get(entry, (0, 0))[1] < CALLS:
                self.wanted.add(entry)
                self.stop_at(entry)
            self.apis[pc][1] -= 1
            if left == 1:
                self.do_not_stop_at(pc)
        pushed = 0 if arch() is ARM else arch().word
        calls = [c for c in self.active if c.back == pc]
        if here := next((c for c in calls if c.sp + pushed == sp), None):
            stack = stack_of(sp, [])  # anew: what it has used grows
            self.look(stack, here.sp)
            self.finish(stack, here.sp, here)
        elif calls:
            self.misses -= 1
            if self.misses == 0:
                self.do_not_stop_at(pc)
        if pc in self.wanted:
            self.begin(pc, sp, stack_of(sp, []))

    def ended(self):
        for stack in [*fixed_stacks()][:1] + [*arena_stacks()]:
            self.look(stack, stack.hi)
            self.finish(stack, stack.hi)
        return {"entries": self.entries, "stacks": self.stacks}


def run_report():
    with open(report_file) as file:
        report = Report(json.load(file))
    while True:
        gdb.execute("continue", to_string=True)
        pc = register("pc")
        if pc == report.end:
            break
        report.stopped(pc)
    found = report.ended()
    with open(report_file, "w") as file:
        json.dump(found, file)
    try:
        gdb.execute("continue", to_string=True)
    except gdb.error:
        pass  # QEMU has ended


run_report()
end
