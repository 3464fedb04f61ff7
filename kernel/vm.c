/*
 * Backing virtual pages with frames, and taking them back. Two callers: ordinary code, and the fault handler that
 * grows stacks. If ordinary code ran in here on a stack whose next page is not backed yet, its own fault would
 * enter the handler in the middle of a page table's change; so it first touches what stack it will need, then
 * masks interrupts. The handler runs on a stack of its own, always backed, and skips that.
 *
 * One lock is for the frames and the page tables of all CPUs, and it is held for the change of a page-table entry. It is not
 * held while the other CPUs are told to forget a page: they may be waiting for it, interrupts masked.
 */
#include "kernel/kernel.h"
#include "kernel/lock.h"

/* Deeper than anything below here goes; within the slack that every checked caller has left (STACK_SLACK). */
#define DEPTH 1024

#define KEPT 8 /* frames, by each CPU */

static struct spin_lock memory;

static uintptr_t enter(void)
{
	volatile char *deep = (char *)__builtin_frame_address(0) - DEPTH;

	*deep = *deep;
	return arch_irq_disable();
}

/* Frames that a CPU has taken for itself: a page of a stack costs one lock, and not for the time that it is zeroed. Only
 * its own CPU, with interrupts masked, touches them. */
static struct kept {
	_Alignas(64) unsigned n;
	uint64_t frame[KEPT];
} kept[MAX_CPUS];

static uint64_t take_frame(void)
{
	struct kept *k = &kept[arch_cpu()];
	uint64_t frame;

	if (k->n == 0) {
		spin_lock_masked(&memory);
		while (k->n < KEPT && (frame = frame_alloc()) != NO_FRAME)
			k->frame[k->n++] = frame;
		spin_unlock(&memory);
	}
	return k->n > 0 ? k->frame[--k->n] : NO_FRAME;
}

/* The last few. */
static uint64_t emergency_frame(void)
{
	uint64_t frame;

	spin_lock_masked(&memory);
	frames_emergency(true);
	frame = frame_alloc();
	frames_emergency(false);
	spin_unlock(&memory);
	return frame;
}

size_t vm_frames_free(void)
{
	size_t n = frames_free();

	for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
		n += kept[cpu].n;
	return n;
}

int vm_back_in_handler(uintptr_t va, bool emergency)
{
	uint64_t frame = take_frame();
	int result = 0;

	if (frame == NO_FRAME && emergency)
		frame = emergency_frame();
	if (frame == NO_FRAME)
		return -1;
	page_zero(frame_address(frame));
	atomic_thread_fence(memory_order_release); /* for whoever finds the entry, the hardware on another CPU too */
	spin_lock_masked(&memory);
	frames_emergency(emergency);		   /* for page tables */
	if ((cpu_count() > 1 && vm_present(va)) || /* another CPU was faster */
	    (result = arch_map(va, frame, MAP_WRITE)) < 0)
		frame_free(frame);
	frames_emergency(false);
	spin_unlock(&memory);
	return result;
}

int vm_back(uintptr_t lo, uintptr_t hi, bool emergency)
{
	uintptr_t irq = enter(), va = lo;

	while (va < hi && vm_back_in_handler(va, emergency) == 0)
		va += PAGE_SIZE;
	arch_irq_restore(irq);
	if (va == hi)
		return 0;
	vm_release(lo, va);
	return -1;
}

/* From here on no CPU can reach them any more. Interrupts masked. Two callers: not in the image twice. */
static NOINLINE void release(struct vm_batch *b)
{
	if (b->n == 0)
		return;
	arch_shootdown(b->lo, b->hi);
	spin_lock_masked(&memory);
	while (b->n > 0)
		frame_free(b->frames[--b->n]);
	spin_unlock(&memory);
}

#define BATCH (int)(sizeof((struct vm_batch *)NULL)->frames / sizeof(uint64_t))
#define PAGES 1024 /* looked at with the lock held: most of a large stack may be absent */

/* Until there are enough. Returns where it ends. */
static __attribute__((minsize)) uintptr_t unmap(struct vm_batch *b, uintptr_t lo, uintptr_t hi)
{
	uint64_t frame;

	if (hi - lo > PAGES * PAGE_SIZE)
		hi = lo + PAGES * PAGE_SIZE;
	spin_lock_masked(&memory);
	for (; lo < hi && b->n < BATCH; lo += PAGE_SIZE) {
		if ((frame = arch_unmap(lo)) == NO_FRAME)
			continue;
		if (b->n == 0 || lo < b->lo)
			b->lo = lo;
		if (b->n == 0 || lo >= b->hi)
			b->hi = lo + PAGE_SIZE;
		b->frames[b->n++] = frame;
	}
	spin_unlock(&memory);
	return lo;
}

__attribute__((minsize)) void vm_batch_add(struct vm_batch *b, uintptr_t lo, uintptr_t hi)
{
	while (lo < hi) {
		uintptr_t irq = enter();

		lo = unmap(b, lo, hi);
		if (b->n == BATCH)
			release(b);
		arch_irq_restore(irq);
	}
}

void vm_batch_release(struct vm_batch *b)
{
	uintptr_t irq = enter();

	release(b);
	arch_irq_restore(irq);
}

void vm_release(uintptr_t lo, uintptr_t hi)
{
	struct vm_batch b;

	b.n = 0;
	vm_batch_add(&b, lo, hi);
	vm_batch_release(&b);
}

/* By the frame's own address, where it can always be read. If it still is the one that backs the page afterwards, it was
 * when it was read. */
bool vm_read(void *to, uintptr_t va, size_t size)
{
	uintptr_t page = va & ~(uintptr_t)(PAGE_SIZE - 1);
	uint64_t frame = arch_lookup(page);
	const volatile char *from;

	if (frame == NO_FRAME)
		return false;
	from = (const volatile char *)frame_address(frame) + (va - page);
	for (size_t i = 0; i < size; i++)
		((char *)to)[i] = from[i];
	atomic_thread_fence(memory_order_acquire);
	return arch_lookup(page) == frame;
}

bool vm_present(uintptr_t va) { return arch_lookup(va & ~(uintptr_t)(PAGE_SIZE - 1)) != NO_FRAME; }
