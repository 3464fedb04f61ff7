/*
 * What an image that tests itself needs. CHECK counts; finish() prints the count, which must be the one that
 * tests.toml declares, and gives main's status. repeatedly() runs a test three times, for what is kept for reuse (free
 * stacks, idle m's, page tables, the C library's heap) to settle; then once more, and no more frames and stacks may be
 * gone than ever before.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>

#include "runtime/runtime.h"
#include "socle.h"

static atomic_uint checks_passed, checks_failed;

static inline void check(bool condition, const char *text, const char *file, int line)
{
	if (condition) {
		checks_passed++;
		return;
	}
	checks_failed++;
	printf("%s:%d: failed: %s\n", file, line, text);
}

#define CHECK(condition) check(condition, #condition, __FILE__, __LINE__)

static inline int finish(void)
{
	printf("checks: %u passed, %u failed\n", checks_passed, checks_failed);
	return checks_failed > 0;
}

/* Until all goroutines but the caller have ended. */
static inline void wait_for_others(void)
{
	int others;

	do {
		socle_yield();
		others = -1;
		for (struct g *g = all_gs(); g != NULL; g = g->all)
			others += g->status != G_DEAD;
	} while (others > 0);
}

/* Free frames, and those of the g0's of m's that are kept for later: it is chance which are, and how deep their foreign
 * calls went. */
static inline size_t frames_not_lost(void)
{
	size_t frames = frames_free();
	struct socle_stack_info info;

	for (const struct stack *s = stack_next(NULL); s != NULL; s = stack_next(s))
		if (s->kind == STACK_G0 && socle_stack_query((const void *)s->lo, &info) == 0)
			frames += info.backed / PAGE_SIZE;
	return frames;
}

static inline void repeatedly(void (*test)(void))
{
	size_t most_stacks = 0, least_frames = SIZE_MAX;

	for (int i = 0; i < 3; i++) {
		test();
		most_stacks = stacks_in_use() > most_stacks ? stacks_in_use() : most_stacks;
		least_frames = frames_not_lost() < least_frames ? frames_not_lost() : least_frames;
	}
	test();
	/* Under chaos it is chance how many m's are kept. */
	CHECK(frames_not_lost() >= least_frames || (chaos_random() != 0 && frames_not_lost() + 256 > least_frames));
	CHECK(stacks_in_use() <= most_stacks || (chaos_random() != 0 && stacks_in_use() < most_stacks + 6));
}

#endif
