/*
 * What becomes of a trap or of a prologue that finds too little stack: a stack grows, a foreign call ends, a goroutine
 * panics; or it is nobody's, and the image ends with a report. Runs on handlers' stacks and on the slack under a
 * stackguard: nothing here is checked, takes a lock or allocates.
 *
 * A goroutine that has run out of its stack needs some to run its cleanups on: so the stack is extended into its guard
 * until the panic is caught (HotSpot's yellow zone).
 */
#include <errno.h>

#include "runtime/runtime.h"

#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

static bool in_fixed_guard(uintptr_t address)
{
	for (const struct fixed_stack *f = fixed_stacks; f->name != NULL; f++)
		if (address >= f->guard && address < f->lo)
			return true;
	return false;
}

/* A frame that reaches into the guard, or so large that it stepped over it: SP is not on the stack that it belongs to. */
bool left_stack(const struct trap *t)
{
	const struct g *g = (const struct g *)t->tcb;
	struct bounds b;

	if (g == NULL || g->m == NULL || g->hi == 0)
		return false;
	b = current_bounds(g, t->sp);
	return t->sp < b.lo || t->sp > b.hi;
}

/* NULL for an object, in a public function that has not begun yet: no lock is held. */
static bool null_argument(const struct trap *t, const struct g *g)
{
	return t->kind == TRAP_MEMORY && t->addr < PAGE_SIZE && g->locks == 0;
}

/* ---- Foreign calls ---- */

/* Why not, in words; NULL: it can. */
static const char *why_not_contained(const struct trap *t, const struct g *g0, bool overflow)
{
	if (in_core(t->pc) && !null_argument(t, g0) && !(overflow && g0->locks == 0) &&
	    t->kind != TRAP_DIVIDE) /* on ARM the pc of a division may be its caller's; we never do it */
		return "a foreign routine failed in the runtime's own code";
	if (g0->m->current->libc_locks > 0)
		return "a foreign routine failed while it held a lock of the C library";
	if (t->sp > (uintptr_t)g0->tcb.sp && t->sp <= g0->hi)
		return "a foreign routine failed after it had left a callback by longjmp";
	return NULL;
}

/* On a handler's stack. Only what a foreign routine itself does wrong is contained: the innermost call ends, all of
 * whose frames lie on g0 above nothing of ours. */
static bool foreign_fault(struct trap *t, enum stack_fault at, bool overflow)
{
	struct g *g0 = (struct g *)t->tcb, *g;
	struct socle_fault *fault;
	struct bounds bounds;
	bool leaf;

	if (g0 == NULL || g0->m == NULL || !on_g0(g0) || g0->m->current == NULL || t->kind == TRAP_FATAL)
		return false;
	if (is_foreign_thread(g0->m->current))
		return false; /* nobody has called it */
	t->why_fatal = why_not_contained(t, g0, overflow);
	if (t->why_fatal != NULL)
		return false;
	g = g0->m->current;
	bounds = current_bounds(g0, t->sp);
	fault = &g0->m->fault;
	*fault = (struct socle_fault){
		.what = overflow ? "stack overflow" : t->name,
		.address = t->kind == TRAP_MEMORY ? t->addr : 0,
		.pc = t->pc,
		.stack_lo = bounds.lo,
		.stack_hi = bounds.hi,
	};
	fault->function = symbol_name(t->pc, &fault->offset);
	leaf = g->call_ended < P_LOST;
	g->call_ended = overflow ? EOVERFLOW : EFAULT;
	if (at == STACK_OUT_OF_MEMORY) {
		fault->what = "out of memory: the stack cannot grow";
		g->call_ended = ENOMEM;
	}
	arch_redirect(t, (uintptr_t)g0->tcb.sp, leaf ? end_leaf_call : end_foreign_call, g);
	return true;
}

/* ---- Panics ---- */

static void copy_text(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; from[i] != '\0' && i < size - 1; i++)
		to[i] = from[i];
	to[i] = '\0';
}

static void fill_panic(struct g *g, enum socle_panic_kind kind, const char *message, uintptr_t address, uintptr_t pc)
{
	g->panicking = true;
	g->panic.kind = kind;
	g->panic.frame = 0;
	g->panic.address = address;
	g->panic.pc = pc;
	g->panic.function = symbol_name(pc, &g->panic.offset);
	copy_text(g->panic.message, sizeof g->panic.message, message);
}

static const struct {
	enum socle_panic_kind kind;
	const char *message;
} panics[] = {
	[TRAP_MEMORY] = {SOCLE_PANIC_MEMORY, "invalid memory access"},
	[TRAP_ADDRESS] = {SOCLE_PANIC_MEMORY, "invalid memory access"},
	[TRAP_DIVIDE] = {SOCLE_PANIC_DIVIDE, "division by zero"},
	[TRAP_ILLEGAL] = {SOCLE_PANIC_ILLEGAL, "undefined instruction"},
	[TRAP_FLOAT] = {SOCLE_PANIC_OTHER, "floating-point error"},
	[TRAP_OTHER] = {SOCLE_PANIC_OTHER, "machine exception"},
};

/* Where a panic that a trap raises may start: below what the interrupted function has in use (the red zone of a leaf
 * on x86_64 too); where the stack ends if SP is beyond that. */
static uintptr_t panic_sp(const struct g *g, const struct trap *t, uintptr_t lo)
{
	return t->sp > lo + 128 && t->sp <= g->hi ? t->sp - 128 : lo;
}

/* On the goroutine's own stack, whose page is one of the last frames. If free stacks have had memory, nothing has
 * happened: all registers are as they were. */
static SOCLE_UNCHECKED void out_of_memory(void *arg)
{
	struct g *g = arg;

	if (runtime_reclaim() > 2 * FRAMES_KEPT * PAGE_SIZE) { /* the last frames are filled up first */
		g->panicking = false;
		return;
	}
	if (g->try == NULL)
		fatal("panic: %s", g->panic.message);
	g->try->raise(g);
}

/* A trap in goroutine code. Nobody to catch it, a lock held, or a fault of ours: the image ends instead. */
static bool goroutine_fault(struct trap *t, enum stack_fault at, bool overflow)
{
	struct g *g = (struct g *)t->tcb;
	uintptr_t sp;

	if (g == NULL || g->m == NULL || on_g0(g) || (g->try == NULL && at != STACK_OUT_OF_MEMORY) ||
	    t->kind == TRAP_FATAL)
		return false;
	if (g->locks > 0 || g->libc_locks > 0 || g->m->p == NULL ||
	    (in_core(t->pc) && !overflow && at != STACK_OUT_OF_MEMORY && !null_argument(t, g)))
		return false;
	sp = panic_sp(g, t, g->lo);
	if (overflow) {
		if (unwinds_at_once(g))
			sp = (uintptr_t)g->try->context;
		else if (stack_extend(g, true) < 0)
			return false;
		fill_panic(g, SOCLE_PANIC_OVERFLOW, "stack overflow", t->addr, t->pc);
	} else if (at == STACK_OUT_OF_MEMORY) {
		if (stack_fault(g, t->addr, true) != STACK_GROWN)
			return false;
		fill_panic(g, SOCLE_PANIC_NO_MEMORY, "out of memory: the stack cannot grow", t->addr, t->pc);
		arch_redirect(t, sp, out_of_memory, g);
		return true;
	} else {
		if (t->sp < g->tcb.stack_limit + REDIRECT_ROOM && !unwinds_at_once(g))
			stack_extend(g, true); /* there may be no room to raise it; once is enough */
		fill_panic(g, panics[t->kind].kind, panics[t->kind].message, t->kind == TRAP_MEMORY ? t->addr : 0,
			   t->pc);
	}
	arch_redirect(t, sp, g->try->raise, g);
	return true;
}

/* ---- Traps ---- */

/* g panics already, holds a lock, or its foreign call has ended without a p, which it is about to get back; or it is the
 * runtime itself, on g0. */
static bool cannot_panic(const struct g *g, uintptr_t pc)
{
	const struct g *current;

	if (g == NULL || g->m == NULL)
		return false; /* no thread runs */
	current = on_g0(g) ? g->m->current : g;
	return (on_g0(g) && in_core(pc)) || g->panicking || g->locks > 0 ||
	       (current != NULL && current->libc_locks > 0) || (!on_g0(g) && g->m->p == NULL);
}

/* How far below SP one instruction goes and leaves it as it was when it faults: a push, into the red zone, or
 * arch_touch_stack() and what vm.c touches. */
#define BELOW_SP 2048

/* Not just any wild pointer that happens to point into a guard. */
static bool is_overflow(const struct trap *t, enum stack_fault at)
{
	if (t->kind != TRAP_MEMORY && t->kind != TRAP_ADDRESS)
		return false;
	return left_stack(t) || ((at == STACK_GUARD_HIT || in_fixed_guard(t->addr)) && t->sp - t->addr <= BELOW_SP);
}

bool runtime_fault(struct trap *t)
{
	struct g *g = (struct g *)t->tcb;
	enum stack_fault at = STACK_NONE;
	bool overflow;

	if (t->kind == TRAP_MEMORY && !(t->access & ACCESS_PRESENT))
		at = stack_fault(g, t->addr, cannot_panic(g, t->pc));
	if (at == STACK_GROWN)
		return true;
	overflow = is_overflow(t, at);
	if (foreign_fault(t, at, overflow) || goroutine_fault(t, at, overflow))
		return true;
	if (overflow)
		t->name = "stack overflow:";
	if (at == STACK_OUT_OF_MEMORY)
		t->name = "out of memory: no frame for a stack's page;";
	return false;
}

/* ---- Prologues ---- */

#define REPORT_ROOM 640 /* of the slack, for the report of an overflow, and for unchecked code below the last checked */

struct overflow {
	struct g *g;
	size_t frame;
	uintptr_t pc, sp, fp;
};

static void report_overflow(void *arg)
{
	const struct overflow *o = arg;
	size_t offset;

	fatal_at(o->pc, o->sp, o->fp,
		 "stack overflow: goroutine %lu (%s): %s wants a frame of %zu bytes, %zu are left of %zu", o->g->id,
		 g_name(o->g), symbol_name(o->pc, &offset), o->frame, (size_t)(o->sp > o->g->lo ? o->sp - o->g->lo : 0),
		 (size_t)(o->g->hi - o->g->lo));
}

/* Returns if there is nothing to run the cleanups on. */
static void raise_overflow(struct g *g, size_t frame, uintptr_t pc)
{
	if (!unwinds_at_once(g) && stack_extend(g, false) < 0)
		return;
	fill_panic(g, SOCLE_PANIC_OVERFLOW, "stack overflow", 0, pc);
	g->panic.frame = frame;
	g->try->raise(g);
}

/* On a goroutine that is an overflow, told before a byte of the frame is touched; on g0 the guard is wrong or the system
 * stack is used up: Go's "morestack on g0". */
void runtime_overflow(size_t frame, uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
	struct overflow o = {getg(), frame, pc, sp, fp};
	struct g *g = o.g;
	size_t offset;

	if (on_g0(g))
		fatal_at(pc, sp, fp,
			 "morestack on g0: %s wants a frame of %zu bytes; SP %p, stackguard %p, bounds [%p, %p)",
			 symbol_name(pc, &offset), frame, (void *)sp, (void *)g->tcb.stack_limit, (void *)g->lo,
			 (void *)g->hi);
	if (g->try != NULL && g->locks == 0 && g->libc_locks == 0)
		raise_overflow(g, frame, pc);
	arch_call_on(&g->m->g0.tcb, report_overflow, &o);
	__builtin_unreachable();
}

/* A checked prologue found SP, less the frame, at or below stackguard. If it returns, the function goes on, on the slack:
 * who holds a lock has begun what no panic may interrupt. It is ours, and will be through with it before it needs more.
 * Foreign code on a stack of its own goes on too, as all that it calls: stackguard is of another stack. */
void runtime_morestack(size_t frame, uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
	const struct g *g = getg();

	if (on_g0(g) ? overlaps_our_stacks(sp, sp + 1)
		     : g->locks + g->libc_locks == 0 || sp < g->lo + REPORT_ROOM + frame)
		runtime_overflow(frame, pc, sp, fp);
}

#pragma clang attribute pop
#pragma clang attribute pop
