#include "vendor.h"

#include <errno.h>

void add_one(void *n) { ++*(int *)n; }
void stack_address(void *out) { *(uintptr_t *)out = (uintptr_t)__builtin_frame_address(0); }

void spin_until(void *stop)
{
	int64_t end = socle_now() + 1000000000;

	while (!*(volatile bool *)stop && socle_now() < end)
		;
}

void spin_and_fail(void *stop)
{
	spin_until(stop);
	(void)*(volatile char *)8;
}

static int deeper(volatile int *above)
{
	volatile int here[64];

	here[0] = *above + 1;
	return here[0] < 0 ? 0 : deeper(here) + here[0];
}

void recurse(void *unused)
{
	volatile int zero = 0;

	(void)unused;
	deeper(&zero);
}

void trash_and_fail(void *unused)
{
	(void)unused;
#ifdef __x86_64__
	__asm__ volatile("movq $1, %rbx\n\tmovq $2, %r12\n\tmovq $3, %r13\n\tmovq $4, %r14\n\tmovq $5, %r15\n\t"
			 "movq $6, %rbp\n\tfld1\n\tmovb 8, %al");
#elif defined __i386__
	__asm__ volatile("movl $1, %ebx\n\tmovl $2, %esi\n\tmovl $3, %edi\n\tmovl $4, %ebp\n\tfld1\n\tmovb 8, %al");
#else
	__asm__ volatile(
		"mov r4, #1\n\tmov r5, r4\n\tmov r6, r4\n\tmov r7, r4\n\tmov r8, r4\n\tmov r9, r4\n\tmov r10, r4\n\t"
		"mov r11, r4\n\tvmov.f64 d8, #1.0\n\tvmov.f64 d15, #1.0\n\tmov r0, #8\n\tldrb r0, [r0]");
#endif
}

void divide(void *unused)
{
	volatile int zero = 0, one = 1;

	(void)unused;
	one /= zero;
	(void)one;
}

void calls_back(void *fn) { socle_callback((socle_fn)fn, NULL); }

void panics(void *unused)
{
	(void)unused;
	socle_panic("in a leaf");
}

void nests(void *result)
{
	static const struct socle_foreign_attr leaf = {.flags = SOCLE_NOCALLBACK};

	errno = 0;
	*(int *)result = socle_foreign_call_attr(&leaf, add_one, result) == -1 ? errno : 0;
}
