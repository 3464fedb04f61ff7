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
}

void trap_load(void)
{
	struct table_pointer pointer = {sizeof idt - 1, (uintptr_t)idt};

	__asm__ volatile("lidt %0" : : "m"(pointer) : "memory");
}

static const char *stack_name(unsigned vector)
{
	static const char *const names[] = {"?", "fault", "irq", "nmi", "double"};

	return names[trap_stack(vector)];
}

static void handle_exception(struct arch_regs *regs, struct trap *t)
{
	struct cpu_local *cpu = this_cpu();

	exception_describe(t, regs->vector, regs->error, read_cr2());
	if (cpu->trap_depth > 0)
		kernel_nested_trap(t);
	cpu->trap_depth++;
	kernel_trap(t);
	cpu->trap_depth--;
}

/* Called by trap.S only. */
void trap_enter(struct arch_regs *regs);
void trap_enter(struct arch_regs *regs)
{
	struct trap t = {
		.pc = regs->rip,
		.sp = regs->rsp,
		.fp = regs->rbp,
		.tcb = arch_tcb(),
		.stack = stack_name(regs->vector),
		.regs = regs,
	};

	if (regs->vector >= FIRST_IRQ)
		irq_dispatch(regs->vector, &t);
	else
		handle_exception(regs, &t);
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

/* All else is trap_redirected()'s: on the stack in question, which may have to grow for it, and that no handler can wait
 * for. Until it has read what is noted here, interrupts are off. */
void arch_redirect(struct trap *t, uintptr_t sp, void (*fn)(void *), void *arg)
{
	struct arch_regs *regs = t->regs;
	struct redirect *r = &this_cpu()->redirect;

	*r = (struct redirect){fn, arg, sp & -16ul, t->pc, t->sp, regs->rflags, r->use_xsave};
	regs->rip = (uintptr_t)trap_redirected;
	regs->rflags = RFLAGS_FIXED;
}
