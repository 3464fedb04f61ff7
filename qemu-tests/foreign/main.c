/*
 * Foreign calls and callbacks: frames of 64 KiB, 64 deep, from many goroutines at once, blocking in the middle; and
 * that both saved SPs are exactly what they were.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "foreign/vendor.h"
#include "qemu-tests/check.h"

#define KIB 1024

static void count(void *n) { ++*(int *)n; }

/* ---- one call ---- */

static void test_one(void)
{
	int called = 0;
	struct frame f = {.bytes = 64 * KIB, .callback = count, .arg = &called, .times = 100};
	struct m *m = getg()->m;
	void *g0_sp = m->g0.tcb.sp;

	CHECK(socle_foreign_call(large_frame, &f) == 0);
	CHECK(called == 100 && f.error == 0);
	CHECK(f.intact && f.aligned && f.sum == 1.5 + 2.25 * 4.125);
	CHECK(!one_cpu() || (getg()->m == m && m->g0.tcb.sp == g0_sp && m->locked_g == NULL));
	CHECK(getg()->locked_m == NULL && getg()->callbacks == 0);
}

/* ---- where a callback's stack begins must not creep ---- */

static uintptr_t first_sp, last_sp;

static void nested_call(void *arg)
{
	int called = 0;
	struct frame f = {.bytes = 512, .callback = count, .arg = &called, .times = 1};

	(void)arg;
	last_sp = (uintptr_t)__builtin_frame_address(0);
	if (first_sp == 0)
		first_sp = last_sp;
	socle_foreign_call(large_frame, &f);
	socle_yield();
}

static void test_no_creep(void)
{
	struct frame f = {.bytes = KIB, .callback = nested_call, .times = 50};

	first_sp = 0;
	CHECK(socle_foreign_call(large_frame, &f) == 0);
	CHECK(first_sp == last_sp);
	CHECK(f.intact);
}

/* ---- 64 deep, 64 KiB at each level, on a stack of 8 MiB ---- */

enum { DEPTH = 64 };
static int depth, deepest, intact, locals_kept;

static void descend(void *arg)
{
	volatile int local = depth;
	struct frame f = {.bytes = 64 * KIB, .callback = descend, .times = 1};

	(void)arg;
	if (depth > deepest)
		deepest = depth;
	if (depth == DEPTH) {
		socle_yield();
		return;
	}
	depth++;
	if (socle_foreign_call(large_frame, &f) == 0)
		intact += f.intact && f.aligned;
	depth--;
	locals_kept += local == depth;
}

static void descend_start(void *arg)
{
	(void)arg;
	socle_callback(descend, NULL);
}

static void test_deep(void)
{
	struct socle_foreign_attr attr = {.stack_size = 8 << 20};
	struct socle_stack_info g0;

	depth = deepest = intact = locals_kept = 0;
	CHECK(socle_foreign_call_attr(&attr, descend_start, NULL) == 0);
	CHECK(deepest == DEPTH && intact == DEPTH && locals_kept == DEPTH);
	CHECK(socle_stack_query((void *)m0.g0.lo, &g0) == 0 && g0.kind == SOCLE_STACK_BOOT);
}

/* ---- a call that asks for much gets it, and gives it back ---- */

static void test_large_stack(void)
{
	size_t before = vm_frames_free();

	for (size_t size = 2 << 20; size <= 64 << 20; size <<= 5) {
		int called = 0;
		struct frame f = {.bytes = size - (size >> 2), .callback = count, .arg = &called, .times = 10};
		struct socle_foreign_attr attr = {.stack_size = size};

		CHECK(socle_foreign_call_attr(&attr, large_frame, &f) == 0 && f.error == 0 && f.intact && called == 10);
		CHECK(vm_frames_free() + 64 > before); /* some page tables stay */
	}
}

/* ---- many goroutines, each blocked in a callback under a foreign frame, woken in another order ---- */

enum { BLOCKED = 1000 };

struct blocked {
	socle_chan *wake;
	int id, got;
	struct frame f;
};

static int finished[BLOCKED];
static atomic_int finishes;

static void block(void *arg)
{
	struct blocked *b = arg;
	volatile int local = b->id * 3;
	int n = 0;

	socle_yield();
	socle_chan_recv(b->wake, &n);
	b->got = local == b->id * 3 ? n : -1;
}

static void blocked_goroutine(void *arg)
{
	struct blocked *b = arg;

	b->f = (struct frame){.bytes = 16 * KIB, .callback = block, .arg = b, .times = 1};
	CHECK(socle_foreign_call(large_frame, &b->f) == 0);
	finished[finishes] = b->id; /* one at a time */
	finishes++;
}

static int busy;

static void keeps_busy(void *arg)
{
	(void)arg;
	while (finishes < BLOCKED) {
		int called = 0;
		struct frame f = {.bytes = 8 * KIB, .callback = count, .arg = &called, .times = 2};

		socle_foreign_call(large_frame, &f);
		busy += called == 2 && f.intact;
		socle_yield();
	}
}

static void test_blocked(void)
{
	static struct blocked b[BLOCKED];
	int right = 0, order_right = 0;

	finishes = busy = 0;
	socle_go(keeps_busy, NULL);
	for (int i = 0; i < BLOCKED; i++) {
		b[i] = (struct blocked){.wake = socle_chan_make(sizeof(int), 0), .id = i};
		socle_go(blocked_goroutine, &b[i]);
	}
	do
		socle_sleep(5000000);
	while (busy == 0);
	CHECK(finishes == 0);
	for (int i = 0; i < BLOCKED; i++) {
		int who = i * 377 % BLOCKED, n = who + 1000;

		CHECK(socle_chan_send(b[who].wake, &n) == 0);
		while (finishes <= i)
			let_others_run();
		order_right += finished[i] == who;
	}
	for (int i = 0; i < BLOCKED; i++) {
		right += b[i].got == i + 1000 && b[i].f.intact;
		socle_chan_free(b[i].wake);
	}
	CHECK(right == BLOCKED && order_right == BLOCKED);
	wait_for_others();
}

/* ---- sleeping in a callback ---- */

static void sleep_a_little(void *arg)
{
	int64_t before = socle_now();

	socle_sleep(3000000);
	*(bool *)arg = socle_now() - before >= 3000000;
}

static void test_sleep(void)
{
	bool slept = false;
	struct frame f = {.bytes = 4 * KIB, .callback = sleep_a_little, .arg = &slept, .times = 1};

	CHECK(socle_foreign_call(large_frame, &f) == 0 && slept && f.intact);
}

/* ---- floating point on both stacks ---- */

static void print_in_callback(void *text)
{
	CHECK(stack_is_aligned(__builtin_frame_address(0)));
	snprintf(text, 64, "%.3f %g %e", 3.14159, 1e100, 0.1);
}

static void test_doubles(void)
{
	char here[64], there[64], back[64];
	struct frame f = {.bytes = KIB, .callback = print_in_callback, .arg = back, .times = 1};

	snprintf(here, sizeof here, "%.3f %g %e", 3.14159, 1e100, 0.1);
	CHECK(strcmp(here, "3.142 1e+100 1.000000e-01") == 0);
	CHECK(socle_foreign_call(print_doubles, there) == 0 && strcmp(here, there) == 0);
	CHECK(socle_foreign_call(large_frame, &f) == 0 && strcmp(here, back) == 0);
}

/* ---- what is refused ---- */

static void yields_not(void *result)
{
	int *errors = result;

	errno = 0;
	errors[0] = socle_go(count, NULL) == -1 ? errno : 0;
	errno = 0;
	errors[1] = socle_chan_send(NULL, NULL) == -1 ? errno : 0;
	errno = 0;
	errors[2] = socle_foreign_call(count, &errors[3]); /* from foreign code: a plain call */
}

/* What a fiber library does: its own stack under the same thread. */
static void call_on_memory(void *memory, size_t size, socle_fn fn, void *arg);

struct elsewhere {
	int result, error;
};

static SOCLE_UNCHECKED void callback_from_elsewhere(void *arg)
{
	struct elsewhere *e = arg;

	errno = 0;
	e->result = socle_callback(count, &(int){0});
	e->error = errno;
}

static void goes_elsewhere(void *arg)
{
	static char memory[32 * KIB] __attribute__((aligned(16)));

	call_on_memory(memory, sizeof memory, callback_from_elsewhere, arg);
}

static SOCLE_UNCHECKED void call_on_memory(void *memory, size_t size, socle_fn fn, void *arg)
{
	void *top = (char *)memory + size;

#ifdef __x86_64__
	__asm__ volatile("movq %%rsp, %%rbx\n\tmovq %0, %%rsp\n\tcallq *%1\n\tmovq %%rbx, %%rsp"
			 : "+r"(top), "+r"(fn), "+D"(arg)
			 :
			 : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
#elif defined __i386__
	__asm__ volatile(
		"movl %%esp, %%ebx\n\tmovl %0, %%esp\n\tsubl $12, %%esp\n\tpushl %2\n\tcall *%1\n\tmovl %%ebx, %%esp"
		: "+r"(top), "+r"(fn), "+r"(arg)
		:
		: "ebx", "memory", "cc");
#else
	register void *r0 __asm__("r0") = arg;

	__asm__ volatile("mov r4, sp\n\tmov sp, %1\n\tblx %2\n\tmov sp, r4"
			 : "+r"(r0)
			 : "r"(top), "r"(fn)
			 : "r1", "r2", "r3", "r4", "r12", "lr", "memory", "cc");
#endif
}

/* ---- the end of a turn near the end of a foreign stack ---- */

enum { EDGES = 20 };

static volatile bool stop;
static atomic_int edges_right;

static SOCLE_UNCHECKED uintptr_t stack_lo(void) { return getg()->lo; }

static SOCLE_UNCHECKED void grows(void *unused)
{
	volatile char frame[7000];

	(void)unused;
	frame[0] = 0;
}

static void calls_at_edge(void *edge)
{
	static const struct socle_foreign_attr own = {.stack_size = 64 * KIB};
	struct edge *e = edge;

	for (int i = 0; i < 4; i++)
		socle_go(grows, NULL); /* the CPU keeps their stacks */
	let_others_run();
	end_turn_soon();
	edges_right += socle_foreign_call_attr(&own, compute_at_edge, e) == 0 && e->intact;
}

/* The others need a further m each, so the turn's end starts a thread, on what is left of that stack: whatever that is, it
 * is enough, or the turn does not end there. */
static void test_turn_at_edge(void)
{
	struct edge edges[EDGES];

	stop = false;
	edges_right = 0;
	for (int i = 0; i < EDGES; i++) {
		edges[i] = (struct edge){.lo = stack_lo, .left = 1024 + 280 * (size_t)i, .stop = &stop};
		CHECK(socle_go(calls_at_edge, &edges[i]) == 0);
	}
	for (int i = 0; i < 2 * EDGES; i++)
		let_others_run();
	stop = true;
	wait_for_others();
	CHECK(edges_right == EDGES);
}

/* ---- foreign code asks the runtime when there is no frame for the page below: it has one of the last ---- */

static size_t reclaims_nothing(void) { return 0; }

static void **take_all_memory(void)
{
	void **block, **blocks = NULL;

	for (size_t size = 64 * KIB; size >= PAGE_SIZE / 2; size /= 2)
		for (; (block = malloc(size)) != NULL; blocks = block)
			*block = blocks;
	return blocks;
}

static void test_asks_without_memory(void)
{
	static const struct socle_foreign_attr own = {.stack_size = 64 * KIB};
	struct question q = {.left = 1024};
	unsigned answered = 0, refused = 0;
	void **blocks, **block;

	CHECK(socle_foreign_call_attr(&own, ask_at_edge, &q) == 0); /* the CPU keeps that stack */
	stacks_reclaim = reclaims_nothing;			    /* and those of others */
	blocks = take_all_memory();
	for (q.left = 8; q.left < 1024; q.left += 8)
		if (socle_foreign_call_attr(&own, ask_at_edge, &q) == 0)
			answered += q.answer == (int)q.left;
		else
			refused += errno == ENOMEM; /* no page to call it on, or this is another CPU */
	for (; (block = blocks) != NULL; free(block))
		blocks = *block;
	stacks_reclaim = stacks_release_if_room;
	CHECK(answered + refused == 127 && (answered > 110 || !one_cpu()));
}

static void test_refused(void)
{
	int errors[4] = {0}, called = 0;
	struct elsewhere elsewhere = {0};
	struct socle_foreign_attr small = {.stack_size = 4096}, absurd = {.stack_size = SIZE_MAX};

	errno = 0;
	CHECK(socle_callback(count, &called) == -1 && errno == EPERM && called == 0);
	CHECK(socle_foreign_call(yields_not, errors) == 0);
	CHECK(errors[0] == EPERM && errors[1] == EPERM && errors[2] == 0 && errors[3] == 1);
	CHECK(socle_foreign_call_attr(&small, count, &called) == -1 && errno == EINVAL);
	CHECK(socle_foreign_call_attr(&absurd, count, &called) == -1 && errno == EINVAL && called == 0);
	CHECK(socle_foreign_call(goes_elsewhere, &elsewhere) == 0);
	CHECK(elsewhere.result == -1 && elsewhere.error == EFAULT);
}

static void all(void)
{
	test_one();
	test_no_creep();
	test_deep();
	test_large_stack();
	test_blocked();
	test_sleep();
	test_doubles();
	test_turn_at_edge();
	test_asks_without_memory();
	test_refused();
}

int main(void)
{
	repeatedly(all);
	return finish();
}
