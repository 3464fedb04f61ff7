/*
 * Entries whose depth is known: frames that are written from end to end. What the chain calls takes no arguments:
 * i386 would push them, which the compiler does not count as part of a frame. What comes after a call keeps it from
 * being a jump.
 */
#include "frames.h"

#define NOINLINE __attribute__((noinline))
#define FILL(bytes)                               \
	volatile char frame[bytes];               \
	for (size_t i = 0; i < sizeof frame; i++) \
	frame[i] = 0x55

socle_fn called_back;
static volatile int chosen = 3;

static NOINLINE void last(void) { __asm__ volatile(""); }

static NOINLINE void deep(void)
{
	FILL(80192);
	last();
	frame[0] = 1;
}

static NOINLINE void middle(void)
{
	FILL(4096);
	deep();
	frame[0] = 1;
}

void chain(void *arg)
{
	FILL(1024);
	(void)arg;
	middle();
	frame[0] = 1;
}

/* Calls by a jump, with nothing of its own left on the stack. */
void tail(void *arg)
{
	(void)arg;
	deep();
}

/* deep() is reached through a jump table only. */
void tabled(void *arg)
{
	(void)arg;
	switch (chosen) {
	case 0: __asm__ volatile("# 0"); break;
	case 1: __asm__ volatile("# 1"); break;
	case 2: __asm__ volatile("# 2"); break;
	case 3:
		deep();
		last();
		break;
	case 4: __asm__ volatile("# 4"); break;
	case 5: __asm__ volatile("# 5"); break;
	}
}

/* Calls nothing: on x86-64 its frame lies below SP. */
void red_zone(void *arg)
{
	FILL(96);
	(void)arg;
}

static NOINLINE int descend(int levels)
{
	FILL(512);
	return levels > 0 ? descend(levels - 1) + frame[levels] : frame[0];
}

void recursive(void *levels) { chosen += 0 * descend(*(int *)levels); }

void by_pointer(void *arg)
{
	static void (*volatile target)(void) = middle;

	(void)arg;
	target();
	last();
}

void by_alloca(void *bytes)
{
	volatile char *p = __builtin_alloca(*(size_t *)bytes);

	for (size_t i = 0; i < *(size_t *)bytes; i++)
		p[i] = 0x55;
}

void calls_back(void *arg)
{
	FILL(256);
	socle_callback(called_back, arg);
	frame[0] = 1;
}

void faults(void *arg)
{
	FILL(2048);
	last();
	*(volatile int *)arg = 1;
	frame[0] = 1;
}

void never_called(void *arg) { tail(arg); }

static void hidden_entry(void *arg)
{
	FILL(640);
	(void)arg;
	last();
	frame[0] = 1;
}
const socle_fn hidden = hidden_entry;
