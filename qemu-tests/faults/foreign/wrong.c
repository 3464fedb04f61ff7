#include "wrong.h"

#include <reent.h>

#include <errno.h>
#include <stddef.h>

void read_null(void *unused)
{
	(void)unused;
	(void)*(volatile int *)8;
}

void passes_wild_pointer(void *unused)
{
	socle_stack_query(NULL, (struct socle_stack_info *)0x2000);
	__asm__ volatile("" : : "r"(unused)); /* no tail call: its frame is to be seen */
}

void __malloc_lock(struct _reent *);

void fails_with_lock(void *unused)
{
	__malloc_lock(_REENT);
	read_null(unused);
}

void write_wild(void *unused)
{
	(void)unused;
	*(volatile int *)(sizeof(void *) == 8 ? (uintptr_t)0x123456789000 : (uintptr_t)0xfe000000) = 1;
}

void write_text(void *unused)
{
	(void)unused;
	*(volatile int *)((uintptr_t)write_text & ~(uintptr_t)3) = 0;
}

static const int constant = 5;
void write_constant(void *unused)
{
	(void)unused;
	*(volatile int *)&constant = 6;
}

void jump_nowhere(void *unused)
{
	void (*volatile nowhere)(void) =
		(void (*)(void))(sizeof(void *) == 8 ? (uintptr_t)0x123456780000 : (uintptr_t)0xfd000000);

	(void)unused;
	nowhere();
}

void execute_data(void *unused)
{
	static volatile unsigned code[4];
	void (*volatile data)(void) = (void (*)(void))(uintptr_t)code;

	(void)unused;
	data();
}

void divide_by_zero(void *unused)
{
	volatile int zero = 0, one = 1;

	(void)unused;
	one /= zero;
	(void)one;
}

void undefined_instruction(void *unused)
{
	(void)unused;
#ifdef __arm__
	__asm__ volatile("udf #0");
#else
	__asm__ volatile("ud2");
#endif
}

static int deeper(volatile int *above)
{
	volatile int here[16];

	here[0] = *above + 1;
	return here[0] < 0 ? 0 : deeper(here) + here[0];
}

void overflow_by_recursion(void *unused)
{
	volatile int zero = 0;

	(void)unused;
	deeper(&zero);
}

static int deeper_with_calls(size_t bytes)
{
	volatile char here[bytes];

	errno = here[0] = 1;
	return socle_now() < 0 ? 0 : deeper_with_calls(bytes) + here[0];
}

void overflow_in_runtime(void *bytes) { deeper_with_calls(*(size_t *)bytes); }

void overflow_by_frame(void *bytes)
{
	volatile char frame[*(size_t *)bytes];

	frame[0] = 1;
	frame[*(size_t *)bytes - 1] = frame[0];
}
