/*
 * The processor: what it must have, contexts, idle, and the registers of a trap.
 */
#include "arch/armv7a/cpu.h"

/* The compiler was told -mcpu=cortex-a7 -mfpu=neon-vfpv4: ARM ARM B4.1.82, B7.1.7 say where a CPU says so. */
__attribute__((minsize)) void cpu_check(void)
{
	uint32_t divide = CP15_READ(0, c0, c2, 0) >> 24 & 0xf; /* ID_ISAR0: 2, SDIV and UDIV in ARM state */
	uint32_t timer = CP15_READ(0, c0, c1, 1) >> 16 & 0xf;  /* ID_PFR1: 1, the generic timer */
	uint32_t mvfr1 = 0;

	if (CP15_READ(0, c1, c0, 2) & 0x300000) /* CPACR: else there is not even MVFR1 */
		__asm__(".fpu vfpv4\n\tvmrs %0, mvfr1" : "=r"(mvfr1));
	if (divide >= 2 && timer >= 1 && mvfr1 >> 28 >= 1)
		return;
	console_printf("socle: this processor (MIDR %x) lacks%s%s%s\n", (unsigned)CP15_READ(0, c0, c0, 0),
		       divide >= 2 ? "" : " integer division", timer >= 1 ? "" : " the generic timer",
		       mvfr1 >> 28 >= 1 ? "" : " VFPv4");
	kernel_exit(2);
}

void arch_init_context(struct tcb *tcb, void *top, void (*fn)(void *), void *arg)
{
	struct context *context = (struct context *)((uintptr_t)top & ~(uintptr_t)7) - 1;

	/* The other registers may be anything at a function's start: they are what lies there. To set them all would be an
	 * eighth of the price of a goroutine. */
	context->fpscr = 0; /* round to nearest, no traps, denormals kept */
	context->r4 = (uintptr_t)fn;
	context->r5 = (uintptr_t)arg;
	context->r11 = 0;
	context->lr = (uintptr_t)context_start;
	tcb->sp = context;
}

void arch_idle(void)
{
	/* WFI ends when an interrupt is pending, masked or not, so there is no moment in which one could be lost.
	 * DSB before WFI: ARM ARM B1.8.14 asks for memory accesses to be complete. ISB: it is taken by then. */
	__asm__ volatile("dsb\n\twfi\n\tcpsie i\n\tisb\n\tcpsid i" : : : "memory");
}

__attribute__((minsize)) void arch_print_regs(const struct trap *t)
{
	const struct arch_regs *regs = t->regs;
	static const char *const names[] = {"r0", "r1", "r2",  "r3",  "r4",  "r5", "r6", "r7",
					    "r8", "r9", "r10", "r11", "r12", "sp", "lr", "pc"};

	for (int i = 0; i < 16; i++)
		console_printf("  %3s %08x%s", names[i], (unsigned)regs->r[i], i % 4 == 3 ? "\n" : "");
	console_printf("  cpsr %08x  fpscr %08x\n", (unsigned)regs->cpsr, (unsigned)regs->fpscr);
}

struct redirect trap_redirect[MAX_CPUS];

/* All else is trap_redirected()'s: on the stack in question, which may have to grow for it, and that no handler can wait
 * for. Until it has read what is noted here, interrupts are off. */
void arch_redirect(struct trap *t, uintptr_t sp, void (*fn)(void *), void *arg)
{
	struct arch_regs *regs = t->regs;
	const uint32_t state = 0x07000000 | 0xfe00 | CPSR_T; /* J, IT, E */

	trap_redirect[arch_cpu()] =
		(struct redirect){fn, arg, sp & ~(uintptr_t)7, regs->r[15], regs->cpsr, regs->r[13]};
	regs->r[15] = (uintptr_t)trap_redirected;
	regs->cpsr = (regs->cpsr & ~state) | CPSR_I;
}

void arch_start(const struct boot_info *info)
{
	mmu_start(info);
	interrupts_init();
	__asm__ volatile("cpsie ai" : : : "memory"); /* asynchronous aborts too: they are to be heard of */
}
