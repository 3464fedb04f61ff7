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
	struct registers *r = arg;
	static volatile char touched;
	unsigned char in[BYTES] __attribute__((aligned(16))), out[BYTES] __attribute__((aligned(16)));

	/* Doubles that are numbers, and differ: the x87 loads and stores them exactly. */
	for (int i = 0; i < BYTES; i++)
		in[i] = i % 8 == 7 ? 0x40 : (unsigned char)(r->seed + i * 7);
	memset(out, 0, sizeof out);
	hold(in, out, (volatile char *)&touched, r->times);
	r->kept = memcmp(in, out, sizeof in) == 0;
}
