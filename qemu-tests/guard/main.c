/*
 * Go's issue 1328: a callback from under a large foreign frame. With g0's true bounds it lives; with the guess of 2011
 * (g0guard=8k) it dies with "morestack on g0"; with a foreign init that knows the bounds (guard-init) it lives again.
 */
#include "qemu-tests/check.h"
#include "qemu-tests/guard/foreign/frame.h"

static int constructed;
static __attribute__((constructor)) void construct(void) { constructed++; }

void count(void *calls) { ++*(int *)calls; }

int main(void)
{
	struct g *g0 = &getg()->m->g0;
	uintptr_t guard = g0->tcb.stack_limit;
	int calls = 0;

	CHECK(constructed == 1);
	CHECK(g0->lo == fixed_stacks[0].lo && g0->hi == fixed_stacks[0].hi);
	CHECK(guard >= g0->lo && guard < g0->lo + 16384);
	CHECK(getg()->tcb.stack_limit > getg()->lo && getg()->tcb.stack_limit < getg()->hi);
	CHECK(socle_foreign_call(call_back_deep, &calls) == 0 && calls == 1);
	return finish();
}
