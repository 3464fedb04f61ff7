/*
 * Some ask for the stacks of goroutines that end, while the memory of these is given back: an answer, or that there is
 * none. Chaos makes the time between finding a stack and reading it long.
 */
#include "qemu-tests/check.h"

#define MS 1000000ll

enum {
	SPAN = 16 << 20,
	STEP = 64 << 10
}; /* of the arena's beginning; the smallest slots that are used here are larger */

static atomic_bool stop;
static atomic_uint found, wrong;
static struct socle_waitgroup both; /* wait_for_others() reads what is given back here */

static void asks(void *unused)
{
	struct socle_stack_info info;

	(void)unused;
	while (!stop)
		for (uintptr_t at = ARENA_LO; at < ARENA_LO + SPAN; at += STEP) {
			if (socle_stack_query((void *)at, &info) < 0)
				continue;
			found++;
			wrong += at < info.guard_lo || at >= info.hi + PAGE_SIZE || info.lo > info.high_water;
		}
	socle_waitgroup_done(&both);
}

static void ends(void *unused) { (void)unused; }

static void starts(void *unused)
{
	(void)unused;
	while (!stop) {
		for (int i = 0; i < 20; i++)
			wrong += socle_go(ends, NULL) != 0;
		socle_yield();
		socle_stack_trim();
	}
	socle_waitgroup_done(&both);
}

int main(void)
{
	socle_waitgroup_add(&both, 2);
	socle_go(asks, NULL);
	socle_go(starts, NULL);
	socle_sleep(3000 * MS);
	stop = true;
	socle_waitgroup_wait(&both);
	CHECK(found > 0);
	CHECK(wrong == 0);
	return finish();
}
