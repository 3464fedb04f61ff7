/*
 * ARMv7-A: what the port's own files share.
 */
#ifndef SOCLE_ARMV7A_CPU_H
#define SOCLE_ARMV7A_CPU_H

#include "kernel/kernel.h"

/* The interrupted registers, as trap.S lays them on the handler's stack. r[13] and r[14] are SYS mode's. */
struct arch_regs {
	uint32_t r[16];
	uint32_t cpsr, fpscr;
};
_Static_assert(sizeof(struct arch_regs) == REGS_SIZE, "known to assembly");
_Static_assert(offsetof(struct arch_regs, r[15]) == REGS_PC, "known to assembly");
_Static_assert(offsetof(struct arch_regs, cpsr) == REGS_CPSR, "known to assembly");

/* A saved context, as switch.S lays it at tcb->sp. {r11, lr} is a frame record like any function's. */
struct context {
	uint64_t d8_to_d15[8];
	uint32_t fpscr, r4, r5, r6, r7, r8, r9, r10, r11, lr;
};
_Static_assert(sizeof(struct context) == CONTEXT_SIZE, "known to assembly, and a multiple of 8");
_Static_assert(offsetof(struct context, r11) == CONTEXT_FP, "for tracebacks");

/* Coprocessor 15, ARM ARM B3.17. The memory clobber keeps accesses on their side of a system register's change. */
#define CP15_READ(op1, crn, crm, op2)                                                                             \
	({                                                                                                        \
		uint32_t value_;                                                                                  \
		__asm__ volatile("mrc p15, " #op1 ", %0, " #crn ", " #crm ", " #op2 : "=r"(value_) : : "memory"); \
		value_;                                                                                           \
	})
#define CP15_WRITE(op1, crn, crm, op2, value) \
	__asm__ volatile("mcr p15, " #op1 ", %0, " #crn ", " #crm ", " #op2 : : "r"(value) : "memory")

static inline void barrier_data(void) { __asm__ volatile("dsb" : : : "memory"); }
static inline void barrier_instruction(void) { __asm__ volatile("isb" : : : "memory"); }

static inline volatile uint32_t *device_register(uintptr_t base, uintptr_t offset)
{
	return (volatile uint32_t *)(base + offset);
}

/* start.S, switch.S, trap.S */
void boot_main(uintptr_t r2) __attribute__((noreturn));
void context_start(void);
void trap_handle(struct arch_regs *regs, unsigned vector);

/* What arch_redirect() wants done, for trap_redirected() in trap.S. Known to assembly. */
struct redirect {
	void (*fn)(void *);
	void *arg;
	uintptr_t sp;		    /* to call fn on */
	uintptr_t pc, cpsr, old_sp; /* where to go on if fn returns */
} __attribute__((aligned(REDIRECT_SIZE)));
_Static_assert(sizeof(struct redirect) == REDIRECT_SIZE, "known to assembly");
extern struct redirect trap_redirect[MAX_CPUS];
void trap_redirected(void);

/* mmu.c */
void mmu_switch(uintptr_t ttbr, uint32_t sctlr); /* start.S */
void mmu_provisional(uintptr_t tree); /* caches and MMU on; a tree where one may be is readable up to TREE_MAX */
#define TREE_MAX 0x200000u
static inline bool may_hold_tree(uintptr_t a) { return a >= BOARD_RAM_BASE && a < RAM_MAX - TREE_MAX; }
void mmu_start(const struct boot_info *info); /* the final tables */

/* gic.c */
void interrupts_init(void);	/* on the boot CPU, */
void interrupts_init_cpu(void); /* and on each of the others */
void interrupt_handle(struct trap *t);

/* devices.c */
void clock_init(void);
/* CNTV_CTL: ENABLE, IMASK. Takes effect before what follows. */
static inline void timer_control(uint32_t value)
{
	CP15_WRITE(0, c14, c3, 1, value);
	barrier_instruction();
}
#define TIMER_OFF 0u
#define TIMER_ON 1u
bool machine_is_exiting(void);

/* cpu.c */
void cpu_check(void); /* ends the image when the CPU lacks what the compiler was told it has */

/* cpus.c */
struct machine_cpus { /* what the device tree says of them */
	unsigned count;
	uint32_t mpidr[MAX_CPUS]; /* the affinity fields; the boot CPU's among them */
	enum psci { PSCI_NONE, PSCI_HVC, PSCI_SMC } psci;
	uint32_t cpu_on; /* PSCI's number for it */
};
extern struct machine_cpus machine_cpus;
static inline uint32_t cpu_affinity(void) { return CP15_READ(0, c0, c0, 5) & 0xffffff; }
extern uintptr_t nested_stack_hi[MAX_CPUS]; /* for trap.S */
void boot_secondary(void);		    /* start.S */
void cpu_main(unsigned index) __attribute__((noreturn));

#endif
