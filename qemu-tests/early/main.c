/* Foreign calls before main: in socle_foreign_init() a call is a plain one and a callback is refused; constructors run on
 * the main goroutine, and may do all that main may. */
#include <errno.h>

#include "foreign/vendor.h"
#include "qemu-tests/check.h"

static int constructed, called_back;
static bool other_ran;

static void count(void *unused)
{
	(void)unused;
	socle_yield();
	called_back++;
}

static void other(void *unused)
{
	(void)unused;
	other_ran = true;
}

__attribute__((constructor)) static void constructor(void)
{
	static const struct socle_foreign_attr own_stack = {.stack_size = 128 << 10};

	constructed += socle_id() == 1;
	constructed += socle_foreign_call(call_back_from_foreign, (void *)count) == 0;
	constructed += socle_foreign_call_attr(&own_stack, call_back_from_foreign, (void *)count) == 0;
	constructed += socle_foreign_call(NULL, NULL) == -1 && errno == EFAULT;
	socle_go(other, NULL);
	constructed += SOON(other_ran);
}

int main(void)
{
	CHECK(init_calls == 1 && init_error == EPERM);
	CHECK(constructed == 5 && called_back == 2);
	return finish();
}
