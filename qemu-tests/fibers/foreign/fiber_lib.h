/* What a coroutine library does: a stack each, and switches between them that nobody else is told of. */
#ifndef FIBER_LIB_H
#define FIBER_LIB_H

#include <stdbool.h>
#include <stddef.h>

struct coroutine {
	void *sp; /* while it does not run */
	void (*fn)(struct coroutine *self);
	void *arg;
	struct coroutine *resumer;
	bool ended;
};

void coroutine_make(struct coroutine *c, void *stack, size_t size, void (*fn)(struct coroutine *self), void *arg);
void coroutine_switch(struct coroutine *from, struct coroutine *to);
void coroutine_resume(struct coroutine *c); /* until it suspends itself or ends */
void coroutine_suspend(struct coroutine *self);

#endif
