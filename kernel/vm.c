/*
 * Backing virtual pages with frames, and taking them back. Two callers: ordinary code, and the fault handler that
 * grows stacks. If ordinary code ran in here on a stack whose next page is not backed yet, its own fault would
 * enter the handler in the middle of a page table's change; so it first touches what stack it will need, then
 * masks interrupts. The handler runs on a stack of its own, always backed, and skips that.
 */
#include "kernel/kernel.h"

/* Deeper than anything below here goes; within the slack that every checked caller has left (STACK_SLACK). */
#define DEPTH 1024

static uintptr_t enter(void)
{
	volatile char *deep = (char *)__builtin_frame_address(0) - DEPTH;

	*deep = *deep;
	return arch_irq_disable();
}

int vm_back_in_handler(uintptr_t va, bool emergency)
{
	uint64_t frame;
	int result = -1;

	frames_emergency(emergency);
	frame = frame_alloc_zero();
	if (frame != NO_FRAME) {
		result = arch_map(va, frame, MAP_WRITE);
		if (result < 0)
			frame_free(frame);
	}
	frames_emergency(false);
	return result;
}

int vm_back(uintptr_t lo, uintptr_t hi)
{
	uintptr_t irq = enter(), va = lo;

	while (va < hi && vm_back_in_handler(va, false) == 0)
		va += PAGE_SIZE;
	arch_irq_restore(irq);
	if (va == hi)
		return 0;
	vm_release(lo, va);
	return -1;
}

void vm_release(uintptr_t lo, uintptr_t hi)
{
	uintptr_t irq = enter();

	for (uintptr_t va = lo; va < hi; va += PAGE_SIZE) {
		uint64_t frame = arch_unmap(va);

		if (frame != NO_FRAME)
			frame_free(frame);
	}
	arch_irq_restore(irq);
}

bool vm_present(uintptr_t va) { return arch_lookup(va & ~(uintptr_t)(PAGE_SIZE - 1)) != NO_FRAME; }
