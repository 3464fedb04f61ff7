/* What every host test has: CHECK counts, from any thread; finish() prints the line that test_host.py looks for. */
#ifndef CHECK_H
#define CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static atomic_uint checks_passed, checks_failed;

static inline void check(bool condition, const char *what, int line)
{
	if (condition) {
		checks_passed++;
		return;
	}
	checks_failed++;
	printf("%d: failed: %s\n", line, what);
}

#define CHECK(condition, what) check(condition, what, __LINE__)

static inline int end_checks(void)
{
	printf("checks: %u passed, %u failed\n", checks_passed, checks_failed);
	return checks_failed != 0;
}

/* Marsaglia's xorshift: the same numbers each time, in each thread. */
static inline uint32_t random_number(void)
{
	static _Thread_local uint32_t x = 1;

	x ^= x << 13;
	x ^= x >> 17;
	return x ^= x << 5;
}

#endif
