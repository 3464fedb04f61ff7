/*
 * Foreign calls and callbacks, as in Go's cgocall.
 *
 * To call foreign code, socle_foreign_call(fn, arg) saves the goroutine's SP in its control block and calls fn on the
 * m's g0, at g0's saved SP. Foreign code carries no stack check and may use as much of g0 as there is.
 *
 * To call back, foreign code calls socle_callback(fn, arg). It
 *   1. checks SP against the exact bounds of the stack that the call was given: code that has switched to some other
 *      stack is refused;
 *   2. locks the goroutine to this m, whose g0 holds its foreign frames now;
 *   3. saves g0's outer saved SP aside and sets it to the current SP, so that the scheduler, and foreign calls made
 *      by the callback, run below the foreign frames;
 *   4. calls fn on the goroutine's stack, below the frames of the foreign call. fn is ordinary goroutine code: it may
 *      block, and the scheduler then runs other goroutines from g0 as it stands, or from other m's;
 *   5. puts everything back in reverse. Both saved SPs are restored exactly: if the goroutine's kept what a nested
 *      call left in it, every further callback would start lower; if g0's did, the frames of the caller would be
 *      overwritten (Go had that wrong until 1.3.2).
 *
 *        goroutine's stack                       g0
 *      +---------------------+               +---------------------+
 *      | main ...            |               | boot                |
 *      | socle_foreign_call  |               +---------------------+ <- g0.sp before
 *      |   arch_call_on      | ------------> | fn: foreign frames, |
 *      +---------------------+ <- g.sp       |   of any size       |
 *      | the callback's fn   | <------------ | socle_callback      |
 *      |   socle_foreign_call| --+           |   arch_call_on      |
 *      +---------------------+   |           +---------------------+ <- g0.sp in the callback
 *                                +---------> | more foreign frames |
 *
 * Depth is limited by the stacks alone.
 *
 * A foreign routine may take long. It keeps its m's p only until a tick finds others waiting for it: then the handler
 * makes the routine's own thread call end_turn(), which gives the p to another m, and from there on the two threads
 * share the CPU. The m gets a p back when its routine returns or calls back, in line with the runnable goroutines.
 * (Go marks the p as takeable before each call and looks after it with an atomic instruction. Here the tick comes on
 * the CPU that makes the call, so neither is needed: a call that nobody interrupts does not know of all this.)
 *
 * A fault in foreign code ends the innermost foreign call: the handler goes back to the context that the call saved on
 * the goroutine's stack. Every frame that this abandons is the routine's own.
 */
#include <errno.h>

#include "runtime/runtime.h"

#define CALLBACK_ROOM 1024 /* for the frames of a callback itself, above g0's stackguard */

static SOCLE_UNCHECKED bool may_lie_at(const struct g *g, uintptr_t address)
{
	const struct g *g0 = &g->m->g0;

	return (address >= g0->lo && address < g0->hi) || (address >= g->lo && address < g->hi) ||
	       fiber_find(address) != NULL;
}

/* A callback or a foreign call ends, or foreign code goes on, while a callback made since then has not returned: its
 * frames are gone, and what it left on g0 cannot be put right any more. The crossing that says whose they were is still
 * there if nothing was written below SP: so this is called before anything else is. */
static SOCLE_UNCHECKED NOINLINE _Noreturn void frames_skipped(const struct g *g)
{
	const struct crossing *c = g->crossings;
	const char *name = "a function";
	size_t offset = 1;

	while (c != NULL && may_lie_at(g, (uintptr_t)c) && c->callback == ANOTHER_STACK)
		c = c->outer;
	if (c != NULL && may_lie_at(g, (uintptr_t)c))
		name = symbol_name((uintptr_t)c->callback, &offset);
	fatal("goroutine %lu (%s): foreign code left the callback of %s by longjmp, or by a switch of fibers, before it "
	      "returned; let it return first, or leave it by socle_panic()",
	      g->id, g_name(g), offset == 0 ? name : "a function");
}

/* A call that did not just return: foreign_fault() has ended it, or the m lost its p meanwhile. Unchecked: without a p the
 * goroutine cannot panic. */
static SOCLE_UNCHECKED NOINLINE int end_call(struct g *g, struct socle_fault *out)
{
	struct m *m = g->m;
	int ended = g->call_ended;

	g->call_ended = 0;
	if (ended != P_LOST && out != NULL)
		*out = m->fault;
	if (m->p == NULL)
		arch_call_on(&m->g0.tcb, get_p_back, m);
	if (ended == P_LOST)
		return 0;
	errno = ended;
	return -1;
}

/* With callbacks. Not while g0 is elsewhere: another m could go on here. */
static SOCLE_UNCHECKED NOINLINE int end_whole_call(struct g *g, struct socle_fault *out)
{
	int result = end_call(g, out);

	if (result < 0 && (g->crossings == NULL || g->crossings->callback != ANOTHER_STACK))
		end_turn_if_due(g);
	return result;
}

/* What arch_call_leaf() returns if its call did not just return, or it was made on g0. On g's stack. */
SOCLE_UNCHECKED int runtime_leaf_ended(struct tcb *tcb)
{
	struct g *g = (struct g *)tcb;

	if (!on_g0(g))
		return end_call(g, NULL);
	errno = EPERM;
	return -1;
}

/* On g0 as it stands: it may have been moved. */
static ALWAYS_INLINE int call_on_g0(struct g *g, const struct socle_foreign_attr *attr, socle_fn fn, void *arg)
{
	const struct crossing *c = g->crossings;
	int result;

	if (attr->flags & SOCLE_NOCALLBACK) {
		result = arch_call_leaf(fn, arg);
		if (result < 0 && attr->fault != NULL)
			*attr->fault = g->m->fault;
		return result;
	}
	arch_call_on(&g->m->g0.tcb, fn, arg);
	if (g->crossings != c)
		frames_skipped(g);
	return g->call_ended == 0 ? 0 : end_whole_call(g, attr->fault);
}

/* Unchecked, like all that foreign code may call: it may stand on a fiber, and stackguard is of g0. */
static const struct socle_foreign_attr plain;

SOCLE_UNCHECKED int socle_foreign_call(socle_fn fn, void *arg)
{
	struct g *g = getg();

	if (!on_g0(g))
		return call_on_g0(g, &plain, fn, arg);
	fn(arg);
	return 0;
}

/* ---- Crossings: what g0 was like before ---- */

/* A callback, or a call with a stack of its own, notes how g0 stands and makes a change; leave_crossing() takes that
 * back, in the order in which they were made, whether the call returns or a panic leaves it. */
static ALWAYS_INLINE void enter_crossing(struct g *g, struct crossing *c, socle_fn callback)
{
	c->outer = g->crossings;
	c->g0_sp = g->m->g0.tcb.sp;
	c->callback = callback;
	g->crossings = c;
}

static ALWAYS_INLINE void enter_callback(struct g *g, struct crossing *c, socle_fn fn)
{
	enter_crossing(g, c, fn);
	g->locked_m = g->m;
	g->m->locked_g = g;
	g->callbacks++;
}

/* From now on g0 is elsewhere: on a call's own stack, or that of a fiber that calls back. All that asks for g0's bounds
 * finds those, and nobody has to search. */
SOCLE_UNCHECKED void move_g0(struct g *g, struct crossing *c, struct bounds to)
{
	struct g *g0 = &g->m->g0;

	enter_crossing(g, c, ANOTHER_STACK);
	c->bounds = (struct bounds){g0->lo, g0->hi};
	c->stack_limit = g0->tcb.stack_limit;
	g0->lo = to.lo;
	g0->hi = to.hi;
	g0->tcb.stack_limit = to.lo + G0_SLACK;
}

static SOCLE_UNCHECKED void move_g0_back(struct g *g0, struct crossing *c)
{
	g0->lo = c->bounds.lo;
	g0->hi = c->bounds.hi;
	g0->tcb.stack_limit = c->stack_limit;
	if (c->stack != NULL)
		stack_free(c->stack);
	else
		atomic_fetch_sub_explicit(&c->fiber->callbacks, 1, memory_order_relaxed);
}

SOCLE_UNCHECKED void leave_crossing(struct g *g)
{
	struct crossing *c = g->crossings;
	struct m *m = g->m;

	g->crossings = c->outer;
	m->g0.tcb.sp = c->g0_sp;
	if (c->callback == ANOTHER_STACK) {
		move_g0_back(&m->g0, c);
	} else if (--g->callbacks == 0) {
		g->locked_m = NULL;
		m->locked_g = NULL;
	}
}

/* What a call with a stack of its own takes of the goroutine's, until that is freed again. */
#define OWN_STACK_ROOM (OPERATION_ROOM + 512)

static ALWAYS_INLINE int call_on_stack(struct g *g, struct stack *s, const struct socle_foreign_attr *attr, socle_fn fn,
				       void *arg)
{
	struct crossing c;
	int result;

	move_g0(g, &c, (struct bounds){s->lo, s->hi});
	c.stack = s;
	g->m->g0.tcb.sp = (void *)s->hi;
	result = call_on_g0(g, attr, fn, arg);
	leave_crossing(g);
	if (result < 0)
		end_turn_if_due(g);
	return result;
}

static SOCLE_UNCHECKED int refuse(int error)
{
	errno = error;
	return -1;
}

int socle_foreign_call_with(const struct socle_foreign_attr *attr, socle_fn fn, void *arg)
{
	struct g *g = getg();
	struct stack *s;

	if (require_goroutine() < 0)
		return -1;
	if (attr == NULL)
		attr = &plain;
	if (attr->flags & ~(unsigned)SOCLE_NOCALLBACK)
		return refuse(EINVAL);
	if (attr->stack_size == 0)
		return call_on_g0(g, attr, fn, arg);
	if (attr->stack_size < 65536)
		return refuse(EINVAL);
	arch_touch_stack(OWN_STACK_ROOM); /* no panic until it is freed: a cleanup could end up on another m */
	s = stack_alloc(attr->stack_size, STACK_FOREIGN);
	return s != NULL ? call_on_stack(g, s, attr, fn, arg) : -1;
}

static int callback(struct m *m, socle_fn fn, void *arg);

static NOINLINE int callback_without_p(struct m *m, socle_fn fn, void *arg)
{
	if (is_foreign_thread(m->current)) {
		if (m->attach(m) < 0)
			return -1;
		callback(m, fn, arg);
		m->detach(m);
		return 0;
	}
	get_p_back(m);
	return callback(m, fn, arg);
}

/* Checked: its prologue compares SP, deep below foreign frames, with g0's stackguard. This is the check of Go's issue
 * 1328: with a guessed guard the image dies here. */
static NOINLINE int callback(struct m *m, socle_fn fn, void *arg)
{
	struct g *g = m->current;
	void *sp = g->tcb.sp;
	struct crossing c;

	if (m->p == NULL)
		return callback_without_p(m, fn, arg);
	enter_callback(g, &c, fn);
	arch_call_on(&g->tcb, fn, arg);
	if (g->crossings != &c)
		frames_skipped(g);
	leave_crossing(g);
	g->tcb.sp = sp;
	return 0;
}

/* The caller is not foreign code, or is, and came back from a callback by longjmp. */
static SOCLE_UNCHECKED NOINLINE int callback_from_nowhere(const struct g *g, uintptr_t sp)
{
	if (g != NULL && g->m != NULL && !on_g0(g) && sp >= g->m->g0.lo && sp < g->m->g0.hi)
		frames_skipped(g);
	return refuse(EPERM);
}

static SOCLE_UNCHECKED NOINLINE _Noreturn void callback_from_leaf(const struct g *g)
{
	uintptr_t fn = *(const uintptr_t *)((uintptr_t)g->tcb.sp + LEAF_FN);
	size_t offset;

	fatal("%s calls back, in a foreign call made with SOCLE_NOCALLBACK: make it without", symbol_name(fn, &offset));
}

static SOCLE_UNCHECKED NOINLINE int callback_on_fiber(struct m *m, uintptr_t sp, socle_fn fn, void *arg)
{
	struct fiber *f = m->fiber;
	struct crossing c;
	int result;

	if (f == NULL || !fiber_holds(f, sp))
		f = fiber_find(sp);
	if (f == NULL)
		return refuse(EFAULT);
	if (sp < fiber_bounds(f).lo + G0_SLACK + CALLBACK_ROOM)
		return refuse(EOVERFLOW);
	if (m->current->call_ended < P_LOST)
		callback_from_leaf(m->current);
	enter_fiber(m, &c, f);
	result = callback(m, fn, arg);
	leave_fiber(m);
	return result;
}

/* SP is not where foreign code has it that was called and is still there. */
static SOCLE_UNCHECKED NOINLINE int callback_elsewhere(struct m *m, uintptr_t sp, socle_fn fn, void *arg)
{
	if (sp >= m->g0.lo && sp < m->g0.hi)
		frames_skipped(m->current);
	return callback_on_fiber(m, sp, fn, arg);
}

/* Unchecked: SP may be anywhere, and the first thing is to find out. */
__attribute__((disable_tail_calls)) /* for tracebacks */
SOCLE_UNCHECKED int
socle_callback(socle_fn fn, void *arg)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	struct g *g0 = getg();

	if (g0 == NULL || !on_g0(g0) || g0->m->current == NULL)
		return callback_from_nowhere(g0, sp);
	if (sp < g0->lo || sp >= (uintptr_t)g0->tcb.sp)
		return callback_elsewhere(g0->m, sp, fn, arg);
	if (sp < g0->lo + G0_SLACK + CALLBACK_ROOM)
		return refuse(EOVERFLOW);
	if (g0->m->current->call_ended < P_LOST)
		callback_from_leaf(g0->m->current);
	return callback(g0->m, fn, arg);
}

/* The context that arch_call_on() saved on the goroutine's stack can be resumed: that is to return from it, the
 * callee-saved registers as they were, whatever fn has made of them. On g0, by arch_redirect(). */
SOCLE_UNCHECKED void end_foreign_call(void *g) { arch_resume(&((struct g *)g)->tcb); }

/* The same for a call without callbacks, whose context is not a whole one. */
SOCLE_UNCHECKED void end_leaf_call(void *g) { arch_end_leaf(&((struct g *)g)->tcb); }
