/*
 * The interrupt controller: GICv2 (ARM IHI 0048) or GICv3 (ARM IHI 0069), as the CPU says, for three interrupts: the
 * timer's, private to each CPU, and two that CPUs send each other. What a CPU has of its own lies in the distributor's
 * first words, of which each CPU sees its own, or on GICv3 at the same offsets in its redistributor.
 *
 * GICv2: group 0, in Non-secure state called so as well. GICv3: group 1, which is what Non-secure state has, and one
 * that knows a single state.
 */
#include "arch/armv7a/cpu.h"

#define GICD(offset) (*device_register(BOARD_GICD_BASE, offset))
#define GICC(offset) (*device_register(BOARD_GICC_BASE, offset))
#define AT(base, offset) (*device_register(base, offset))
enum {
	GICD_CTLR = 0x000,
	GICD_TYPER = 0x004,
	GICD_IGROUPR = 0x080,
	GICD_ISENABLER = 0x100,
	GICD_ICENABLER = 0x180,
	GICD_ICPENDR = 0x280,
	GICD_ICACTIVER = 0x380,
	GICD_IPRIORITYR = 0x400,
	GICD_ITARGETSR = 0x800,
	GICD_SGIR = 0xf00,
	GICD_CPENDSGIR = 0xf10,
};
enum { CTLR_GROUP_1 = 1 << 1, CTLR_ARE = 1 << 4, SGIR_TO_SELF = 2 << 24 };
enum { GICC_CTLR = 0x00, GICC_PMR = 0x04, GICC_IAR = 0x0c, GICC_EOIR = 0x10, GICC_APR0 = 0xd0 };
enum { GICR_CTLR = 0x00, GICR_TYPER = 0x08, GICR_WAKER = 0x14, GICR_OWN = 0x10000, GICR_SIZE = 0x20000 };
enum { TYPER_VIRTUAL = 1 << 1, TYPER_LAST = 1 << 4, WAKER_SLEEP = 1 << 1, WAKER_ASLEEP = 1 << 2 };
enum { INTERRUPT_ID = 0x3ff, FIRST_SPECIAL_ID = 1020, SGI_LIMIT = 16, SGI = 0, SGI_STOP = 1 };
#define DISTRIBUTOR_WRITES (1u << 31) /* GICD_CTLR.RWP: they have not all taken effect */
#define REDISTRIBUTOR_WRITES (1u << 3)

_Static_assert(BOARD_TIMER_INTERRUPT >= 16 && BOARD_TIMER_INTERRUPT < 32, "private to each CPU: in the first word");

static bool version_3;
static uint32_t address[MAX_CPUS]; /* as SGIs want it: a bit, or the affinity fields */

#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* these run once */

/* All that a loader may have left in these words is disabled, and not being handled. */
static void silence(uintptr_t base, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		AT(base, GICD_ICENABLER + 4 * i) = ~0u;
		AT(base, GICD_ICPENDR + 4 * i) = ~0u;
		AT(base, GICD_ICACTIVER + 4 * i) = ~0u;
	}
}

static uintptr_t next_redistributor(uintptr_t at)
{
	return at + (AT(at, GICR_TYPER) & TYPER_VIRTUAL ? 2 * GICR_SIZE : GICR_SIZE);
}

/* Once, on the boot CPU. Two pages of each are of use, the first of either half. */
static void map_redistributors(void)
{
	bool last;

	for (uintptr_t at = BOARD_GICR_BASE;; at = next_redistributor(at)) {
		if (arch_map(at, at, MAP_WRITE | MAP_DEVICE) < 0 ||
		    arch_map(at + GICR_OWN, at + GICR_OWN, MAP_WRITE | MAP_DEVICE) < 0)
			fatal("no memory for the page tables");
		last = AT(at, GICR_TYPER) & TYPER_LAST;
		if (last)
			return;
	}
}

static uintptr_t find_redistributor(void)
{
	uintptr_t at = BOARD_GICR_BASE;

	while (AT(at, GICR_TYPER + 4) != cpu_affinity()) {
		ASSERT(!(AT(at, GICR_TYPER) & TYPER_LAST), "no redistributor of the GIC is this CPU's");
		at = next_redistributor(at);
	}
	return at;
}

/* Wakes it, and returns where this CPU's words are. */
static uintptr_t start_redistributor(void)
{
	uintptr_t at = find_redistributor();

	AT(at, GICR_WAKER) &= ~(uint32_t)WAKER_SLEEP;
	while (AT(at, GICR_WAKER) & WAKER_ASLEEP)
		;
	silence(at + GICR_OWN, 0, 1);
	while (AT(at, GICR_CTLR) & REDISTRIBUTOR_WRITES)
		;
	return at + GICR_OWN;
}

static void start_interface_2(void)
{
	GICC(GICC_CTLR) = 0;
	GICC(GICC_APR0) = 0;
	GICC(GICC_PMR) = 0xff; /* every priority passes */
	GICC(GICC_CTLR) = 1;
}

static void start_interface_3(void)
{
	CP15_WRITE(0, c12, c12, 5, CP15_READ(0, c12, c12, 5) | 1); /* ICC_SRE: by system registers */
	barrier_instruction();
	CP15_WRITE(0, c12, c12, 7, 0);	/* ICC_IGRPEN1 */
	CP15_WRITE(0, c12, c12, 4, 0);	/* ICC_CTLR: end of interrupt in one step */
	CP15_WRITE(0, c12, c9, 0, 0);	/* ICC_AP1R0 */
	CP15_WRITE(0, c4, c6, 0, 0xff); /* ICC_PMR */
	CP15_WRITE(0, c12, c12, 7, 1);
	barrier_instruction();
}

void interrupts_init_cpu(void)
{
	uint32_t bits = 1u << BOARD_TIMER_INTERRUPT | 1u << SGI | 1u << SGI_STOP;
	uintptr_t own = version_3 ? start_redistributor() : BOARD_GICD_BASE;

	if (version_3) {
		AT(own, GICD_IGROUPR) |= bits;
		address[arch_cpu()] = cpu_affinity();
	} else {
		silence(own, 0, 1);
		GICD(GICD_CPENDSGIR) = ~0u;  /* SGIs 0 to 3 */
		GICD(GICD_IGROUPR) &= ~bits; /* in Secure state; elsewhere ignored */
		address[arch_cpu()] = GICD(GICD_ITARGETSR) & 0xff;
	}
	*(volatile uint8_t *)(own + GICD_IPRIORITYR + BOARD_TIMER_INTERRUPT) = 0x80;
	AT(own, GICD_IPRIORITYR) = 0x80808080; /* SGIs 0 to 3 */
	AT(own, GICD_ISENABLER) = bits;
	if (version_3)
		start_interface_3();
	else
		start_interface_2();
	barrier_data(); /* the controller is set up before CPSR.I is cleared */
}

void interrupts_init(void)
{
	version_3 = CP15_READ(0, c0, c1, 1) >> 28 != 0; /* ID_PFR1: the system registers of GICv3 */
	GICD(GICD_CTLR) = 0;
	silence(BOARD_GICD_BASE, 1, (GICD(GICD_TYPER) & 0x1f) + 1);
	if (version_3) {
		map_redistributors();
		while (GICD(GICD_CTLR) & DISTRIBUTOR_WRITES)
			;
		GICD(GICD_CTLR) = CTLR_ARE; /* before a group is enabled */
	}
	GICD(GICD_CTLR) = version_3 ? CTLR_ARE | CTLR_GROUP_1 : 1;
	interrupts_init_cpu();
}

#pragma clang attribute pop

/* GICv3 would send to 16 CPUs of a cluster at once: ICC_SGI1R. With one CPU the distributor of GICv2 knows no targets. */
static __attribute__((noinline)) void send(unsigned cpu, uint32_t id)
{
	uint32_t to = address[cpu], low = id << 24 | (to >> 8 & 0xff) << 16 | 1u << (to & 0xf);

	barrier_data(); /* what was written before is seen by whom it wakes */
	if (version_3)
		__asm__ volatile("mcrr p15, 0, %0, %1, c12\n\tisb" : : "r"(low), "r"((to & 0xf0) << 8 | to >> 16));
	else
		GICD(GICD_SGIR) = (cpu == arch_cpu() ? SGIR_TO_SELF : to << 16) | id;
}

void arch_interrupt(unsigned cpu) { send(cpu, SGI); }

void arch_stop_others(void)
{
	for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
		if (cpu != arch_cpu())
			send(cpu, SGI_STOP);
}

/* WFI ends while an interrupt is pending, though it is masked: none of any priority passes. */
void arch_stop(void)
{
	__asm__ volatile("cpsid if" : : : "memory");
	if (version_3)
		CP15_WRITE(0, c4, c6, 0, 0); /* ICC_PMR */
	else
		GICC(GICC_PMR) = 0;
	for (;;)
		__asm__ volatile("isb\n\tdsb\n\twfi" : : : "memory");
}

static void end(uint32_t acknowledge)
{
	barrier_data(); /* what quiets the device is done before: the two are different devices */
	if (version_3)
		CP15_WRITE(0, c12, c12, 1, acknowledge); /* ICC_EOIR1 */
	else
		GICC(GICC_EOIR) = acknowledge;
}

/* The timer's line is a level: it must fall before the interrupt is ended, or it is pending again at once. */
void interrupt_handle(struct trap *t)
{
	uint32_t acknowledge = version_3 ? CP15_READ(0, c12, c12, 0) : GICC(GICC_IAR), id = acknowledge & INTERRUPT_ID;

	if (id == BOARD_TIMER_INTERRUPT) {
		timer_control(TIMER_OFF);
		end(acknowledge);
		kernel_tick(t);
		return;
	}
	if (id >= FIRST_SPECIAL_ID)
		return; /* it was withdrawn meanwhile */
	if (id >= SGI_LIMIT)
		GICD(GICD_ICENABLER + 4 * (id / 32)) = 1u << (id % 32); /* nobody's: once is enough */
	end(acknowledge);
	if (id == SGI)
		kernel_interrupt(t);
	if (id == SGI_STOP)
		kernel_stop();
}
