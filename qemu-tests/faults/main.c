/*
 * Without arguments: every way in which foreign code goes wrong is contained, a thousand times, in the midst of
 * callbacks too. With one: a way in which the image must end, with a report that tests.toml knows.
 */
#include <errno.h>
#include <string.h>

#include "foreign/wrong.h"
#include "qemu-tests/check.h"

extern char text_start[];

static const struct wrong {
	const char *name;
	socle_fn fn;
	const char *what; /* x86, then ARM where it differs */
	int error;
} wrongs[] = {
	{"read_null", read_null, "page fault", EFAULT},
	{"write_wild", write_wild, "page fault", EFAULT},
	{"write_text", write_text, "page fault", EFAULT},
	{"write_constant", write_constant, "page fault", EFAULT},
	{"jump_nowhere", jump_nowhere, "page fault", EFAULT},
	{"execute_data", execute_data, "page fault", EFAULT},
	{"divide_by_zero", divide_by_zero, "divi", EFAULT},
	{"undefined_instruction", undefined_instruction, "instruction", EFAULT},
	{"deeper", overflow_by_recursion, "stack overflow", EOVERFLOW},
};

static void check_contained(const struct wrong *w)
{
	struct socle_fault fault = {0};
	struct socle_foreign_attr attr = {.fault = &fault};
	struct m *m = getg()->m;
	void *g0_sp = m->g0.tcb.sp;

	errno = 0;
	CHECK(socle_foreign_call_attr(&attr, w->fn, NULL) == -1 && errno == w->error);
	CHECK(fault.what != NULL && (strstr(fault.what, w->what) != NULL || strstr(fault.what, "abort") != NULL));
	if (strcmp(w->name, "jump_nowhere") != 0 && strcmp(w->name, "execute_data") != 0)
		CHECK(fault.function != NULL && strcmp(fault.function, w->name) == 0);
	CHECK(fault.stack_lo == m->g0.lo && fault.stack_hi == m->g0.hi);
	CHECK(m->g0.tcb.sp == g0_sp && getg()->call_ended == 0);
}

/* ---- frames that step over a page; sizes from just past the end to far ---- */

static void check_frames(void)
{
	for (size_t bytes = 252 << 10; bytes <= 512 << 10; bytes += 4096) {
		struct socle_fault fault = {0};
		struct socle_foreign_attr attr = {.fault = &fault};

		errno = 0;
		if (bytes < 255 << 10)
			CHECK(socle_foreign_call_attr(&attr, overflow_by_frame, &bytes) == 0);
		else if (bytes > 256 << 10)
			CHECK(socle_foreign_call_attr(&attr, overflow_by_frame, &bytes) == -1 && errno == EOVERFLOW &&
			      fault.address < fault.stack_lo);
	}
}

/* ---- a failure under a callback under a failure ---- */

static int depth;

static void fails_in_callback(void *arg)
{
	socle_yield();
	CHECK(socle_foreign_call(read_null, arg) == -1 && errno == EFAULT);
	socle_yield();
	depth++;
}

static SOCLE_UNCHECKED void calls_back_then_fails(void *arg)
{
	socle_callback(fails_in_callback, arg);
	read_null(arg);
}

static void check_nested(void)
{
	depth = 0;
	CHECK(socle_foreign_call(calls_back_then_fails, NULL) == -1 && errno == EFAULT);
	CHECK(depth == 1);
	CHECK(getg()->callbacks == 0 && getg()->locked_m == NULL);
}

/* ---- the same from three goroutines at once, cleanups and panics between, on g0's and on stacks of their own ---- */

enum { GOROUTINES = 3, TIMES = 1000 };
static atomic_int contained_right, cleaned, caught; /* preempted anywhere */

static void count_cleanup(void *unused)
{
	(void)unused;
	cleaned++;
}

static void panics_after_failure(void *unused)
{
	struct socle_cleanup c;

	socle_cleanup_push(&c, count_cleanup, NULL);
	contained_right += socle_foreign_call(read_null, unused) == -1 && errno == EFAULT;
	socle_yield();
	socle_panic("after a failure");
}

static SOCLE_UNCHECKED void calls_back_to_panic(void *arg) { socle_callback(panics_after_failure, arg); }
static void calls_foreign(void *arg) { socle_foreign_call(calls_back_to_panic, arg); }

static void tries_in_callback(void *arg)
{
	caught += socle_try(calls_foreign, arg, NULL) == -1;
	contained_right += socle_foreign_call(overflow_by_recursion, arg) == -1 && errno == EOVERFLOW;
}

static SOCLE_UNCHECKED void calls_back_to_try_then_fails(void *arg)
{
	socle_callback(tries_in_callback, arg);
	undefined_instruction(arg);
}

static void fails_many_times(void *unused)
{
	for (int i = 0; i < TIMES; i++) {
		struct socle_foreign_attr attr = {.stack_size = i % 3 == 0 ? 96 << 10 : 0};

		contained_right +=
			socle_foreign_call_attr(&attr, calls_back_to_try_then_fails, unused) == -1 && errno == EFAULT;
	}
}

static void check_together(void)
{
	contained_right = cleaned = caught = 0;
	for (int i = 0; i < GOROUTINES; i++)
		CHECK(socle_go(fails_many_times, NULL) == 0);
	wait_for_others();
	CHECK(contained_right == 3 * GOROUTINES * TIMES);
	CHECK(cleaned == GOROUTINES * TIMES && caught == GOROUTINES * TIMES);
}

/* ---- a turn that ends while a call does: its own stack is gone from g0 first, and the fault is its own ---- */

enum { TURNS = 3000 };

static void fails_on_own_stacks(void *wrong)
{
	const struct wrong *w = wrong;

	for (int i = 0; i < TURNS; i++) {
		struct socle_fault fault = {0};
		struct socle_foreign_attr attr = {
			.stack_size = 64 << 10, .fault = &fault, .flags = i % 2 ? SOCLE_NOCALLBACK : 0};

		errno = 0;
		contained_right += socle_foreign_call_attr(&attr, w->fn, NULL) == -1 && errno == w->error &&
				   strcmp(fault.function, w->name) == 0;
		caught += g0_is_own();
	}
}

/* The first that it asks of the C library is to set errno. */
static void fails_at_first(void *unused)
{
	static const struct socle_foreign_attr attr = {.stack_size = 64 << 10};

	contained_right += socle_foreign_call_attr(&attr, read_null, unused) == -1;
	caught += g0_is_own();
}

static void check_ends_of_turns(void)
{
	contained_right = caught = 0;
	for (int i = 0; i < TURNS; i++) {
		socle_go(fails_at_first, NULL);
		if (i % GOROUTINES == 0)
			socle_yield();
	}
	wait_for_others();
	CHECK(contained_right == TURNS && caught == TURNS);
	contained_right = caught = 0;
	for (int i = 0; i < GOROUTINES; i++)
		CHECK(socle_go(fails_on_own_stacks, (void *)&wrongs[i]) == 0);
	wait_for_others();
	CHECK(contained_right == GOROUTINES * TURNS && caught == GOROUTINES * TURNS);
}

/* ---- callee-saved registers survive whatever the routine made of them ---- */

static SOCLE_UNCHECKED void spoils_registers(void *arg)
{
	(void)arg;
#ifdef __x86_64__
	__asm__ volatile(
		"movq $-1, %%rbx\n\tmovq $-1, %%r12\n\tmovq $-1, %%r13\n\tmovq $-1, %%r14\n\tmovq $-1, %%r15\n\tstd\n\tud2"
		:
		:
		: "rbx", "r12", "r13", "r14", "r15", "memory");
#elif defined __i386__
	__asm__ volatile(
		"movl $-1, %%ebx\n\tmovl $-1, %%esi\n\tmovl $-1, %%edi\n\tfldpi\n\tfldpi\n\tfldpi\n\tfldpi\n\tstd\n\tud2"
		:
		:
		: "ebx", "esi", "edi", "memory");
#else
	__asm__ volatile("mvn r4, #0\n\tmvn r5, #0\n\tmvn r6, #0\n\tmvn r8, #0\n\tmvn r9, #0\n\tmvn r10, #0\n\t"
			 "vmov d8, r4, r5\n\tvmov d15, r4, r5\n\tudf #0"
			 :
			 :
			 : "r4", "r5", "r6", "r8", "r9", "r10", "memory");
#endif
}

static void check_registers(void)
{
	double x = 0.5, y = 0.25, sum = 0;
	long a = depth + 11, b = depth + 22, c = depth + 33, d = depth + 44;

	__asm__ volatile("" : "+m"(x), "+m"(y), "+r"(a), "+r"(b));
	for (int i = 0; i < 10; i++) {
		CHECK(socle_foreign_call(spoils_registers, NULL) == -1);
		sum += x * y;
	}
	CHECK(sum == 1.25 && a + b + c + d == 4 * depth + 110);
}

/* Where only our code touches the guard, holding no lock. */
static void check_overflow_in_runtime(void)
{
	int right = 0;

	for (size_t bytes = 64; bytes < 320; bytes += 8) {
		struct socle_fault fault = {0};
		struct socle_foreign_attr attr = {.fault = &fault};

		right += socle_foreign_call_attr(&attr, overflow_in_runtime, &bytes) == -1 && errno == EOVERFLOW &&
			 strcmp(fault.what, "stack overflow") == 0;
	}
	CHECK(right == 32);
}

static void contained(void)
{
	for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++)
		check_contained(&wrongs[i]);
	check_frames();
	check_overflow_in_runtime();
	check_nested();
	check_together();
	check_ends_of_turns();
	check_registers();
}

static void many(void)
{
	int right = 0;

	for (int i = 0; i < 10000; i++)
		right += socle_foreign_call(i % 2 ? read_null : undefined_instruction, NULL) == -1;
	CHECK(right == 10000);
}

/* ---- the ways to end ---- */

static int __attribute__((noinline)) recurse(volatile int *above)
{
	volatile int here[16];

	here[0] = *above + 1;
	return here[0] < 0 ? 0 : recurse(here) + here[0];
}

static void recurses(void *arg)
{
	volatile int zero = 0;

	(void)arg;
	recurse(&zero);
}

static void __attribute__((noinline)) huge_frame(void *arg)
{
	volatile char frame[1 << 20];

	frame[0] = *(char *)arg;
	__asm__ volatile("" : : "r"(frame) : "memory");
}

static void variable_frame(void *arg)
{
	volatile char frame[*(volatile int *)arg];

	frame[0] = 1;
}

static void goes_wrong_in_callback(void *arg)
{
	(void)arg;
	read_null(NULL);
}

static SOCLE_UNCHECKED void calls_back(void *arg) { socle_callback(goes_wrong_in_callback, arg); }

static SOCLE_UNCHECKED void exits_in_callback(void *arg) { socle_callback((socle_fn)socle_exit, arg); }
static SOCLE_UNCHECKED void yields_on_g0(void *arg)
{
	(void)arg;
	socle_yield();
}

static void waits_for_ever(void *chan) { socle_chan_recv(chan, NULL); }

static void deadlock(void)
{
	static const struct socle_go_attr attr = {.name = "waiter"};
	socle_chan *c = socle_chan_make(0, 0);

	socle_go_attr(&attr, waits_for_ever, c);
	socle_chan_send(socle_chan_make(0, 0), NULL);
}

static void end(const char *how)
{
	static const struct socle_go_attr small = {.name = "small", .stack_size = 16384};
	static int megabyte = 1 << 20;

	if (strcmp(how, "in-runtime") == 0)
		socle_foreign_call(passes_wild_pointer, NULL);
	else if (strcmp(how, "libc-lock") == 0)
		socle_foreign_call(fails_with_lock, NULL);
	else if (strcmp(how, "null") == 0)
		read_null(NULL);
	if (strcmp(how, "divide") == 0)
		divide_by_zero(NULL);
	if (strcmp(how, "undefined") == 0)
		undefined_instruction(NULL);
	if (strcmp(how, "text") == 0)
		write_text(NULL);
	if (strcmp(how, "nowhere") == 0)
		jump_nowhere(NULL);
	if (strcmp(how, "data") == 0)
		execute_data(NULL);
	if (strcmp(how, "recursion") == 0)
		recurses(NULL);
	if (strcmp(how, "small") == 0)
		socle_go_attr(&small, recurses, NULL);
	if (strcmp(how, "frame") == 0)
		huge_frame("x");
	if (strcmp(how, "array") == 0)
		variable_frame(&megabyte);
	if (strcmp(how, "unchecked") == 0)
		overflow_by_recursion(NULL);
	if (strcmp(how, "callback") == 0)
		socle_foreign_call(calls_back, NULL);
	if (strcmp(how, "exit-in-callback") == 0)
		socle_foreign_call(exits_in_callback, NULL);
	if (strcmp(how, "yield-on-g0") == 0)
		socle_foreign_call(yields_on_g0, NULL);
	if (strcmp(how, "deadlock") == 0)
		deadlock();
	if (strcmp(how, "last") == 0)
		socle_exit();
	if (strcmp(how, "abort") == 0)
		__builtin_trap();
	if (strcmp(how, "nested") == 0) {
		getg()->name = (const char *)16; /* so that the report itself fails */
		read_null(NULL);
	}
	if (strcmp(how, "status") == 0)
		kernel_exit(77);
	socle_yield();
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		end(argv[1]);
		return 99;
	}
	repeatedly(contained);
	many();
	return finish();
}
