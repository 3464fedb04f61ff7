/*
 * What a trap was, from the fault status registers and, for undefined instructions, from the instruction itself.
 * On the stack that trap.S chose, interrupts masked. The hardware does not trap divisions; UDF_DIVIDE stands for it.
 */
#include "arch/armv7a/cpu.h"

#define UDF(n) (0xe7f000f0u | ((n)&0xfff0u) << 4 | ((n)&0xfu))
#define UDF_COMPILER 0xfdee /* clang's __builtin_trap() and -fsanitize-trap */

#define FSR_EXTERNAL 0x1000 /* DFSR.ExT */
#define FSR_WRITE 0x800	    /* DFSR.WnR */

/* ARM ARM B3.13.3, table B3-23: fault status, short descriptors. PRESENT: all but translation faults. */
struct fault_status {
	const char *name;
	enum trap_kind kind;
	unsigned access;
};
static const struct fault_status fault_status[32] = {
	[0x01] = {"alignment fault", TRAP_MEMORY, ACCESS_PRESENT},
	[0x02] = {"breakpoint", TRAP_OTHER, 0},
	[0x03] = {"access flag fault", TRAP_MEMORY, ACCESS_PRESENT},
	[0x04] = {"cache maintenance fault", TRAP_MEMORY, 0},
	[0x05] = {"page fault", TRAP_MEMORY, 0},
	[0x06] = {"access flag fault", TRAP_MEMORY, ACCESS_PRESENT},
	[0x07] = {"page fault", TRAP_MEMORY, 0},
	[0x08] = {"external abort", TRAP_MEMORY, ACCESS_PRESENT},
	[0x09] = {"domain fault", TRAP_MEMORY, ACCESS_PRESENT},
	[0x0b] = {"domain fault", TRAP_MEMORY, ACCESS_PRESENT},
	[0x0c] = {"external abort on a page table", TRAP_FATAL, 0},
	[0x0d] = {"page fault", TRAP_MEMORY, ACCESS_PRESENT},
	[0x0e] = {"external abort on a page table", TRAP_FATAL, 0},
	[0x0f] = {"page fault", TRAP_MEMORY, ACCESS_PRESENT},
	[0x10] = {"TLB conflict", TRAP_FATAL, 0},
	[0x16] = {"asynchronous external abort", TRAP_FATAL, 0},
	[0x18] = {"asynchronous parity error", TRAP_FATAL, 0},
	[0x19] = {"parity error", TRAP_FATAL, 0},
	[0x1c] = {"parity error in a page table", TRAP_FATAL, 0},
	[0x1e] = {"parity error in a page table", TRAP_FATAL, 0},
};

static void describe_abort(struct trap *t, uint32_t fsr, uintptr_t address, unsigned access)
{
	const struct fault_status *status = &fault_status[(fsr & 0xf) | (fsr >> 6 & 0x10)];

	t->name = status->name ? status->name : "abort of a kind unknown";
	t->kind = status->name ? status->kind : TRAP_FATAL;
	if (t->kind != TRAP_MEMORY)
		return;
	t->addr = address;
	t->access = status->access | access;
}

static void describe_undefined(struct trap *t)
{
	uint32_t instruction = t->regs->cpsr & CPSR_T ? 0 : *(const uint32_t *)t->pc;

	t->kind = TRAP_ILLEGAL;
	t->name = "undefined instruction";
	if (instruction == UDF(UDF_DIVIDE)) {
		t->kind = TRAP_DIVIDE;
		t->name = "division by zero";
		t->pc = t->regs->r[14]; /* in whoever divided, not in the helper that libgcc calls then */
	} else if (instruction == UDF(UDF_COMPILER)) {
		t->name = "trap instruction, put there by the compiler";
	}
}

static void describe(struct trap *t, unsigned vector)
{
	switch (vector) {
	case VECTOR_UNDEFINED: describe_undefined(t); break;
	case VECTOR_PREFETCH: describe_abort(t, CP15_READ(0, c5, c0, 1), CP15_READ(0, c6, c0, 2), ACCESS_EXEC); break;
	case VECTOR_DATA: {
		uint32_t dfsr = CP15_READ(0, c5, c0, 0);

		describe_abort(t, dfsr, CP15_READ(0, c6, c0, 0), dfsr & FSR_WRITE ? ACCESS_WRITE : 0);
		break;
	}
	case VECTOR_SVC:
		t->kind = TRAP_OTHER;
		t->name = "supervisor call";
		break;
	default: t->kind = TRAP_FATAL; t->name = "fast interrupt (FIQ)";
	}
}

/* SP and LR of another mode than this: by a short visit. */
static void read_banked(uint32_t mode, uint32_t *sp, uint32_t *lr)
{
	uint32_t cpsr, value_sp, value_lr;

	__asm__ volatile("mrs %0, cpsr\n\t"
			 "bic %1, %0, %3\n\t"
			 "orr %1, %1, %4\n\t"
			 "msr cpsr_c, %1\n\t"
			 "mov %1, sp\n\t"
			 "mov %2, lr\n\t"
			 "msr cpsr_c, %0"
			 : "=&r"(cpsr), "=&r"(value_sp), "=&r"(value_lr)
			 : "I"(MODE_MASK), "r"(mode)
			 : "lr", "memory");
	*sp = value_sp;
	*lr = value_lr;
}

/* The trap came from a handler: its registers are not the SYS mode ones that trap.S saved. */
static void find_nested_registers(struct arch_regs *regs)
{
	uint32_t mode = regs->cpsr & MODE_MASK, here;

	__asm__ volatile("mrs %0, cpsr" : "=r"(here));
	if (mode != (here & MODE_MASK)) {
		read_banked(mode, &regs->r[13], &regs->r[14]);
		return;
	}
	regs->r[13] = CP15_READ(0, c13, c0, 2); /* trap.S left it there; the LR of before is lost */
	regs->r[14] = 0;
}

/* A leaf function makes no frame record, and others have none before their prologue has made it: then LR still is the
 * return address. So whether r11 was set between the function's start and pc decides. */
static uintptr_t link_of(const struct trap *t)
{
	size_t offset;
	const uint32_t *code;

	symbol_name(t->pc, &offset);
	for (code = (const uint32_t *)((t->pc - offset) & ~3u); (uintptr_t)code < t->pc; code++)
		if (*code == 0xe1a0b00d || (*code & 0xfffff000) == 0xe28db000) /* mov r11, sp; add r11, sp, #n */
			return 0;
	return t->regs->r[14];
}

/* Field by field: the compiler would zero the rest with memset(), and the C library's uses NEON. */
static void fill(struct trap *t, struct arch_regs *regs, bool nested)
{
	t->tcb = arch_tcb();
	t->regs = regs;
	t->pc = regs->r[15];
	t->sp = regs->r[13];
	t->fp = regs->r[11];
	t->stack = nested ? "nested" : "fault";
	t->link = link_of;
}

void trap_handle(struct arch_regs *regs, unsigned vector)
{
	bool nested = (regs->cpsr & MODE_MASK) != MODE_SYS;
	struct trap t;

	if (vector == VECTOR_SVC && machine_is_exiting()) {
		regs->r[15] += 4; /* nobody listens to semihosting: past the instruction */
		return;
	}
	if (regs->cpsr & CPSR_T && (vector == VECTOR_UNDEFINED || vector == VECTOR_SVC))
		regs->r[15] += 2; /* in Thumb state LR was 2 past it, not 4 */
	if (nested)
		find_nested_registers(regs);
	fill(&t, regs, nested);
	if (vector == VECTOR_IRQ && !nested) {
		interrupt_handle(&t);
		return;
	}
	t.addr = 0;
	t.access = 0;
	t.why_fatal = NULL;
	describe(&t, vector);
	if (nested)
		kernel_nested_trap(&t);
	kernel_trap(&t);
}
