/*
 * i386: traps. In ring 0 an interrupt through an ordinary gate pushes onto the current stack before a single
 * instruction of ours runs; there is no IST here as on x86-64, and no banked stack pointer as on ARM. A stack that
 * has just run into its guard page cannot take that push, and a goroutine's may have no page there yet. Only one
 * thing in this processor changes stacks by itself: a task gate. So each vector has a task of its own, and the
 * processor saves the interrupted registers in a TSS instead of on a stack.
 *
 * What comes with it. (1) A task returns by IRET and starts after that IRET next time: trap_task() is a loop. (2)
 * The task switch back sets CR0.TS as any does; trap_return() clears it in the interrupted task, where it counts.
 * (3) A task cannot be entered twice: a page fault in the page-fault handler finds its TSS busy, which is a general
 * protection exception while delivering a page fault, and so a double fault. That is one way to find out that a trap
 * came inside a trap, the count in struct cpu the other; from then on nothing returns, and each further exception
 * takes the stack (of two) that the last one did not, and finds all other tasks armed anew. (4) CR3 is loaded and
 * never saved: set_root().
 */
#include "arch/i386/cpu.h"

enum {
	VECTOR_PROTECTION = 13,
	MAX_DEPTH = 4, /* then not even kernel_nested_trap() works */
};

struct arch_regs {
	struct tss *tss; /* of the interrupted task: what is written there is what it goes on with */
	uint32_t vector, error;
	uintptr_t cr2;
};

/* Interrupted on its way back from the last trap? Then say where it was going, and let it start that again. */
static void settle_return(struct cpu *cpu, struct tss *tss)
{
	if (tss->eip >= (uintptr_t)trap_return && tss->eip < (uintptr_t)trap_return_end)
		tss->eip = cpu->local.resume_pc;
}

static void return_through_clts(struct cpu *cpu, struct tss *tss)
{
	cpu->local.resume_pc = tss->eip;
	tss->eip = (uintptr_t)trap_return;
}

static const char *stack_name(const struct cpu *cpu, uintptr_t top)
{
	if (top == cpu->irq_stack)
		return "irq";
	if (top == cpu->fault_top)
		return "fault";
	return top == cpu->nmi_stack ? "nmi" : "double";
}

/* Never returns: inside a trap already, so no other task will be returned to. Let them all be entered again. */
static void handle_nested(struct cpu *cpu, struct task *current, struct trap *t)
{
	for (struct task *task = cpu->tasks; task < &cpu->tasks[FIRST_IRQ]; task++)
		if (task != current)
			cpu_arm_task(cpu, task);
	if (cpu->depth > MAX_DEPTH)
		machine_exit(2);
	kernel_nested_trap(t);
}

/* An exception in its own handler finds that task busy, and what arrives is a double fault, or a general protection
 * exception that names the task. Reports want what it was at first (whose error code is lost). */
static __attribute__((noinline)) void name_blocked_vector(uint32_t link, struct arch_regs *regs)
{
	const struct task *interrupted = (const struct task *)regs->tss;
	bool was_busy = regs->vector == VECTOR_PROTECTION && (regs->error & ~7u) == (link & 0xffff);

	if (interrupted->vector >= FIRST_IRQ)
		return;
	if (!was_busy && regs->vector != VECTOR_DOUBLE_FAULT)
		return;
	regs->vector = interrupted->vector;
	regs->error = 0;
}

/* Not inlined, so that interrupts need not pay for what it needs. */
static __attribute__((noinline)) void handle_exception(struct cpu *cpu, struct task *task, struct trap *t)
{
	struct arch_regs *regs = t->regs;

	regs->cr2 = read_cr2();
	regs->error = task->error;
	task->error = 0;
	cpu->fault_stack = *task->stack == cpu->fault_top ? cpu->double_stack : cpu->fault_top;
	if (regs->tss != &cpu->main.tss)
		name_blocked_vector(task->tss.link, regs);
	exception_describe(t, regs->vector, regs->error, regs->cr2);
	if (cpu->depth++ > 0)
		handle_nested(cpu, task, t);
	kernel_trap(t);
	cpu->depth--;
	cpu->fault_stack = cpu->fault_top;
}

void trap_enter(struct task *task)
{
	struct cpu *cpu = this_cpu();
	struct tss *tss = cpu_selected_tss(cpu, task->tss.link);
	struct arch_regs regs = {.tss = tss, .vector = task->vector};
	struct trap t = {
		.sp = tss->esp,
		.fp = tss->ebp,
		.tcb = arch_tcb(),
		.stack = stack_name(cpu, *task->stack),
		.regs = &regs,
	};

	settle_return(cpu, tss);
	t.pc = tss->eip;
	if (task->vector < FIRST_IRQ)
		handle_exception(cpu, task, &t);
	else
		irq_dispatch(task->vector, &t);
	return_through_clts(cpu, tss);
}

/* All else is trap_redirected()'s: on the stack in question, which may have to grow for it, and that no handler can wait
 * for. Until it has read what is noted here, interrupts are off. Segments are as the ABI has them, whatever has gone
 * wild may have made of them. */
void arch_redirect(struct trap *t, uintptr_t sp, void (*fn)(void *), void *arg)
{
	struct tss *tss = t->regs->tss;
	struct redirect *r = &this_cpu()->local.redirect;

	*r = (struct redirect){fn, arg, sp & ~(uintptr_t)15, t->pc, t->sp, tss->eflags, r->use_xsave};
	cpu_reset_segments(tss);
	tss->eip = (uintptr_t)trap_redirected;
	tss->eflags = EFLAGS_FIXED;
}

void arch_print_regs(const struct trap *t)
{
	const struct arch_regs *regs = t->regs;
	const struct tss *tss = regs->tss;

	console_printf("  eax %08x  ebx %08x  ecx %08x  edx %08x\n", tss->eax, tss->ebx, tss->ecx, tss->edx);
	console_printf("  esi %08x  edi %08x  ebp %08x  esp %08x\n", tss->esi, tss->edi, tss->ebp, tss->esp);
	console_printf("  eip %08x  eflags %08x  cr2 %08zx\n", tss->eip, tss->eflags, (size_t)regs->cr2);
	console_printf("  vector %u  error code %x\n", regs->vector, regs->error);
}
