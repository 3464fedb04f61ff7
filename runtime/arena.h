/*
 * The arena, for stack.c: slots and the stacks on them that are free. What a CPU keeps of those is no longer here.
 */
#ifndef SOCLE_ARENA_H
#define SOCLE_ARENA_H

#include "runtime/runtime.h"

#define SLOW NOINLINE __attribute__((minsize)) /* seldom */

static inline void stack_push(struct stack **list, struct stack *s)
{
	s->next_free = *list;
	*list = s;
}

static inline struct stack *stack_pop(struct stack **list)
{
	struct stack *s = *list;

	if (s != NULL)
		*list = s->next_free;
	return s;
}

#define STACK_MIN_LOG2 13
#define STACK_MAX_LOG2 (sizeof(void *) == 8 ? 30 : 28)
#define STACK_SIZES 18

extern struct stack_class {
	enum stack_kind kind;
	uintptr_t size, slot; /* of the stack; with its guard */
	struct stack *free, *holders;
	struct span *span;   /* slots never used are left in this one; NULL at first */
	uintptr_t next_span; /* size */
} stack_classes[STACK_KINDS][STACK_SIZES];

/* NULL: no such size. */
static inline struct stack_class *stack_class_of(size_t size, enum stack_kind kind)
{
	unsigned log2;

	if (size < (size_t)1 << STACK_MIN_LOG2 || size > (size_t)1 << STACK_MAX_LOG2)
		return NULL;
	log2 = 8 * sizeof(long) - (unsigned)__builtin_clzl(size - 1); /* rounded up */
	return &stack_classes[kind][log2 - STACK_MIN_LOG2];
}

/* A free stack, and some more for the list: NULL, there is none. */
struct stack *arena_take(struct stack_class *c, struct stack **more);
/* That never was, or whose page is gone; NULL and errno. emergency: may use the frames that are kept for panics. */
struct stack *arena_unused(struct stack_class *c, bool emergency);
void arena_put(struct stack *list); /* by next_free */
size_t arena_release(void);	    /* the pages of nearly all that are free; returns how many */
size_t arena_taken(void);	    /* less those that were put back */

#endif
