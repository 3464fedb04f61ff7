/*
 * i386: the processor's own tables. One flat code and one flat data segment, %gs for the CPU's block, and a task
 * (a TSS and its descriptor) for each vector; the IDT holds nothing but task gates to them, and a vector past its
 * end raises a general protection exception. A CPU's tables are one struct cpu, so another CPU needs one more. Also
 * here: the port's start, and the first frame of a new context.
 */
#include "arch/i386/cpu.h"

static struct cpu cpus[MAX_CPUS];
static uint64_t idt[VECTORS];

/* The processor's format: SDM volume 3, "Segment descriptors". Type: with the present bit; flags: G and D/B. */
static uint64_t descriptor(uintptr_t base, uint32_t limit, uint32_t type, uint32_t flags)
{
	uint32_t low = base << 16 | (limit & 0xffff);
	uint32_t high = (base & 0xff000000) | flags << 20 | (limit & 0xf0000) | type << 8 | (base >> 16 & 0xff);

	return (uint64_t)high << 32 | low;
}

static uint64_t tss_descriptor(const struct tss *tss)
{
	return descriptor((uintptr_t)tss, sizeof *tss - 1, 0x89, 0); /* available: the processor sets busy */
}

static uint64_t task_gate(uint32_t selector) { return 0x8500ull << 32 | selector << 16; }

void cpu_arm_task(struct cpu *cpu, struct task *task)
{
	struct tss *tss = &task->tss;

	*tss = (struct tss){
		.cr3 = cpu->main.tss.cr3,
		.eip = (uintptr_t)trap_task,
		.eflags = EFLAGS_FIXED, /* interrupts masked; the processor adds NT */
		.ebx = (uintptr_t)task,
		.esp = (uintptr_t)(task + 1),
		.io_map = sizeof *tss,
	};
	cpu_reset_segments(tss);
	task->error = 0;
	cpu->gdt[SELECTOR_TASK / 8 + (task - cpu->tasks)] = tss_descriptor(tss);
}

static uintptr_t *stack_of_vector(struct cpu *cpu, uint32_t vector)
{
	switch (vector) {
	case VECTOR_NMI:
	case VECTOR_MACHINE_CHECK: return &cpu->nmi_stack;
	case VECTOR_DOUBLE_FAULT: return &cpu->double_stack;
	}
	return vector < FIRST_IRQ ? &cpu->fault_stack : &cpu->irq_stack;
}

static void init_tasks(struct cpu *cpu, const struct fixed_stack *stacks)
{
	cpu->fault_stack = cpu->fault_top = stacks[STACK_fault].hi;
	cpu->irq_stack = stacks[STACK_irq].hi;
	cpu->nmi_stack = stacks[STACK_nmi].hi;
	cpu->double_stack = stacks[STACK_double].hi;
	for (int vector = 0; vector < VECTORS; vector++) {
		cpu->tasks[vector].vector = vector;
		cpu->tasks[vector].stack = stack_of_vector(cpu, vector);
		cpu_arm_task(cpu, &cpu->tasks[vector]);
	}
}

static void init_gdt(struct cpu *cpu)
{
	/* Accessed already, so that the processor has nothing to write when it loads one. */
	cpu->gdt[SELECTOR_CODE / 8] = descriptor(0, 0xfffff, 0x9b, 0xc);
	cpu->gdt[SELECTOR_DATA / 8] = descriptor(0, 0xfffff, 0x93, 0xc);
	cpu->gdt[SELECTOR_CPU / 8] = descriptor((uintptr_t)&cpu->local, sizeof cpu->local - 1, 0x93, 0x4);
	cpu->gdt[SELECTOR_MAIN / 8] = tss_descriptor(&cpu->main.tss);
}

struct __attribute__((packed)) table {
	uint16_t limit;
	uint32_t base;
};

static void load_gdt(struct cpu *cpu)
{
	struct table gdtr = {sizeof cpu->gdt - 1, (uintptr_t)cpu->gdt};

	__asm__ volatile("lgdt %0\n\t"
			 "ljmp %1, $1f\n"
			 "1:\tmovl %2, %%ds\n\tmovl %2, %%es\n\tmovl %2, %%ss\n\tmovl %2, %%fs\n\t"
			 "movl %3, %%gs\n\t"
			 "lldt %w4\n\t"
			 "ltr %w5"
			 :
			 : "m"(gdtr), "i"(SELECTOR_CODE), "r"(SELECTOR_DATA), "r"(SELECTOR_CPU), "r"(0),
			   "r"(SELECTOR_MAIN)
			 : "memory");
}

/* One for all CPUs: a selector is another task in each one's GDT. */
static void init_idt(void)
{
	for (int vector = 0; vector < VECTORS; vector++)
		idt[vector] = task_gate(SELECTOR_TASK + 8 * vector);
}

static void load_idt(void)
{
	struct table idtr = {sizeof idt - 1, (uintptr_t)idt};

	__asm__ volatile("lidt %0" : : "m"(idtr) : "memory");
}

void cpu_init(unsigned index, const struct fixed_stack *stacks)
{
	struct cpu *cpu = &cpus[index];

	cpu->local.self = &cpu->local;
	cpu->local.index = index;
	cpu->local.boot_tsc = boot_tsc;
	cpu->main.tss.cr3 = read_cr3();
	cpu->main.tss.io_map = sizeof cpu->main.tss;
	init_gdt(cpu);
	init_tasks(cpu, stacks);
	if (index == 0)
		init_idt();
	load_gdt(cpu);
	load_idt();
	fpu_init(&cpu->local.redirect);
}

/* A switch of tasks loads CR3 and never saves it, so each TSS has to know. */
static void set_root(uintptr_t root)
{
	struct cpu *cpu = this_cpu();

	cpu->main.tss.cr3 = root;
	for (int i = 0; i < VECTORS; i++)
		cpu->tasks[i].tss.cr3 = root;
}

void arch_start(const struct boot_info *info)
{
	mmu_start(info);
	set_root(read_cr3());
	irq_start();
	interrupts_on();
}

/* STI takes effect after the instruction that follows it (SDM volume 2): no interrupt comes before HLT waits. */
void arch_idle(void) { __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory"); }

/* The frame is drawn in switch.S. Above it what fn finds: a return address, none, and its argument. EBP, EBX, ESI
 * and EDI are 0: the chain of frames ends. */
void arch_init_context(struct tcb *tcb, void *top, void (*fn)(void *), void *arg)
{
	uint32_t *entry = (uint32_t *)((uintptr_t)top & ~(uintptr_t)15) - 5;
	uint32_t *context = entry - CONTEXT_SIZE / 4;

	for (int i = 2; i < CONTEXT_SIZE / 4 - 1; i++)
		context[i] = 0;
	context[0] = MXCSR_DEFAULT;
	context[1] = FPU_CONTROL_DEFAULT;
	context[CONTEXT_SIZE / 4 - 1] = (uintptr_t)fn;
	entry[0] = 0;
	entry[1] = (uintptr_t)arg;
	tcb->sp = context;
}
