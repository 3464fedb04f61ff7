/*
 * x86_64: the processor's own tables and the block under %fs. Segments mean nothing in long mode but code and data
 * of ring 0, so the GDT has these and the TSS, and the TSS has nothing but the stacks that traps change to. %fs
 * points to the CPU's block, not to a goroutine's: a switch then stores two words instead of writing an MSR, which
 * would take ten times as long. Each CPU has one struct cpu.
 */
#include "arch/x86_64/cpu.h"

/* SDM 3, 8.7: the 64-bit TSS. No I/O bitmap. */
struct __attribute__((packed)) tss {
	uint32_t unused_0;
	uint64_t rsp[3];
	uint64_t ist[8]; /* [0] does not exist */
	uint64_t unused_1;
	uint16_t unused_2, io_map;
};
_Static_assert(offsetof(struct tss, ist[1]) == 0x24 && sizeof(struct tss) == 0x68, "the processor's");

static struct cpu {
	struct cpu_local local;
	uint64_t gdt[SELECTOR_TSS / 8 + 2];
	struct tss tss __attribute__((aligned(128))); /* the processor may not meet a page boundary inside it */
} cpus[MAX_CPUS];

static void init_tss(struct tss *tss, const struct fixed_stack *stacks)
{
	tss->ist[IST_FAULT] = stacks[STACK_fault].hi;
	tss->ist[IST_IRQ] = stacks[STACK_irq].hi;
	tss->ist[IST_NMI] = stacks[STACK_nmi].hi;
	tss->ist[IST_DOUBLE] = stacks[STACK_double].hi;
	tss->io_map = sizeof *tss;
}

static void init_gdt(struct cpu *cpu)
{
	uint64_t base = (uintptr_t)&cpu->tss;

	cpu->gdt[SELECTOR_CODE / 8] = 0x00af9b000000ffff; /* 64 bit; accessed already, so that nobody writes to them */
	cpu->gdt[SELECTOR_DATA / 8] = 0x00cf93000000ffff;
	cpu->gdt[SELECTOR_TSS / 8] =
		(sizeof cpu->tss - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	cpu->gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
}

static void load_tables(const struct cpu *cpu)
{
	struct table_pointer pointer = {sizeof cpu->gdt - 1, (uintptr_t)cpu->gdt};

	__asm__ volatile("lgdt %0" : : "m"(pointer) : "memory");
	__asm__ volatile("pushq %0\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\tmovl %1, %%ds\n\tmovl %1, %%es\n\tmovl %1, %%ss\n\tmovl %2, %%fs\n\tmovl %2, %%gs\n\t"
			 "lldt %w2\n\tltr %w3"
			 :
			 : "i"(SELECTOR_CODE), "r"(SELECTOR_DATA), "r"(0), "r"(SELECTOR_TSS)
			 : "rax", "memory");
}

void cpu_init(unsigned index, const struct fixed_stack *stacks)
{
	struct cpu *cpu = &cpus[index];

	cpu->local.self = &cpu->local;
	cpu->local.index = index;
	cpu->local.boot_tsc = boot_tsc;
	init_tss(&cpu->tss, stacks);
	init_gdt(cpu);
	load_tables(cpu);
	write_msr(MSR_FS_BASE, (uintptr_t)&cpu->local); /* after loading %fs, which sets the base too */
	if (index == 0)
		trap_init();
	trap_load();
	fpu_init(&cpu->local.redirect);
}

/* The frame is drawn in switch.S. It returns to context_start(), which calls fn(arg). */
void arch_init_context(struct tcb *tcb, void *top, void (*fn)(void *), void *arg)
{
	struct context {
		uint32_t mxcsr, x87_control;
		uint64_t r15, r14, r13, r12, rbx, rbp, pc;
	} *context = (struct context *)((uintptr_t)top & -16ul) - 1;
	_Static_assert(sizeof *context == CONTEXT_SIZE && offsetof(struct context, rbp) == CONTEXT_FP, "switch.S");

	*context = (struct context){
		.mxcsr = MXCSR_DEFAULT,
		.x87_control = FPU_CONTROL_DEFAULT,
		.r12 = (uintptr_t)arg,
		.rbx = (uintptr_t)fn,
		.pc = (uintptr_t)context_start,
	};
	tcb->sp = context;
}

/* STI takes effect after the next instruction (SDM 2, STI): no interrupt comes between it and HLT. */
void arch_idle(void) { __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory"); }

void arch_start(const struct boot_info *info)
{
	mmu_start(info);
	irq_start();
	interrupts_on();
}
