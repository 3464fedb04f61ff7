/*
 * For test_stack_report.py: foreign calls of each kind that tools/stack-report tells apart, among them one on a stack
 * of its own, one inside a callback and one that a fault ends.
 */
#include "foreign/frames.h"
#include "qemu-tests/check.h"

/* The second call goes less deep, and begins where the first left its traces. */
static void inner(void *arg)
{
	CHECK(socle_foreign_call(chain, arg) == 0);
	CHECK(socle_foreign_call(red_zone, arg) == 0);
}

static void test(void)
{
	/* What goes deeper than the call that a fault ends comes right after it. */
	static const struct socle_foreign_attr own = {.stack_size = 1 << 20};
	int levels = 9;
	size_t bytes = 20000;

	called_back = inner;
	CHECK(socle_foreign_call(chain, NULL) == 0);
	CHECK(socle_foreign_call_attr(&own, tail, NULL) == 0);
	CHECK(socle_foreign_call(tabled, NULL) == 0);
	CHECK(socle_foreign_call(red_zone, NULL) == 0);
	CHECK(socle_foreign_call(recursive, &levels) == 0);
	CHECK(socle_foreign_call(faults, NULL) == -1 && errno == EFAULT);
	CHECK(socle_foreign_call(by_pointer, NULL) == 0);
	CHECK(socle_foreign_call_attr(&own, by_alloca, &bytes) == 0);
	CHECK(socle_foreign_call(calls_back, NULL) == 0);
	CHECK(socle_foreign_call(hidden, NULL) == 0);
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1000)
		never_called(NULL);
	repeatedly(test);
	return finish();
}
