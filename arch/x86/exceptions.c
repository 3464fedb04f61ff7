/*
 * The processor's thirty-two exceptions in words, and which kind of trap each is. Names as in Intel SDM volume 3,
 * table 6-1. The last two of its addresses are 12 and 13: not canonical, or not aligned for an SSE instruction.
 */
#include "arch/x86/x86.h"

enum { ERROR_PRESENT = 1, ERROR_WRITE = 2, ERROR_FETCH = 16 }; /* a page fault's error code */

static const struct {
	const char *name;
	enum trap_kind kind;
} exceptions[FIRST_IRQ] = {
	[0] = {"division error", TRAP_DIVIDE},
	[1] = {"debug exception", TRAP_OTHER},
	[VECTOR_NMI] = {"non-maskable interrupt", TRAP_FATAL},
	[3] = {"breakpoint", TRAP_OTHER},
	[4] = {"overflow (INTO)", TRAP_OTHER},
	[5] = {"BOUND range exceeded", TRAP_OTHER},
	[6] = {"undefined instruction", TRAP_ILLEGAL},
	[7] = {"no FPU (it is turned off)", TRAP_OTHER},
	[VECTOR_DOUBLE_FAULT] = {"double fault", TRAP_FATAL},
	[10] = {"invalid TSS", TRAP_OTHER},
	[11] = {"segment not present", TRAP_OTHER},
	[12] = {"stack-segment fault", TRAP_ADDRESS},
	[13] = {"general protection", TRAP_ADDRESS},
	[VECTOR_PAGE_FAULT] = {"page fault", TRAP_MEMORY},
	[16] = {"x87 floating-point error", TRAP_FLOAT},
	[17] = {"alignment check", TRAP_OTHER},
	[VECTOR_MACHINE_CHECK] = {"machine check", TRAP_FATAL},
	[19] = {"SIMD floating-point error", TRAP_FLOAT},
	[20] = {"virtualization exception", TRAP_OTHER},
	[21] = {"control protection", TRAP_OTHER},
};

/* Before its `mov %rsp, %rbp` a function's return address is at SP, or one above it: seen at its first instruction, and
 * after a jump to where there is no function. */
static uintptr_t link_of(const struct trap *t)
{
	size_t offset;

	symbol_name(t->pc, &offset);
	if (offset != 0 || arch_lookup(t->sp & -(uintptr_t)PAGE_SIZE) == NO_FRAME)
		return 0;
	return *(const uintptr_t *)(t->sp & -sizeof(uintptr_t));
}

void exception_describe(struct trap *t, unsigned vector, unsigned error, uintptr_t cr2)
{
	t->link = link_of;
	t->kind = TRAP_OTHER;
	t->name = "unknown exception";
	if (vector < FIRST_IRQ && exceptions[vector].name) {
		t->kind = exceptions[vector].kind;
		t->name = exceptions[vector].name;
	}
	if (vector != VECTOR_PAGE_FAULT)
		return;
	t->addr = cr2;
	t->access = (error & ERROR_PRESENT ? ACCESS_PRESENT : 0) | (error & ERROR_WRITE ? ACCESS_WRITE : 0) |
		    (error & ERROR_FETCH ? ACCESS_EXEC : 0);
}
