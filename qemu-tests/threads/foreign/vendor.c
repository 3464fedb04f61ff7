#include "vendor.h"

#include <string.h>

#include "qemu-tests/hold.h"

void spin(void *arg)
{
	struct spin *s = arg;
	int64_t end = socle_now() + s->limit;

	while (!*s->stop) {
		if (++s->rounds % 1024 != 0)
			continue;
		if (socle_now() > end) {
			s->gave_up = true;
			return;
		}
		if (s->callback != NULL) {
			s->calls++;
			s->errors += socle_callback(s->callback, s) != 0;
		}
	}
}

void spin_and_fail(void *arg)
{
	spin(arg);
	*(volatile char *)8;
}

void spin_and_panic(void *arg)
{
	spin(arg);
	socle_panic("enough");
}

void hold_registers(void *arg)
{
	struct holding *h = arg;
	static volatile char touched;

	h->kept = held(h->seed, &touched, h->times);
}
