/*
 * x86_64: traps. In long mode each IDT entry can name one of seven stacks (IST), and the processor changes to that
 * whatever it was doing. So every vector has one: a fault on a stack that has run into its guard page is handled
 * like any other, an interrupt needs no page below a goroutine's SP, and foreign code keeps its red zone.
 *
 * The price: the processor starts at the top of the named stack each time, so a second trap of the same kind
 * overwrites the first. Interrupts stay masked in handlers, which leaves traps inside traps: something is very wrong
 * then, and kernel_nested_trap() ends the image without returning to what was overwritten. NMI and machine check
 * have a stack apart because they come when they like, and the double fault has because it may mean that one of
 * the others is bad.
 */
#include "arch/x86_64/cpu.h"

/* As trap.S pushes it. */
struct arch_regs {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss; /* the processor's */
};
_Static_assert(offsetof(struct arch_regs, vector) == 120, "known to assembly");
_Static_assert(sizeof(struct arch_regs) == 176 && sizeof(struct arch_regs) % 16 == 0, "known to assembly");

struct gate {
	uint16_t offset_0, selector;
	uint8_t ist, type;
	uint16_t offset_16;
	uint32_t offset_32, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "the processor's");

enum {
	GATE_INTERRUPT = 0x8e, /* present, ring 0, masks interrupts */
	RFLAGS_FIXED = 2,
	RFLAGS_TF = 0x100,
	RFLAGS_IF = 0x200,
	RFLAGS_DF = 0x400,
	RFLAGS_AC = 0x40000,
	NEAR = 0x10000, /* two SPs closer than this are taken to be on the same stack */
};

static struct gate idt[VECTORS];

enum ist trap_stack(unsigned vector)
{
	if (vector == VECTOR_NMI || vector == VECTOR_MACHINE_CHECK)
		return IST_NMI;
	if (vector == VECTOR_DOUBLE_FAULT)
		return IST_DOUBLE;
	return vector < FIRST_IRQ ? IST_FAULT : IST_IRQ;
}

void trap_init(void)
{
	struct table_pointer pointer = {sizeof idt - 1, (uintptr_t)idt};

	for (unsigned vector = 0; vector < VECTORS; vector++) {
		uintptr_t entry = (uintptr_t)trap_vectors[vector];

		idt[vector] = (struct gate){
			.offset_0 = entry,
			.offset_16 = entry >> 16,
			.offset_32 = entry >> 32,
			.selector = SELECTOR_CODE,
			.ist = trap_stack(vector),
			.type = GATE_INTERRUPT,
		};
	}
	__asm__ volatile("lidt %0" : : "m"(pointer) : "memory");
}

static const char *stack_name(unsigned vector)
{
	static const char *const names[] = {"?", "fault", "irq", "nmi", "double"};

	return names[trap_stack(vector)];
}

static void handle_exception(struct arch_regs *regs)
{
	struct cpu_local *cpu = this_cpu();
	struct trap t = {
		.pc = regs->rip,
		.sp = regs->rsp,
		.fp = regs->rbp,
		.tcb = arch_tcb(),
		.stack = stack_name(regs->vector),
		.regs = regs,
	};

	exception_describe(&t, regs->vector, regs->error, read_cr2());
	if (cpu->trap_depth > 0)
		kernel_nested_trap(&t);
	cpu->trap_depth++;
	kernel_trap(&t);
	cpu->trap_depth--;
}

/* Called by trap.S only. */
void trap_enter(struct arch_regs *regs);
void trap_enter(struct arch_regs *regs)
{
	if (regs->vector >= FIRST_IRQ)
		irq_dispatch(regs->vector);
	else
		handle_exception(regs);
}

void arch_print_regs(const struct trap *t)
{
	const struct arch_regs *r = t->regs;

	console_printf("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx\n", r->rax, r->rbx, r->rcx, r->rdx);
	console_printf("rsi %016lx  rdi %016lx  rbp %016lx  rsp %016lx\n", r->rsi, r->rdi, r->rbp, r->rsp);
	console_printf("r8  %016lx  r9  %016lx  r10 %016lx  r11 %016lx\n", r->r8, r->r9, r->r10, r->r11);
	console_printf("r12 %016lx  r13 %016lx  r14 %016lx  r15 %016lx\n", r->r12, r->r13, r->r14, r->r15);
	console_printf("rip %016lx  rflags %08lx  vector %lu  error %lx  cr2 %016lx\n", r->rip, r->rflags, r->vector,
		       r->error, read_cr2());
}

/*
 * fn starts as if it had been called, with what the ABI asks of flags and FPU. Where the new SP is a little below
 * the interrupted one, it is as if the interrupted instruction had called it, and a traceback from fn goes on there
 * (Go's sigpanic does that); elsewhere the chain of frames ends. The return address is written only to a page that
 * is there: a fault in here would be the last. Interrupts come on: what failed may have turned them off.
 */
void arch_redirect(struct trap *t, uintptr_t sp, void (*fn)(void *), void *arg)
{
	struct arch_regs *regs = t->regs;
	bool same_stack;

	sp = (sp & -16ul) - 8;
	same_stack = sp < regs->rsp && regs->rsp - sp < NEAR;
	if (arch_lookup(sp & -(uintptr_t)PAGE_SIZE) != NO_FRAME)
		*(uint64_t *)sp = same_stack ? regs->rip : 0;
	if (!same_stack)
		regs->rbp = 0;
	regs->rsp = sp;
	regs->rip = (uintptr_t)fn;
	regs->rdi = (uintptr_t)arg;
	regs->rflags = (regs->rflags & ~(uint64_t)(RFLAGS_TF | RFLAGS_DF | RFLAGS_AC)) | RFLAGS_FIXED | RFLAGS_IF;
	fpu_reset();
}
