/*
 * The local APIC of each CPU: its part of the interrupt controller, its timer, and how CPUs interrupt each other. In
 * x2APIC mode, where there is one, the registers are MSRs and ids have 32 bits; else they lie in memory.
 */
#include "arch/x86/x86.h"

enum { LVT_NMI = 0x400, SPURIOUS_ENABLE = 0x100, DIVIDE_BY_1 = 0xb };
enum { APIC_BASE_BOOT_CPU = 0x100, APIC_BASE_X2 = 0x400, APIC_BASE_ENABLE = 0x800 };
enum { ICR_PENDING = 0x1000 };

bool apic_x2;

/* On, where we expect it. Firmware may have left it otherwise. SDM 3, 10.12.5: on before x2, and from x2 back to the
 * other mode by way of off. */
static void apic_place(void)
{
	uint64_t base = read_msr(MSR_APIC_BASE), on = APIC_BASE | APIC_BASE_ENABLE | (base & APIC_BASE_BOOT_CPU);

	apic_x2 = cpuid(1, 0).c & CPUID_X2APIC;
	if (apic_x2) {
		if (!(base & APIC_BASE_X2))
			write_msr(MSR_APIC_BASE, on);
		write_msr(MSR_APIC_BASE, on | APIC_BASE_X2);
		return;
	}
	if (base & APIC_BASE_X2)
		write_msr(MSR_APIC_BASE, base & ~(uint64_t)(APIC_BASE_X2 | APIC_BASE_ENABLE));
	write_msr(MSR_APIC_BASE, on);
}

void apic_start(void)
{
	apic_place();
	apic_write(APIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_PRIORITY, 0);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);				    /* the 8259s come in here */
	apic_write(APIC_LVT_LINT1, arch_cpu() == 0 ? LVT_NMI : LVT_MASKED); /* the board's NMI: one CPU is enough */
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
}

uint32_t apic_id(void) { return apic_x2 ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24; }

/* The last one may still be on its way. SDM 3, 10.12.3: in x2APIC mode the write does not wait for stores before it, as
 * one to the registers in memory does. */
void apic_send(uint32_t id, uint32_t command)
{
	uintptr_t irq = arch_irq_disable();

	if (apic_x2) {
		__asm__ volatile("mfence\n\tlfence" : : : "memory");
		write_msr(MSR_X2APIC + APIC_ICR / 16, (uint64_t)id << 32 | command);
	} else {
		while (apic_read(APIC_ICR) & ICR_PENDING)
			arch_pause();
		__asm__ volatile("" : : : "memory");
		apic_write(APIC_ICR_HIGH, id << 24);
		apic_write(APIC_ICR, command);
	}
	arch_irq_restore(irq);
}
