/*
 * Backing and releasing pages, with several CPUs at once over one page table, as host threads. Each CPU has a TLB of its
 * own, which holds what it has used until a shootdown takes that away; a frame that is used again before is seen as a
 * race with its new user (TSan), or as a page that is not zero, or not what its owner wrote.
 */
#include <pthread.h>
#include <string.h>

#include "kernel/kernel.h"
#include "tests/check.h"
#include "tests/host.h"

enum { CPUS = 6, OWN = 24, SHARED = 16, PAGES = CPUS * OWN + SHARED, FRAMES = 130, PER_TABLE = 32, ROUNDS = 60000 };
#define BASE ((uintptr_t)ARENA_LO)

unsigned cpu_count(void) { return CPUS; }
unsigned long arch_irq_disable(void) { return 0; }
void arch_irq_restore(unsigned long irq) { (void)irq; }
atomic_uint kernel_ending;
void kernel_stop(void) { abort(); }
char image_end[1];
struct fixed_stack fixed_stacks[] = {{"boot", 0, (uintptr_t)image_end, 0, 0}};

void page_zero(void *page) { memset(page, 0, PAGE_SIZE); }

/* ---- A port: one level of tables, and TLBs ---- */

static _Atomic uint64_t entry[PAGES];
static bool table[PAGES / PER_TABLE + 1]; /* by the lock of vm.c, as are changes of entries */
static atomic_uint tables;
static unsigned long changes; /* plain, as what walks the tables to the entry is */

static struct tlb {
	pthread_mutex_t lock;
	uint64_t frame[PAGES];
} tlbs[CPUS];

static size_t page_of(uintptr_t va) { return (va - BASE) / PAGE_SIZE; }
static uintptr_t address_of(size_t page) { return BASE + page * PAGE_SIZE; }

int arch_map(uintptr_t va, uint64_t pa, unsigned prot)
{
	size_t page = page_of(va);

	(void)prot;
	if (entry[page] != 0)
		fatal("a page is mapped twice");
	if (!table[page / PER_TABLE] && frame_alloc_zero() == NO_FRAME)
		return -1;
	changes++;
	tables += !table[page / PER_TABLE];
	table[page / PER_TABLE] = true;
	entry[page] = pa;
	return 0;
}

static void forget(unsigned cpu, uintptr_t lo, uintptr_t hi)
{
	pthread_mutex_lock(&tlbs[cpu].lock);
	for (uintptr_t va = lo; va < hi; va += PAGE_SIZE)
		tlbs[cpu].frame[page_of(va)] = 0;
	pthread_mutex_unlock(&tlbs[cpu].lock);
}

uint64_t arch_unmap(uintptr_t va)
{
	uint64_t frame = atomic_exchange(&entry[page_of(va)], 0);

	changes++;
	forget(current_cpu, va, va + PAGE_SIZE);
	return frame != 0 ? frame : NO_FRAME;
}

uint64_t arch_lookup(uintptr_t va)
{
	uint64_t frame = entry[page_of(va)];

	return frame != 0 ? frame : NO_FRAME;
}

static atomic_uint shootdowns;

void arch_shootdown(uintptr_t lo, uintptr_t hi)
{
	shootdowns++;
	for (unsigned cpu = 0; cpu < CPUS; cpu++)
		forget(cpu, lo, hi);
}

/* ---- What a CPU does ---- */

static atomic_uint refused, dirty, written;

/* A load and a store by the TLB, which an interrupt of another CPU comes before or after. */
static bool use_if_present(size_t page, uint32_t *expected)
{
	struct tlb *tlb = &tlbs[current_cpu];
	uint32_t *words;

	pthread_mutex_lock(&tlb->lock);
	if (tlb->frame[page] == 0)
		tlb->frame[page] = entry[page];
	words = frame_address(tlb->frame[page]);
	if (words != NULL) {
		written++;
		if (expected != NULL)
			dirty += words[current_cpu] != (*expected)++;
		words[current_cpu]++;
	}
	pthread_mutex_unlock(&tlb->lock);
	return words != NULL;
}

/* With a fault, if need be: false where that finds no memory. */
static bool use(size_t page, uint32_t *expected)
{
	while (!use_if_present(page, expected))
		if (vm_back_in_handler(address_of(page), random_number() % 8 == 0) < 0) {
			refused++;
			return false;
		}
	return true;
}

/* Pages [0, OWN) from `first`: of this CPU alone, and what it has written there. */
static void release_own(size_t first, uint32_t *expected, size_t from, size_t to)
{
	vm_release(address_of(first + from), address_of(first + to));
	memset(expected + from, 0, (to - from) * sizeof *expected);
}

static void release_own_in_batch(size_t first, uint32_t *expected)
{
	struct vm_batch batch = {0};

	for (size_t i = 0; i < OWN; i += 6) {
		vm_batch_add(&batch, address_of(first + i), address_of(first + i + 3));
		memset(expected + i, 0, 3 * sizeof *expected);
	}
	vm_batch_release(&batch);
}

/* All of a range, or nothing. */
static void back_own(size_t first, uint32_t *expected, size_t from, size_t to)
{
	release_own(first, expected, from, to);
	if (vm_back(address_of(first + from), address_of(first + to), false) < 0) {
		refused++;
		for (size_t i = from; i < to; i++)
			dirty += vm_present(address_of(first + i));
		return;
	}
	for (size_t i = from; i < to; i++)
		dirty += !use_if_present(first + i, &expected[i]);
}

/* The other CPUs are told once for as many pages as a batch holds. */
static void test_batch(void)
{
	enum { MANY = 80, EACH = sizeof((struct vm_batch *)0)->frames / sizeof(uint64_t) };
	struct vm_batch batch = {0};

	CHECK(vm_back(address_of(0), address_of(MANY), false) == 0 && shootdowns == 0, "backed");
	for (size_t page = 0; page < MANY; page++)
		vm_batch_add(&batch, address_of(page), address_of(page + 1));
	vm_batch_release(&batch);
	CHECK(shootdowns == (MANY + EACH - 1) / EACH, "told once for each batch");
	vm_release(address_of(0), address_of(MANY));
}

static pthread_barrier_t all_are_there;

static void *run_cpu(void *arg)
{
	size_t first = SHARED + (current_cpu = (unsigned)(uintptr_t)arg) * OWN;
	uint32_t expected[OWN] = {0};

	for (unsigned skip = current_cpu * 100; skip > 0; skip--)
		random_number();
	pthread_barrier_wait(&all_are_there);
	for (int i = 0; i < ROUNDS; i++) {
		size_t a = random_number() % OWN, b = a + random_number() % (OWN - a),
		       shared = random_number() % SHARED;

		switch (random_number() % 16) {
		case 0: release_own(first, expected, a, b); break;
		case 1: release_own_in_batch(first, expected); break;
		case 2: back_own(first, expected, a, b); break;
		case 3: vm_release(address_of(shared), address_of(SHARED)); break;
		case 4:
		case 5:
		case 6: use(shared, NULL); break;
		default: use(first + a, &expected[a]);
		}
	}
	release_own(first, expected, 0, OWN);
	return NULL;
}

int main(void)
{
	uintptr_t ram = (uintptr_t)aligned_alloc(PAGE_SIZE, FRAMES * PAGE_SIZE);
	struct boot_info info = {.nram = 1, .ram = {{ram, FRAMES * PAGE_SIZE}}};
	pthread_t threads[CPUS];

	frames_init(&info);
	pthread_barrier_init(&all_are_there, NULL, CPUS);
	for (unsigned cpu = 0; cpu < CPUS; cpu++)
		pthread_mutex_init(&tlbs[cpu].lock, NULL);
	test_batch();
	for (uintptr_t cpu = 0; cpu < CPUS; cpu++)
		pthread_create(&threads[cpu], NULL, run_cpu, (void *)cpu);
	for (unsigned cpu = 0; cpu < CPUS; cpu++)
		pthread_join(threads[cpu], NULL);
	vm_release(BASE, address_of(PAGES));
	CHECK(dirty == 0, "each page is zero at first, and then what its owner wrote");
	CHECK(refused > 0 && written > ROUNDS, "there was memory, and sometimes none");
	CHECK(vm_frames_free() == FRAMES - tables, "no frame is lost");
	free((void *)ram);
	return end_checks();
}
