/*
 * What i386 and x86_64 share: instructions as inline functions, bit names, and the functions through which
 * the shared files (this folder) and the two ports call each other.
 *
 *   boot/x86/start.S -> boot_main() [boot.c] -> cpu_init() [port's cpu.c] -> kernel_start()
 *   kernel_start() -> arch_start() [port's cpu.c] -> mmu_start() [mmu.c], irq_start() [devices.c]
 *   arch_start_cpus() [smp.c] -> another CPU: start.S -> cpu_started() [smp.c] -> cpu_init() -> kernel_start_cpu()
 *   a vector >= FIRST_IRQ -> port's trap path -> irq_dispatch() [devices.c] -> kernel_tick()
 *   a vector < FIRST_IRQ -> port's trap path -> exception_describe() [exceptions.c] -> kernel_trap()
 */
#ifndef SOCLE_X86_H
#define SOCLE_X86_H

#include "kernel/kernel.h"

/* ---- vectors ---- */

enum {
	VECTOR_NMI = 2,
	VECTOR_DOUBLE_FAULT = 8,
	VECTOR_PAGE_FAULT = 14,
	VECTOR_MACHINE_CHECK = 18,
	FIRST_IRQ = 0x20,  /* below: exceptions */
	VECTOR_PIC = 0x20, /* sixteen, to which the 8259s are moved before they are masked and cut off */
	VECTOR_TIMER = 0x30,
	VECTOR_INTERRUPT, /* arch_interrupt() */
	VECTOR_SHOOTDOWN,
	VECTOR_SPURIOUS = 0x3f, /* the low four bits are ones on every APIC ever made */
	VECTORS = 0x40,
};

/* ---- what each port defines, in cpu.c ---- */

/* GDT, TSS, IDT, thread-local storage, FPU and SSE on. The first thing that a CPU does in C. stacks: its part of
 * fixed_stacks[]. */
void cpu_init(unsigned cpu, const struct fixed_stack *stacks);
#define STACK_INDEX(name, bytes) STACK_##name,
enum { FIXED_STACKS(STACK_INDEX) };

/* ---- boot.c ---- */

/* Called by start.S on the boot stack, interrupts masked, .bss zeroed. Never returns. */
void boot_main(uint32_t magic, uint32_t info) __attribute__((noreturn));
uintptr_t boot_low_page(void); /* a page of RAM below 1 MiB that nobody uses, or 0 */
extern const void *boot_rsdp;  /* ACPI's, where the loader says; null: it does not */

/* ---- acpi.c ---- */

enum { MAX_APIC_IDS = 32 };
void acpi_find_cpus(const void *rsdp); /* null: to be searched for. At boot, when memory is as the firmware left it */
extern uint32_t acpi_apic_ids[MAX_APIC_IDS];
extern unsigned acpi_apics; /* how many; 0: the firmware does not say */

/* ---- mmu.c ---- */

/* Builds the final page tables and turns them on (paging itself too, where start.S left it off). i386: tasks that
 * task gates enter need the new CR3 in their TSS afterwards; read_cr3() has it. */
void mmu_start(const struct boot_info *info);

/* ---- devices.c ---- */

void irq_start(void); /* masks the 8259s, turns the boot CPU's APIC on; mmu_start() comes first */
void irq_dispatch(unsigned vector, struct trap *t); /* acknowledges and handles; on the IRQ stack, interrupts masked */
extern uint64_t boot_tsc;			    /* the time stamp counter at entry, stored by start.S */

/* ---- apic.c ---- */

enum {
	APIC_ID = 0x20,
	APIC_PRIORITY = 0x80,
	APIC_EOI = 0xb0,
	APIC_SPURIOUS = 0xf0,
	APIC_ICR = 0x300, /* the command for other CPUs */
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_CURRENT = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0,
};

enum { LVT_MASKED = 0x10000 };

/* This CPU's: everything masked but NMI, what other CPUs send, and the timer, which waits for its first count. */
void apic_start(void);
uint32_t apic_id(void);
void apic_send(uint32_t id, uint32_t command); /* to the CPU of that id */
extern bool apic_x2;			       /* its registers are MSRs */

/* ---- smp.c ---- */

void shootdown_answer(void); /* if this CPU was asked to */

/* ---- exceptions.c ---- */

/* Fills kind, name, and for a page fault addr and access. cr2 matters for vector 14 only. */
void exception_describe(struct trap *t, unsigned vector, unsigned error, uintptr_t cr2);

/* ---- bits ---- */

#define CR0_MP (1ul << 1)
#define CR0_EM (1ul << 2)
#define CR0_TS (1ul << 3)
#define CR0_NE (1ul << 5)
#define CR0_WP (1ul << 16)
#define CR0_NW (1ul << 29)
#define CR0_CD (1ul << 30)
#define CR0_PG (1ul << 31)

#define CR4_PAE (1ul << 5)
#define CR4_MCE (1ul << 6)
#define CR4_OSFXSR (1ul << 9)
#define CR4_OSXMMEXCPT (1ul << 10)
#define CR4_OSXSAVE (1ul << 18)

#define CPUID_XSAVE (1u << 26) /* leaf 1, ECX */
#define CPUID_AVX (1u << 28)
#define CPUID_X2APIC (1u << 21)
#define CPUID_MCE (1u << 7) /* leaf 1, EDX */
#define CPUID_MTRR (1u << 12)

#define CPUID_1GIB_PAGES (1u << 26) /* leaf 0x80000001, EDX */

#define APIC_BASE 0xfee00000u
#define MSR_APIC_BASE 0x1b
#define MSR_X2APIC 0x800 /* and a register's offset / 16 */
#define MSR_EFER 0xc0000080
#define EFER_LMA (1ul << 10)
#define EFER_NXE (1ul << 11)
#define MSR_FS_BASE 0xc0000100

#define EFLAGS_IF (1ul << 9)
#define MXCSR_DEFAULT 0x1f80 /* all exceptions masked, round to nearest: what the ABI asks at entry */
#define FPU_CONTROL_DEFAULT 0x037f

/* ---- instructions ---- */

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint64_t read_msr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void write_msr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void apic_write(unsigned reg, uint32_t value)
{
	if (apic_x2)
		write_msr(MSR_X2APIC + reg / 16, value);
	else
		*(volatile uint32_t *)(uintptr_t)(APIC_BASE + reg) = value;
}

static inline uint32_t apic_read(unsigned reg)
{
	return apic_x2 ? (uint32_t)read_msr(MSR_X2APIC + reg / 16) : *(volatile uint32_t *)(uintptr_t)(APIC_BASE + reg);
}

static inline uint64_t read_tsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

struct cpuid {
	uint32_t a, b, c, d;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(subleaf));
	return r;
}

#define CONTROL_REGISTER(name)                                                      \
	static inline unsigned long read_##name(void)                               \
	{                                                                           \
		unsigned long value;                                                \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(value) : : "memory"); \
		return value;                                                       \
	}                                                                           \
	static inline void write_##name(unsigned long value)                        \
	{                                                                           \
		__asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory");     \
	}
CONTROL_REGISTER(cr0)
CONTROL_REGISTER(cr2)
CONTROL_REGISTER(cr3)
CONTROL_REGISTER(cr4)

/* XCR0 exists only once CR4.OSXSAVE is set. */
static inline void write_xcr0(uint64_t value)
{
	__asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void interrupts_off(void) { __asm__ volatile("cli" : : : "memory"); }

static inline void interrupts_on(void) { __asm__ volatile("sti" : : : "memory"); }

/* What the ABI promises at entry: x87 empty and at its default, SSE at its default. */
static inline void fpu_reset(void)
{
	uint32_t mxcsr = MXCSR_DEFAULT;

	__asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(mxcsr));
}

/* FPU and SSE on, AVX where there is one; caches, WP, machine checks on. Part of cpu_init(), the same on both ports. */
static inline void fpu_init(struct redirect *r)
{
	struct cpuid features = cpuid(1, 0);

	/* SDM 3, 9.6 and 11.5.1: CD = NW = 0 is normal caching; a loader need not have left it so. */
	write_cr0((read_cr0() & ~(CR0_EM | CR0_TS | CR0_CD | CR0_NW)) | CR0_MP | CR0_NE | CR0_WP);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	if (features.d & CPUID_MCE)
		write_cr4(read_cr4() | CR4_MCE); /* a machine check is reported, not a silent reset */
	if (features.c & CPUID_XSAVE) {
		r->use_xsave = true;
		write_cr4(read_cr4() | CR4_OSXSAVE);
		write_xcr0(features.c & CPUID_AVX ? 7 : 3); /* x87, SSE, AVX */
	}
	fpu_reset();
}

#endif
