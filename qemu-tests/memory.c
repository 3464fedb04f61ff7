/*
 * Out of frames. Goroutines are started until that fails, in the way it must; all of them end, and everything can be
 * had again. Who yields then, at any depth of its stack, panics or does not.
 * Arguments: `grow`, a stack that cannot ends the image; `print`, the C library takes its first lock then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qemu-tests/check.h"

static socle_chan *gate;

static void waits(void *arg)
{
	(void)arg;
	socle_chan_recv(gate, NULL);
}

/* With stacks of that size. */
static size_t fill(size_t size)
{
	const struct socle_go_attr attr = {.stack_size = size};
	size_t started = 0;

	while (socle_go_attr(&attr, waits, NULL) == 0) {
		started++;
		if (started % 64 == 0)
			socle_yield();
	}
	CHECK(errno == ENOMEM || errno == EAGAIN);
	return started;
}

static int __attribute__((noinline)) deeper(int n)
{
	volatile char frame[4096];

	frame[0] = (char)n;
	__asm__ volatile("" : : "r"(frame) : "memory");
	if (n > 0)
		n = deeper(n - 1);
	return n + frame[0];
}

static void grows(void *arg)
{
	(void)arg;
	deeper(50000);
}

/* A stack that cannot grow is a panic of its goroutine, and leaves nothing behind. */
static void panics(void *result)
{
	struct socle_panic p = {0};
	int failed = socle_try(grows, NULL, &p);

	CHECK(p.kind == SOCLE_PANIC_NO_MEMORY);
	CHECK(strcmp(p.function, "deeper") == 0);
	*(int *)result = failed;
}

static const struct socle_go_attr large = {.name = "large", .stack_size = 256 << 20};

enum { TABLES = 64 }; /* for 32 MiB at most; they stay */

static void test_growth(void)
{
	size_t free;
	int result = 0;

	for (int i = 0; i < 3; i++) {
		free = vm_frames_free();
		CHECK(socle_go_attr(&large, panics, &result) == 0);
		wait_for_others();
		CHECK(result == -1);
		/* Another CPU may be about to free its stack, or keep that, and the next one's lie elsewhere. */
		CHECK(SOON(vm_frames_free() + (i == 0 || !one_cpu() ? TABLES : 0) >= free));
	}
}

/* ---- A switch whose saved context needs a page ---- */

static unsigned long turns;
static bool full, over;

static void takes_turns(void *unused)
{
	(void)unused;
	for (; !over; turns++)
		socle_yield();
}

static void yields_at_depth(void *depth)
{
	volatile char frame[(uintptr_t)depth];

	frame[0] = 0;
	__asm__ volatile("" : : "r"(frame) : "memory");
	socle_yield();
}

/* At every depth around the end of the first page. Whoever was to run next is not lost by the panic. */
static void digs(void *unused)
{
	unsigned failed = 0, lost = 0, depth;

	(void)unused;
	while (!full)
		socle_yield();
	for (depth = PAGE_SIZE / 2; depth < PAGE_SIZE; depth += 8) {
		unsigned long before = turns;

		failed += socle_try(yields_at_depth, (void *)(uintptr_t)depth, NULL) != 0;
		socle_yield();
		lost += turns == before;
	}
	CHECK(failed > 0 && failed < PAGE_SIZE / 2 / 8);
	CHECK(lost == 0);
	over = true;
}

static void test_switch(void)
{
	void **page, **pages = NULL;

	socle_go(takes_turns, NULL);
	socle_go(digs, NULL);
	socle_yield();
	for (; (page = malloc(PAGE_SIZE / 2)) != NULL; pages = page)
		*page = pages;
	full = true;
	wait_for_others();
	for (; (page = pages) != NULL; free(page))
		pages = *page;
}

/* ---- What the runtime itself needs, it has of the last frames ---- */

static size_t reclaims_nothing(void) { return 0; }

static void take_all(void ***pages)
{
	void **page;

	stacks_reclaim = reclaims_nothing; /* else free stacks would do */
	for (*pages = NULL; (page = malloc(PAGE_SIZE / 2)) != NULL; *pages = page)
		*page = *pages;
}

static void give_back(void **pages)
{
	void **page;

	for (; (page = pages) != NULL; free(page))
		pages = *page;
	stacks_reclaim = stacks_release_if_room;
}

/* A callback that blocks: the others go on, on a further thread. More of them than there may be idle ones. */
enum { BLOCKED = 6, LONG = 10, FREED = 40 };

static int blocked, returned;
static socle_chan *way_out;

static void leaves(void *unused)
{
	(void)unused;
	socle_chan_recv(way_out, NULL);
}

static void blocks_at_gate(void *unused)
{
	blocked++;
	waits(unused);
}

static SOCLE_UNCHECKED void calls_back(void *unused) { socle_callback(blocks_at_gate, unused); }

static void blocks_in_callback(void *unused)
{
	while (!full)
		socle_yield();
	returned += socle_foreign_call(calls_back, unused) == 0;
}

/* some_are_free: stacks, which are given back before one of the last frames is taken. */
static void test_blocked_callbacks(bool some_are_free)
{
	void **pages;

	gate = socle_chan_make(0, 0);
	way_out = socle_chan_make(0, 0);
	full = false;
	blocked = returned = 0;
	for (int i = 0; i < BLOCKED; i++)
		socle_go(blocks_in_callback, NULL);
	for (int i = 0; i < FREED; i++)
		socle_go(leaves, NULL);
	socle_yield();
	take_all(&pages);
	if (some_are_free) {
		stacks_reclaim = stacks_release_if_room;
		socle_chan_close(way_out);
		socle_yield();
	}
	full = true;
	while (blocked < BLOCKED)
		socle_yield();
	CHECK(some_are_free == (vm_frames_free() >= FRAMES_KEPT));
	if (!some_are_free)
		socle_chan_close(way_out);
	socle_chan_close(gate);
	wait_for_others();
	CHECK(returned == BLOCKED);
	give_back(pages);
	socle_chan_free(gate);
	socle_chan_free(way_out);
}

/* Foreign routines whose turn ends: each time a further thread is made for the others. What they see of errno is theirs. */
static atomic_int computing;
static int errno_changed, some_left;

static SOCLE_UNCHECKED void computes(void *unused)
{
	(void)unused;
	errno = 0;
	computing++;
	while (computing < LONG)
		;
	errno_changed += errno != 0;
	some_left += vm_frames_free() >= FRAMES_KEPT;
}

static void calls_what_computes(void *unused)
{
	while (!full)
		socle_yield();
	returned += socle_foreign_call(computes, unused) == 0;
}

static void test_long_routines(void)
{
	void **pages;

	full = false;
	returned = 0;
	for (int i = 0; i < LONG; i++)
		socle_go(calls_what_computes, NULL);
	socle_yield();
	take_all(&pages);
	full = true;
	wait_for_others();
	CHECK(returned == LONG && some_left == 0);
	CHECK(errno_changed == 0);
	give_back(pages);
}

static size_t fill_and_end(size_t size)
{
	size_t started;

	gate = socle_chan_make(0, 0);
	started = fill(size);
	socle_yield();
	CHECK(socle_chan_close(gate) == 0);
	wait_for_others();
	socle_chan_free(gate);
	return started;
}

static void all(void)
{
	size_t first = fill_and_end(0);

	CHECK(first > 1000);
	CHECK(fill_and_end(0) >= first);
}

/* ---- The memory of stacks that are free is for others too: other sizes, malloc(), foreign calls with their own ---- */

static SOCLE_UNCHECKED size_t allocate_all(void)
{
	void **block, **blocks = NULL;
	size_t n = 0;

	for (; (block = malloc(32 << 10)) != NULL; blocks = block, n++)
		*block = blocks;
	for (; (block = blocks) != NULL; free(block))
		blocks = *block;
	return n * (32 << 10);
}

static SOCLE_UNCHECKED void uses_a_little(void *used) { *(bool *)used = true; }

static void test_given_back(void)
{
	static const struct socle_foreign_attr own = {.stack_size = 1 << 20};
	size_t first = fill_and_end(8192), frames;
	bool used = false;

	CHECK(allocate_all() > first * PAGE_SIZE / 4 * 3);
	CHECK(fill_and_end(16384) > first / 4 * 3);
	CHECK(socle_foreign_call_attr(&own, uses_a_little, &used) == 0 && used);
	CHECK(fill_and_end(8192) > first / 4 * 3);
	frames = vm_frames_free();
	CHECK(socle_stack_trim() > first * PAGE_SIZE / 4 * 3 && vm_frames_free() > frames + first / 4 * 3);
	CHECK(SOON(
		(socle_stack_trim(), stack_slots() < first / 100))); /* another CPU may keep some that end just now */
	wait_for_others();
}

static void grows_a_little(void *unused)
{
	(void)unused;
	deeper(8);
}

/* A stack that grows gets what free ones had. */
static void test_given_to_growth(void)
{
	fill_and_end(8192);
	CHECK(vm_frames_free() < 8 * FRAMES_KEPT);
	CHECK(socle_try(grows_a_little, NULL, NULL) == 0);
	CHECK(vm_frames_free() > 8 * FRAMES_KEPT);
}

/* ---- The last frames are for panics, and come back ---- */

static struct socle_sem turn;
static atomic_uint panicked, had_turns;

static void grows_by_a_page(void *unused)
{
	(void)unused;
	deeper(0);
}

static void panics_in_turn(void *unused)
{
	socle_sem_wait(&turn);
	panicked += socle_try(grows_by_a_page, unused, NULL) == -1;
	had_turns++;
	socle_sem_wait(&turn);
}

static void test_many_panics(void)
{
	static const struct socle_go_attr small = {.stack_size = 8192}; /* of these 32 bits have enough addresses */
	size_t n = 0;

	panicked = had_turns = 0;
	for (; socle_go_attr(&small, panics_in_turn, NULL) == 0; n++)
		if (n % 64 == 0)
			socle_yield();
	for (unsigned i = 0; i < 3 * FRAMES_KEPT; i++) {
		socle_sem_post(&turn);
		CHECK(SOON(had_turns == i + 1));
	}
	CHECK(panicked > FRAMES_KEPT);
	for (size_t i = 0; i < 2 * n - 3 * FRAMES_KEPT; i++)
		socle_sem_post(&turn);
	wait_for_others();
}

/* ---- malloc() finds no memory, called by foreign code that has hardly any of its stack left ---- */

static SOCLE_UNCHECKED __attribute__((noinline)) void allocates(void *left)
{
	volatile uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	if (here - getg()->lo > (uintptr_t)left)
		allocates(left);
	else
		CHECK(allocate_all() > 0);
	here = 0;
}

static void test_at_end_of_foreign_stack(void)
{
	static const struct socle_foreign_attr own = {.stack_size = 65536};

	for (uintptr_t left = 2500; left < 7000; left += 300)
		CHECK(socle_foreign_call_attr(&own, allocates, (void *)left) == 0);
}

static void no_frame_to_grow(void)
{
	socle_go_attr(&large, grows, NULL);
	wait_for_others();
}

/* ---- The C library's files, opened when there is no memory for a lock ---- */

static int writes(void *unused, const char *bytes, int n)
{
	(void)unused;
	(void)bytes;
	return n;
}

/* A file that cannot be opened is closed again: what it had for a lock is nobody's to free. */
static void print_without_memory(void)
{
	void *volatile block = malloc(16); /* volatile: else it cannot fail */
	void *first = block;

	fclose(fwopen(NULL, writes)); /* there is room for further ones */
	while ((block = malloc(16)) != NULL)
		;
	printf("the first line, without memory for a lock\n");
	if (fwopen(NULL, writes) != NULL)
		printf("a file without memory\n");
	free(first);
	if ((block = malloc(16)) == first && (block = malloc(16)) == NULL)
		printf("what is freed can be had, and no more\n");
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "print") == 0) {
		print_without_memory();
		return 0;
	}
	if (argc > 1)
		no_frame_to_grow();
	test_growth();
	test_given_to_growth();
	if (one_cpu()) /* with several it takes long */
		test_at_end_of_foreign_stack();
	test_given_back(); /* while 32 bits still have addresses for other sizes */
	test_given_back();
	all();
	test_many_panics();
	if (one_cpu()) { /* others keep frames */
		test_switch();
		test_blocked_callbacks(false);
		test_blocked_callbacks(true);
		test_long_routines();
	}
	return finish();
}
