/*
 * For test_gdb.py, which stops in stop_here() and looks at the others: one goroutine is parked in a channel, two calls
 * deep; main is in a callback of a foreign call. Then the image ends, which it can only if gdb has put back what it
 * moved.
 */
#include "qemu-tests/check.h"

#define FRAME __attribute__((noinline, disable_tail_calls))

static FRAME void wait_inside(socle_chan *c)
{
	int n = 0;

	CHECK(socle_chan_recv(c, &n) == 0);
	CHECK(n == 42);
}

static FRAME void waiter(void *c) { wait_inside(c); }
static FRAME void stop_here(socle_chan *c) { CHECK(socle_chan_send(c, &(int){42}) == 0); }
static FRAME void called_back(void *c) { stop_here(c); }
static FRAME void foreign_routine(void *c) { socle_callback(called_back, c); }

static void park_and_stop(void)
{
	struct socle_go_attr attr = {.name = "waiter"};
	socle_chan *c = socle_chan_make(sizeof(int), 0);

	CHECK(socle_go_attr(&attr, waiter, c) == 0);
	socle_yield();
	CHECK(socle_foreign_call(foreign_routine, c) == 0);
	socle_yield();
	socle_chan_free(c);
}

int main(void)
{
	repeatedly(park_and_stop);
	return finish();
}
