/*
 * Page tables, for both: PAE's three levels and long mode's four have the same entries of eight bytes, and NX. The
 * final tables map RAM one to one, writable and never executable, in the largest pages that fit; the image in
 * pages of 4 KiB, each part with its own rights; the local APIC uncached. Absent stay: the first MiB (page 0, the
 * firmware's data: whoever needs those maps them), the fixed stacks' guard pages, and all that is no RAM. Entries
 * are never global: there is one address space.
 *
 * A table that is no longer needed stays where it is, to be used again: giving it back would mean counting its
 * entries, and PAE has no free bits in an entry to count with.
 */
#include "arch/x86/x86.h"

enum { PRESENT = 1, WRITE = 2, WRITE_THROUGH = 8, UNCACHED = 16, LARGE = 128 };
#define NO_EXECUTE (1ull << 63)
#define ADDRESS 0x000ffffffffff000ull
#define LOW_MEMORY 0x100000

extern char image_start[], text_start[], text_end[], rodata_start[], rodata_end[], image_end[];

static uint64_t *root;
static int largest_level = 2; /* 3 where the CPU has pages of 1 GiB */

static unsigned shift_of(int level) { return 12 + 9 * (level - 1); }

static uint64_t size_of(int level) { return 1ull << shift_of(level); }

static uint64_t *table_of(uint64_t entry) { return frame_address(entry & ADDRESS); }

/* Absent first, present last: i386 writes 64 bits in two halves, and no CPU may walk through a mixture. Stores are
 * seen in program order (SDM 3, 8.2.2); volatile keeps the compiler to it. */
static void set_entry(uint64_t *entry, uint64_t value)
{
	volatile uint32_t *half = (volatile uint32_t *)entry;

	half[0] = 0;
	half[1] = value >> 32;
	half[0] = (uint32_t)value;
	__asm__ volatile("" : : : "memory"); /* what is reached through the entry is touched after it, or before */
}

/* -1: no frame. PAE's top entries have no rights to give (SDM 3, 4.4.1: those bits must be 0). */
static int add_table(uint64_t *entry, int level)
{
	uint64_t frame = frame_alloc_zero();

	if (frame == NO_FRAME)
		return -1;
	set_entry(entry, frame | PRESENT | (PAGE_LEVELS == 3 && level == 3 ? 0 : WRITE));
	return 0;
}

/* The entry for va in the table of *level, or the one of a large page above it, and then *level is that one's.
 * Null: there is no table, or, when it was to be created, no frame for one. */
static uint64_t *entry_of(uintptr_t va, int *level, bool create)
{
	uint64_t *table = root;

	for (int at = PAGE_LEVELS;; at--) {
		uint64_t *entry = &table[va >> shift_of(at) & 511];

		if (at == *level || *entry & LARGE) {
			*level = at;
			return entry;
		}
		if (!(*entry & PRESENT) && (!create || add_table(entry, at) < 0))
			return NULL;
		table = table_of(*entry);
	}
}

static uint64_t rights(unsigned prot)
{
	return PRESENT | (prot & MAP_WRITE ? WRITE : 0) | (prot & MAP_EXEC ? 0 : NO_EXECUTE) |
	       (prot & MAP_DEVICE ? WRITE_THROUGH | UNCACHED : 0); /* PAT entry 3 at reset: UC (SDM 3, 11.12.4) */
}

int arch_map(uintptr_t va, uint64_t pa, unsigned prot)
{
	int level = 1;
	uint64_t *entry;

	ASSERT((va | pa) % PAGE_SIZE == 0, "arch_map: not a page");
	ASSERT(!(prot & MAP_WRITE && prot & MAP_EXEC), "arch_map: writable and executable");
	entry = entry_of(va, &level, true);
	if (entry == NULL)
		return -1;
	ASSERT(!(*entry & PRESENT), "arch_map: there is a page already");
	set_entry(entry, pa | rights(prot));
	return 0;
}

uint64_t arch_unmap(uintptr_t va)
{
	int level = 1;
	uint64_t *entry = entry_of(va, &level, false), pa;

	if (entry == NULL || !(*entry & PRESENT))
		return NO_FRAME;
	ASSERT(level == 1, "arch_unmap: part of a large page");
	pa = *entry & ADDRESS;
	set_entry(entry, 0);
	/* SDM 3, 4.10.4.2: after P goes from 1 to 0. Not after 0 to 1: what is absent is not cached (4.10.2.3). */
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
	return pa;
}

uint64_t arch_lookup(uintptr_t va)
{
	int level = 1;
	const volatile uint64_t *place = entry_of(va, &level, false);
	uint64_t entry = place != NULL ? *place : 0; /* once: another CPU may change it */

	if (!(entry & PRESENT))
		return NO_FRAME;
	return (entry & ADDRESS & -size_of(level)) | (va & (size_of(level) - PAGE_SIZE));
}

/* Handlers call this too: they leave the FPU's registers as they are, so it borrows one. CLTS: i386's handlers are
 * entered by a task switch, which turns the FPU off. */
void page_zero(void *page)
{
	char *at = page, *end = at + PAGE_SIZE, saved[16];

	__asm__ volatile("clts\n\t"
			 "movups %%xmm0, %1\n\t"
			 "xorps %%xmm0, %%xmm0\n"
			 "1:\t"
			 ".irp offset, 0, 16, 32, 48, 64, 80, 96, 112\n\t"
			 "movaps %%xmm0, \\offset(%0)\n\t"
			 ".endr\n\t"
			 "sub $-128, %0\n\t"
			 "cmp %2, %0\n\t"
			 "jne 1b\n\t"
			 "movups %1, %%xmm0"
			 : "+&r"(at), "=m"(saved)
			 : "r"(end)
			 : "cc", "memory");
}

/* ---- The final tables ---- */

static bool is_guard(uintptr_t va)
{
	for (const struct fixed_stack *stack = fixed_stacks; stack->name; stack++)
		if (va >= stack->guard && va < stack->lo)
			return true;
	return false;
}

/* What a page of RAM gets; 0: nothing. */
static uint64_t ram_rights(uintptr_t va)
{
	if (va >= (uintptr_t)text_start && va < (uintptr_t)text_end)
		return rights(MAP_READ | MAP_EXEC);
	if (va >= (uintptr_t)rodata_start && va < (uintptr_t)rodata_end)
		return rights(MAP_READ);
	return is_guard(va) ? 0 : rights(MAP_READ | MAP_WRITE);
}

/* Where, after va, RAM comes to have other rights. */
static uintptr_t next_edge(uintptr_t va)
{
	const uintptr_t parts[] = {(uintptr_t)text_start, (uintptr_t)text_end, (uintptr_t)rodata_start,
				   (uintptr_t)rodata_end};
	uintptr_t next = RAM_MAX;

#define EDGE(address) next = (address) > va && (address) < next ? (address) : next
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		EDGE(parts[i]);
	for (const struct fixed_stack *s = fixed_stacks; s->name; s++) {
		EDGE(s->guard);
		EDGE(s->lo);
	}
	return next;
}

/* To the end of the table that `entry` lies in. */
static uintptr_t map_small_pages(uint64_t *entry, uintptr_t base, uintptr_t end)
{
	uint64_t flags = 0;
	uintptr_t edge = 0;

	do {
		if (base >= edge) {
			flags = ram_rights(base);
			edge = next_edge(base);
		}
		if (flags && !(*entry & PRESENT))
			set_entry(entry, base | flags);
		base += PAGE_SIZE;
		entry++;
	} while (base < end && base % size_of(2) != 0);
	return base;
}

/* At least the one that base lies in, and as many more as fit. */
static uint64_t map_large_pages(uint64_t *entry, int level, uint64_t base, uint64_t end)
{
	uint64_t size = size_of(level), above = size_of(level + 1);

	base &= -size;
	do {
		if (!(*entry & PRESENT))
			set_entry(entry, base | rights(MAP_READ | MAP_WRITE) | LARGE);
		base += size;
		entry++;
	} while (base < end && end - base >= size && base % above != 0 && base >= (uintptr_t)image_end);
	return base;
}

/* The largest pages that start at base, end before end, and have nothing of the image. */
static int fitting_level(uint64_t base, uint64_t end)
{
	for (int level = largest_level; level > 1; level--) {
		uint64_t size = size_of(level);

		if (base % size == 0 && end - base >= size &&
		    (base + size <= (uintptr_t)image_start || base >= (uintptr_t)image_end))
			return level;
	}
	return 1;
}

/* Maps pages of one size, no further than to the end of their table; returns where that is. Ranges may overlap: what is
 * mapped stays. */
static uint64_t map_ram_pages(uint64_t base, uint64_t end)
{
	int level = fitting_level(base, end);
	uint64_t *entry = entry_of(base, &level, true);

	if (entry && level > 1 && *entry & PRESENT && !(*entry & LARGE)) {
		level = 1;
		entry = entry_of(base, &level, true);
	}
	ASSERT(entry, "no memory for the page tables");
	if (level > 1)
		return map_large_pages(entry, level, base, end);
	return map_small_pages(entry, (uintptr_t)base, (uintptr_t)end);
}

static void map_ram(const struct boot_range *range)
{
	uint64_t base = range->base, end = range->base + range->size;

	if (base < LOW_MEMORY)
		base = LOW_MEMORY;
	if (end > RAM_MAX)
		end = RAM_MAX;
	base = (base + PAGE_SIZE - 1) & -(uint64_t)PAGE_SIZE;
	end &= -(uint64_t)PAGE_SIZE;
	while (base < end)
		base = map_ram_pages(base, end);
}

static void turn_on(void)
{
	write_cr4(read_cr4() | CR4_PAE);
	write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_NXE);
	write_cr3((uintptr_t)root); /* drops what the TLB has of the provisional ones (SDM 3, 4.10.4.1) */
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

void mmu_start(const struct boot_info *info)
{
	uint64_t frame = frame_alloc_zero();

	ASSERT(frame != NO_FRAME, "no memory for the page tables");
	root = frame_address(frame);
	if (PAGE_LEVELS == 4 && cpuid(0x80000001, 0).d & CPUID_1GIB_PAGES)
		largest_level = 3;
	/* PAE: the CPU reads the top four when CR3 is loaded and never again (SDM 3, 4.4.1). */
	for (int i = 0; PAGE_LEVELS == 3 && i < 4; i++)
		ASSERT(add_table(&root[i], 3) == 0, "no memory for the page tables");
	for (int i = 0; i < info->nram; i++)
		map_ram(&info->ram[i]);
	ASSERT(arch_map(APIC_BASE, APIC_BASE, MAP_WRITE | MAP_DEVICE) == 0, "no memory for the page tables");
	turn_on();
}
