/*
 * Panics: a goroutine gives up what it does, and goes on behind the innermost socle_try(), if there is one. On the way
 * the cleanups that were pushed since then run, last first, on the goroutine's own stack, below the frames that they
 * may refer to; only then are those frames given up.
 *
 * socle_try() calls its function on the goroutine's own stack by arch_call_on(), which saves a whole context there:
 * resuming that context is to return from the call. Callbacks in between are left by putting g0 back, crossing by
 * crossing, as it was: the frames of foreign code on it are abandoned, and both saved SPs end where they were.
 *
 * socle_exit() leaves all tries, from the innermost to the last, and the cleanups on the way run within those that they
 * were pushed in. A panic in one of them ends there, and the exit goes on (as Go's Goexit).
 *
 * A panic that nobody catches ends the image at once, with its report; what cleanups would tidy up goes with it.
 *
 * Rejected: setjmp (arch_call_on has all of it), unwinding by tables (foreign frames have none, and a table for each
 * function is larger than the functions).
 */
#include <stdio.h>
#include <string.h>

#include "runtime/runtime.h"

#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

static SOCLE_UNCHECKED void raised(void *arg);

static void run_try(void *arg)
{
	struct try *t = arg;
	struct g *g = getg();

	t->context = g->tcb.sp;
	g->try = t;
	t->fn(t->arg);
}

int socle_try(socle_fn fn, void *arg, struct socle_panic *out)
{
	struct g *g = getg();
	void *sp = g->tcb.sp; /* in a callback: where the next one starts */
	struct try t = {.outer = g->try,
			.cleanups = g->cleanups,
			.crossings = g->crossings,
			.libc_locks = g->libc_locks,
			.panicking = g->panicking,
			.extended = !on_g0(g) && g->lo != g->stack->lo,
			.exiting = g->exiting,
			.raise = raised,
			.out = out,
			.fn = fn,
			.arg = arg};

	if (on_g0(g))
		fatal("socle_try: called from foreign code; only a callback may");
	arch_call_on(&g->tcb, run_try, &t);
	g->try = t.outer;
	if (t.panicked) {
		if (!t.extended)
			stack_retract(g);
		if (g->exiting && !t.exiting)
			socle_exit(); /* the rest of it */
		end_turn_if_due(g);
	}
	g->tcb.sp = sp;
	return t.panicked ? -1 : 0;
}

/* ---- Cleanups ---- */

void socle_cleanup_push(struct socle_cleanup *c, socle_fn fn, void *arg)
{
	struct g *g = getg();

	if (on_g0(g))
		fatal("socle_cleanup_push: called from foreign code; only a callback may");
	*c = (struct socle_cleanup){fn, arg, g->cleanups};
	g->cleanups = c;
}

void socle_cleanup_pop(struct socle_cleanup *c, int execute)
{
	struct g *g = getg();

	if (on_g0(g) || g->cleanups != c)
		fatal("socle_cleanup_pop: not the cleanup that was pushed last");
	g->cleanups = c->next;
	if (execute)
		c->fn(c->arg);
}

static SOCLE_UNCHECKED struct socle_cleanup *take_cleanup(struct g *g)
{
	struct socle_cleanup *c = g->cleanups;

	g->cleanups = c->next;
	return c;
}

static SOCLE_UNCHECKED void run_cleanups(struct g *g, const struct socle_cleanup *until)
{
	while (g->cleanups != until) {
		struct socle_cleanup *c = take_cleanup(g);

		c->fn(c->arg);
	}
}

/* Cleanups have so much of the stack, however close to its end they are called: the extension does for all of them. It
 * goes with what is given up. */
#define CLEANUP_ROOM 2048
static SOCLE_UNCHECKED void make_room(struct g *g)
{
	if ((uintptr_t)__builtin_frame_address(0) < g->tcb.stack_limit + CLEANUP_ROOM)
		stack_extend(g, false);
}

SOCLE_UNCHECKED void leave_tries(struct g *g)
{
	g->exiting = true;
	g->left = g->crossings;
	make_room(g);
	for (; g->try != NULL; g->try = g->try->outer) {
		g->try->panicked = false; /* excuses no callback that a cleanup is in from now on */
		run_cleanups(g, g->try->cleanups);
	}
	run_cleanups(g, NULL);
	while (g->crossings != NULL)
		leave_crossing(g);
	g->left = NULL;
}

SOCLE_UNCHECKED bool cannot_exit(const struct g *g)
{
	const struct try *t = g->try;
	const struct crossing *c;
	bool callback = false;

	for (c = g->crossings; c != NULL && c != g->left; c = c->outer) {
		while (t != NULL && t->crossings == c)
			t = t->outer;
		callback |= c->callback != ANOTHER_STACK && (t == NULL || !t->panicked);
	}
	return g->libc_locks > 0 || (callback && c == g->left); /* else a panic has left that */
}

/* ---- Panicking ---- */

static SOCLE_UNCHECKED void note_panic(const struct g *g, struct try *t)
{
	t->panicked = true;
	if (t->out != NULL)
		*t->out = g->panic;
}

static SOCLE_UNCHECKED _Noreturn void resume_try(struct g *g, struct try *t)
{
	g->panicking = t->panicking;
	g->tcb.sp = t->context;
	arch_resume(&g->tcb);
}

/* On the goroutine's stack, below all that is to be given up. A cleanup that panics is done, and its panic takes the
 * place of the last. Unchecked: there may be no room yet. */
static SOCLE_UNCHECKED _Noreturn void unwind(struct g *g)
{
	struct try *t = g->try;

	note_panic(g, t);
	make_room(g);
	while (g->cleanups != t->cleanups) {
		struct socle_cleanup *c = take_cleanup(g);

		socle_try(c->fn, c->arg, t->out);
	}
	if (g->libc_locks > t->libc_locks)
		fatal("panic: %s, through a routine that holds a lock of the C library: this cannot be contained",
		      g->panic.message);
	while (g->crossings != t->crossings)
		leave_crossing(g);
	resume_try(g, t);
}

/* By a trap or a prologue: the panic is filled in. */
static SOCLE_UNCHECKED void raised(void *arg)
{
	struct g *g = arg;

	if (!unwinds_at_once(g))
		unwind(g);
	note_panic(g, g->try);
	resume_try(g, g->try);
}

static SOCLE_UNCHECKED void unwind_from_g0(void *g) { unwind(g); }

static SOCLE_UNCHECKED _Noreturn void raise(struct g *g, uintptr_t frame)
{
	if (g->try == NULL)
		fatal_at(0, frame, frame, "panic: %s", g->panic.message);
	if (!on_g0(getg()))
		unwind(g);
	if (g->call_ended < P_LOST)
		fatal_at(0, frame, frame, "panic: %s, in a foreign call made with SOCLE_NOCALLBACK: make it without",
			 g->panic.message);
	socle_callback(unwind_from_g0, g); /* the frames on g0 are foreign: they are given up */
	fatal_at(0, frame, frame, "panic: %s, raised by foreign code on a stack that is not known, or used up",
		 g->panic.message);
}

SOCLE_UNCHECKED void socle_panic(const char *format, ...)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	struct g *g = getg();
	va_list args;

	if (on_g0(g))
		g = g->m->current;
	if (g == NULL)
		fatal("socle_panic: called while no goroutine runs: %s", format);
	g->panic = (struct socle_panic){.kind = SOCLE_PANIC_RAISED, .pc = ((uintptr_t *)frame)[1]};
	g->panic.function = symbol_name(g->panic.pc - 1, &g->panic.offset);
	va_start(args, format);
	vsnprintf(g->panic.message, sizeof g->panic.message, format, args);
	va_end(args);
	raise(g, frame);
}

#pragma clang attribute pop
