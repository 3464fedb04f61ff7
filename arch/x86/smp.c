/*
 * Several CPUs: starting them, and what they have to tell each other.
 *
 * A CPU that is told to start (INIT, then SIPI: SDM 3, 8.4.4) begins in real mode on a page below 1 MiB. That page
 * is written once, of RAM that is never given out, and has nothing in it but the way to start.S's code; so the CPUs
 * come one at a time, each finding in cpu_start what it is to be, and in `invited` that it is still wanted. One that has
 * not come in time finds nothing there; it gets another INIT and waits from then on for what nobody sends it, so its
 * stacks can go.
 *
 * What a CPU keeps of translations is its own affair on x86: the others are interrupted, and answer when they have
 * forgotten. A CPU that waits for answers gives its own as well, so that two may wait for each other, interrupts
 * masked.
 */
#include "arch/x86/x86.h"
#include "kernel/lock.h"

enum { IPI_FIXED = 0x4000, IPI_NMI = 0x4400, IPI_INIT = 0x4500, IPI_START = 0x4600 };
enum { US = 1000, MS = 1000000, S = 1000000000 };

static uint32_t apic_ids[MAX_CPUS];

/* ---- Starting ---- */

/* Known to start.S. As the boot CPU has them. */
struct cpu_start {
	uint64_t stack;
	uint32_t cr0, cr3, cr4, efer;
};
extern struct cpu_start cpu_start;
extern const char cpu_start_page[], cpu_start_page_end[];
_Static_assert(offsetof(struct cpu_start, cr0) == 8 && offsetof(struct cpu_start, efer) == 20, "known to assembly");

struct cpu_start cpu_start;
static const struct fixed_stack *starting_stacks;

/* Memory types: SDM 3, 11.11 and 11.12. PAT, the fixed ranges, the variable ones; the default, which has the switch. */
enum { MSR_PAT = 0x277, MSR_MTRR_CAP = 0xfe, MSR_MTRR_VARIABLE = 0x200, MSR_MTRR_DEFAULT = 0x2ff, MAX_VARIABLE = 16 };
static const uint16_t type_msrs[] = {MSR_PAT, 0x250, 0x258, 0x259, 0x268, 0x269,
				     0x26a,   0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
enum { FIXED_MSRS = sizeof type_msrs / sizeof type_msrs[0] };
static struct {
	unsigned n;
	uint64_t value[FIXED_MSRS + 2 * MAX_VARIABLE], by_default;
} memory_types;

static uint32_t type_msr(unsigned i) { return i < FIXED_MSRS ? type_msrs[i] : MSR_MTRR_VARIABLE + i - FIXED_MSRS; }

static void save_memory_types(void)
{
	unsigned variable;

	if (!(cpuid(1, 0).d & CPUID_MTRR))
		return;
	variable = read_msr(MSR_MTRR_CAP) & 0xff;
	memory_types.n = FIXED_MSRS + 2 * (variable < MAX_VARIABLE ? variable : MAX_VARIABLE);
	for (unsigned i = 0; i < memory_types.n; i++)
		memory_types.value[i] = read_msr(type_msr(i));
	memory_types.by_default = read_msr(MSR_MTRR_DEFAULT);
}

/* Caches are still off here. Firmware has seen to it as a rule. */
static void load_memory_types(void)
{
	bool same = memory_types.n == 0 || read_msr(MSR_MTRR_DEFAULT) == memory_types.by_default;

	for (unsigned i = 0; i < memory_types.n; i++)
		same = same && read_msr(type_msr(i)) == memory_types.value[i];
	if (same)
		return;
	__asm__ volatile("wbinvd" : : : "memory");
	write_msr(MSR_MTRR_DEFAULT, 0);
	for (unsigned i = 0; i < memory_types.n; i++)
		write_msr(type_msr(i), memory_types.value[i]);
	write_msr(MSR_MTRR_DEFAULT, memory_types.by_default);
	__asm__ volatile("wbinvd" : : : "memory");
	write_cr3(read_cr3()); /* the TLB keeps memory types too */
}

/* ---- The time stamp counter: the boot CPU shows its own again and again, while it waits for another ---- */

static _Atomic uint64_t shown_tsc;

static uint64_t next_shown(void)
{
	uint64_t last = atomic_load_explicit(&shown_tsc, memory_order_acquire), next;

	do
		next = atomic_load_explicit(&shown_tsc, memory_order_acquire);
	while (next == last);
	return next;
}

/* Of the boot CPU's three readings the first is older than ours, and the last was begun when we had ours. If ours is
 * between them the two counters are one, as in most machines there are; a guess at how far they are apart would only
 * make it worse. If not, the closest three of many tell how far. */
static void match_clock(void)
{
	uint64_t closest = ~0ull, ahead = 0;

	for (int i = 0; i < 64; i++) {
		uint64_t before = next_shown(), own, after;

		__asm__ volatile("lfence" : : : "memory"); /* or the counter is read ahead of that */
		own = read_tsc();
		__asm__ volatile("lfence" : : : "memory");
		next_shown();
		after = next_shown();
		if (own >= before && own <= after)
			return;
		if (after - before < closest) {
			closest = after - before;
			ahead = own - (before + closest / 2);
		}
	}
	LOCAL->boot_tsc += ahead;
}

static atomic_uint invited; /* the CPU that is to come; 0: it has come, or is not wanted any more */

/* Either the CPU does, or who has waited for it too long. Acquire and release: what it finds is what it was sent. */
static bool take_invitation(void) { return atomic_exchange_explicit(&invited, 0, memory_order_acq_rel) != 0; }

/* Called by start.S, on the boot stack. */
void cpu_started(void) __attribute__((noreturn));
void cpu_started(void)
{
	unsigned cpu = starting_stacks->cpu;

	if (!take_invitation())
		arch_stop();
	load_memory_types();
	cpu_init(cpu, starting_stacks);
	apic_start();
	match_clock();
	kernel_start_cpu(cpu);
}

/* Shows its time, for match_clock(). */
static bool wait_for(unsigned cpu, int64_t ns)
{
	int64_t end = clock_now() + ns;

	while (cpu_count() <= cpu && clock_now() < end) {
		atomic_store_explicit(&shown_tsc, read_tsc(),
				      memory_order_release); /* pairs with next_shown()'s acquire */
		arch_pause();
	}
	return cpu_count() > cpu;
}

/* No CPU is ever the one that this counts: so it waits for the time. */
static void wait(int64_t ns) { wait_for(MAX_CPUS, ns); }

static bool start(unsigned cpu, uint32_t id, uintptr_t page)
{
	starting_stacks = cpu_stacks_add(cpu);
	if (!starting_stacks) {
		console_printf("socle: no memory for the stacks of CPU %u\n", cpu);
		return false;
	}
	cpu_start.stack = starting_stacks[0].hi;
	apic_ids[cpu] = id;
	atomic_store_explicit(&invited, cpu, memory_order_release);
	apic_send(id, IPI_START | page / PAGE_SIZE);
	if (wait_for(cpu, 200 * US))
		return true;
	apic_send(id, IPI_START | page / PAGE_SIZE); /* to a CPU that has started it means nothing */
	if (wait_for(cpu, S))
		return true;
	if (!take_invitation()) { /* the CPU did, in that moment */
		while (!wait_for(cpu, S))
			;
		return true;
	}
	apic_send(id, IPI_INIT);
	wait(10 * MS);
	cpu_stacks_remove(cpu);
	console_printf("socle: the CPU with APIC id %u does not start: left out\n", id);
	return false;
}

/* Low memory is in the page tables for as long as this takes. */
static void write_page(uintptr_t page)
{
	ASSERT(arch_map(page, page, MAP_WRITE) == 0, "no memory for the page tables");
	for (size_t i = 0; i < (size_t)(cpu_start_page_end - cpu_start_page); i++)
		((volatile char *)page)[i] = cpu_start_page[i];
	arch_unmap(page);
}

static void note_state(void)
{
	cpu_start.cr0 = read_cr0() | CR0_CD; /* until memory types are right */
	cpu_start.cr3 = read_cr3();
	cpu_start.cr4 = read_cr4();
	cpu_start.efer = read_msr(MSR_EFER) & ~EFER_LMA; /* that one is the processor's to set */
	ASSERT(read_cr3() == cpu_start.cr3, "the page tables lie above 4 GiB: no CPU can start there");
	save_memory_types();
}

/* In the older mode 255 is all of them, and there is no more. */
static bool is_other(uint32_t id) { return id != apic_ids[0] && (apic_x2 || id < 255); }

/* The 10 ms that each wants to itself pass for all together. */
unsigned arch_start_cpus(unsigned limit)
{
	uintptr_t page = boot_low_page();
	unsigned n = 1;

	apic_ids[0] = apic_id();
	if (limit <= 1 || acpi_apics <= 1 || page == 0)
		return 1;
	note_state();
	write_page(page);
	for (unsigned i = 0; i < acpi_apics; i++)
		if (is_other(acpi_apic_ids[i]))
			apic_send(acpi_apic_ids[i], IPI_INIT);
	wait(10 * MS);
	for (unsigned i = 0; i < acpi_apics && n < limit; i++)
		if (is_other(acpi_apic_ids[i]) && start(n, acpi_apic_ids[i], page))
			n++;
	return n;
}

/* ---- Interrupting ---- */

void arch_interrupt(unsigned cpu) { apic_send(apic_ids[cpu], IPI_FIXED | VECTOR_INTERRUPT); }

/* NMI: it comes through masked interrupts, and kernel_trap() knows what it means. */
void arch_stop_others(void)
{
	for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
		if (cpu != arch_cpu())
			apic_send(apic_ids[cpu], IPI_NMI);
}

/* ---- Shootdown ---- */

enum {
	MAX_SINGLE = 32, /* pages; for more, all translations go */
	PATIENCE = 20,	 /* s */
};

static struct {
	struct spin_lock lock;
	uintptr_t lo, hi;
	atomic_uint waiting; /* a bit for each CPU that has not answered */
} shootdown;

static void forget(uintptr_t lo, uintptr_t hi)
{
	if (hi - lo > MAX_SINGLE * PAGE_SIZE) {
		write_cr3(read_cr3()); /* no entry is global */
		return;
	}
	for (uintptr_t va = lo; va < hi; va += PAGE_SIZE)
		__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

void shootdown_answer(void)
{
	unsigned me = 1u << arch_cpu();

	if (!(atomic_load_explicit(&shootdown.waiting, memory_order_acquire) &
	      me)) /* pairs with the request's release */
		return;
	forget(shootdown.lo, shootdown.hi);
	atomic_fetch_and_explicit(&shootdown.waiting, ~me, memory_order_release);
}

static void ask_others(unsigned others)
{
	int64_t end = clock_now() + (int64_t)PATIENCE * S;

	atomic_store_explicit(&shootdown.waiting, others, memory_order_release);
	for (unsigned cpu = 0; others >> cpu; cpu++)
		if (others >> cpu & 1)
			apic_send(apic_ids[cpu], IPI_FIXED | VECTOR_SHOOTDOWN);
	while (atomic_load_explicit(&shootdown.waiting, memory_order_acquire)) { /* pairs with each answer's release */
		if (clock_now() > end)
			fatal("CPUs %x (a bit each) have not answered a shootdown for %d s: interrupts are masked there",
			      atomic_load_explicit(&shootdown.waiting, memory_order_relaxed), PATIENCE);
		kernel_poll_stop();
		arch_pause();
	}
}

void arch_shootdown(uintptr_t lo, uintptr_t hi)
{
	unsigned count = cpu_count();
	uintptr_t irq;

	if (count == 1)
		return;
	irq = arch_irq_disable();
	while (!spin_try(&shootdown.lock)) {
		shootdown_answer();
		kernel_poll_stop();
		arch_pause();
	}
	forget(lo, hi); /* the arch_unmap() may have been on another CPU */
	shootdown.lo = lo;
	shootdown.hi = hi;
	ask_others(((1u << count) - 1) & ~(1u << arch_cpu()));
	spin_unlock(&shootdown.lock);
	arch_irq_restore(irq);
}
