/*
 * Page tables: short descriptors, TTBR0 alone, 16 KiB first level, 1 KiB second levels of which four share a frame.
 * RAM is one to one, in sections of 1 MiB where all of one is alike, writable and there.
 *
 * Boot runs on provisional sections: unaligned and exclusive accesses, which any C code may make, need memory that
 * is Normal, and without the MMU all of it is Strongly-ordered. Only RAM that is surely there is in them (the CPU may
 * read ahead from what is Normal), and the devices.
 *
 * All RAM is Normal, write-back, write-allocate, shareable, under every alias. AP[2:1] is the permission model
 * without the access flag (SCTLR.AFE 0, TRE 0), domain 0 is a client: W^X in every entry, and SCTLR.WXN besides.
 */
#include "arch/armv7a/cpu.h"

#define MIB 0x100000u

/* ARM ARM B3.5.1, figures B3-4 and B3-5. AP[1:0] = 1: for privileged code, which all code is. */
enum {
	TYPE_MASK = 3,
	TABLE = 1,
	SECTION = 2,
	SECTION_AP = 1 << 10,
	SECTION_DEVICE = 1 << 2 | 1 << 4,		      /* B; XN */
	SECTION_NORMAL = 1 << 2 | 1 << 3 | 1 << 12 | 1 << 16, /* B, C, TEX[0]; S */
	SECTION_XN = 1 << 4,
	PAGE_XN = 1,
	PAGE = 2,
	PAGE_AP = 1 << 4,
	PAGE_DEVICE = 1 << 2,
	PAGE_NORMAL = 1 << 2 | 1 << 3 | 1 << 6 | 1 << 10,
	PAGE_READ_ONLY = 1 << 9, /* AP[2] */
};
#define TABLE_BASE(entry) ((entry) & ~0x3ffu)

typedef uint32_t first_level[4096] __attribute__((aligned(16384)));
static first_level provisional_table __attribute__((section(".bss.early")));
first_level mmu_table;	  /* known to assembly */
static bool walks_cached; /* table walks see the data cache */

#define DEVICE(base, bytes) {base, (base) + (bytes)},
static const struct {
	uintptr_t lo, hi;
} devices[] = {BOARD_DEVICES(DEVICE)};

extern char image_end[], text_start[], text_end[], rodata_start[], rodata_end[];

__attribute__((minsize)) static void provide_sections(uintptr_t lo, uintptr_t hi, uint32_t attributes)
{
	for (uintptr_t i = lo / MIB; i <= (hi - 1) / MIB; i++)
		provisional_table[i] = i * MIB | SECTION | SECTION_AP | attributes;
}

/* With the MMU and the data cache off: so the tables are in memory when the walker is let loose. Nothing else may be
 * written here, but a little stack: start.S says why. */
__attribute__((minsize)) void mmu_provisional(uintptr_t tree)
{
	uintptr_t ram_end = BOARD_RAM_BASE + BOARD_RAM_SIZE;

	if (ram_end < (uintptr_t)image_end + MIB)
		ram_end = (uintptr_t)image_end + MIB; /* room for the final tables */
	for (size_t i = 0; i < sizeof provisional_table; i += PAGE_SIZE)
		page_zero((char *)provisional_table + i);
	for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
		provide_sections(devices[i].lo, devices[i].hi, SECTION_DEVICE);
	provide_sections(BOARD_RAM_BASE, ram_end, SECTION_NORMAL);
	if (may_hold_tree(tree))
		provide_sections(tree, tree + TREE_MAX, SECTION_NORMAL);
	mmu_switch((uintptr_t)&provisional_table | TTBR_WALKS, 0);
}

/* Where table walks go past the data cache: what was zeroed through it is to be in memory. By the shortest line. */
static void clean_for_walks(uintptr_t lo, size_t bytes)
{
	for (uintptr_t line = lo & ~15u; !walks_cached && line < lo + bytes; line += 16)
		CP15_WRITE(0, c7, c11, 1, line); /* DCCMVAU */
}

/* Entries are seen by the walker's next look: DSB, ISB (ARM ARM B3.10.1), through the cache or past it. */
static void set_entry(uint32_t *entry, uint32_t value)
{
	*(volatile uint32_t *)entry = value;
	if (!walks_cached)
		CP15_WRITE(0, c7, c11, 1, entry); /* DCCMVAU: clean to the point of unification, where walks look */
	barrier_data();
	barrier_instruction();
}

/* A second level for the MiB of va: a quarter of the frame its neighbours use, or of a new one. */
static __attribute__((noinline, minsize)) int add_second_level(uintptr_t va)
{
	uint32_t *group = &mmu_table[va / MIB & ~3u], quarter = va / MIB & 3;
	uint64_t frame = NO_FRAME;

	for (int i = 0; i < 4; i++)
		if ((group[i] & TYPE_MASK) == TABLE)
			frame = TABLE_BASE(group[i]) & ~(PAGE_SIZE - 1u);
	if (frame == NO_FRAME) {
		frame = frame_alloc_zero();
		if (frame == NO_FRAME)
			return -1;
		clean_for_walks((uintptr_t)frame, PAGE_SIZE);
		barrier_data(); /* zeroed before it is linked */
	}
	set_entry(&group[quarter], (uint32_t)frame | quarter * 1024 | TABLE);
	return 0;
}

/* The second-level entry for va; NULL when there is no second level. */
static uint32_t *find_page(uintptr_t va)
{
	uint32_t first = mmu_table[va / MIB];

	if ((first & TYPE_MASK) != TABLE)
		return NULL;
	return (uint32_t *)TABLE_BASE(first) + (va / PAGE_SIZE & 0xff);
}

/* The same, with a second level made for it: NULL when there is no memory for that. */
static inline uint32_t *make_page(uintptr_t va)
{
	uint32_t *page = find_page(va);

	if (page != NULL)
		return page;
	ASSERT((mmu_table[va / MIB] & TYPE_MASK) == 0, "arch_map: inside a section");
	return add_second_level(va) == 0 ? find_page(va) : NULL;
}

static uint32_t page_bits(unsigned prot)
{
	uint32_t bits = PAGE | PAGE_AP;

	bits |= prot & MAP_DEVICE ? PAGE_DEVICE : PAGE_NORMAL;
	bits |= prot & MAP_EXEC ? 0 : PAGE_XN;
	return bits | (prot & MAP_WRITE ? 0 : PAGE_READ_ONLY);
}

int arch_map(uintptr_t va, uint64_t pa, unsigned prot)
{
	uint32_t *page;

	ASSERT(((va | pa) & (PAGE_SIZE - 1)) == 0, "arch_map: not a page");
	ASSERT(!(prot & MAP_WRITE) || !(prot & MAP_EXEC), "arch_map: writable and executable");
	ASSERT(pa < (uint64_t)1 << 32, "arch_map: beyond what short descriptors reach");
	page = make_page(va);
	if (page == NULL)
		return -1;
	ASSERT(*page == 0, "arch_map: the page is there already");
	/* No TLB holds an absent page, so there is nothing to invalidate. */
	set_entry(page, (uint32_t)pa | page_bits(prot));
	return 0;
}

uint64_t arch_unmap(uintptr_t va)
{
	uint32_t *page = find_page(va);
	uint64_t pa;

	ASSERT(page != NULL || mmu_table[va / MIB] == 0, "arch_unmap: inside a section");
	if (page == NULL || *page == 0)
		return NO_FRAME;
	pa = *page & ~(PAGE_SIZE - 1u);
	set_entry(page, 0);
	CP15_WRITE(0, c8, c3, 3, va & ~(PAGE_SIZE - 1u)); /* TLBIMVAAIS, after the DSB that ends set_entry()'s store */
	CP15_WRITE(0, c7, c1, 6, 0);			  /* BPIALLIS: the page may have been code */
	barrier_data();					  /* complete on all CPUs, */
	barrier_instruction();				  /* and for what this one has fetched */
	return pa;
}

/* All is done: arch_unmap()'s invalidation reaches every CPU, and its DSB waits until none has an access by the old
 * translation under way (ARM ARM B3.10.1). On Cortex-A15 before r3p3 that takes more: erratum 798181. */
void arch_shootdown(uintptr_t lo, uintptr_t hi)
{
	(void)lo;
	(void)hi;
}

uint64_t arch_lookup(uintptr_t va)
{
	uint32_t first = mmu_table[va / MIB], *page = find_page(va);
	uint32_t entry = page != NULL ? *(volatile uint32_t *)page : 0; /* once: another CPU may change it */

	if ((first & TYPE_MASK) == SECTION)
		return (first & ~(MIB - 1)) | (va & (MIB - 1) & ~(PAGE_SIZE - 1u));
	return entry == 0 ? NO_FRAME : entry & ~(PAGE_SIZE - 1u);
}

void page_zero(void *page)
{
	char *at = page, *end = at + PAGE_SIZE;

	__asm__ volatile("mov r2, #0\n\t"
			 ".irp reg, r3, r4, r5, r6, r7, r8, r9\n\t"
			 "mov \\reg, r2\n\t"
			 ".endr\n"
			 "1:\t"
			 ".rept 4\n\t"
			 "stmia %0!, {r2-r9}\n\t"
			 ".endr\n\t"
			 "cmp %0, %1\n\t"
			 "bne 1b"
			 : "+&r"(at)
			 : "r"(end)
			 : "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "cc", "memory");
}

/* ---- The final tables: made once, so the code is to be small ---- */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

static uint64_t page_down(uint64_t address) { return address & ~(uint64_t)(PAGE_SIZE - 1); }
static uint64_t page_up(uint64_t address) { return page_down(address + PAGE_SIZE - 1); }

/* Guards, and what others have reserved: part of that may be somebody's whose bus answers reads with an abort. */
static bool is_absent(const struct boot_info *info, uintptr_t va)
{
	for (const struct fixed_stack *s = fixed_stacks; s->name != NULL; s++)
		if (va >= s->guard && va < s->lo)
			return true;
	for (int i = 0; i < info->nreserved; i++)
		if (va >= page_down(info->reserved[i].base) && va < info->reserved[i].base + info->reserved[i].size)
			return true;
	return false;
}

static unsigned ram_prot(uintptr_t va)
{
	if (va >= (uintptr_t)text_start && va < (uintptr_t)text_end)
		return MAP_READ | MAP_EXEC;
	if (va >= (uintptr_t)rodata_start && va < (uintptr_t)rodata_end)
		return MAP_READ;
	return MAP_READ | MAP_WRITE;
}

/* Within a MiB. What is there already stays as it is. */
static void map_pages(uintptr_t va, uintptr_t end, uint32_t bits)
{
	uint32_t *first = make_page(va), *page = first;

	if (page == NULL)
		fatal("no memory for the page tables");
	for (; va < end; va += PAGE_SIZE, page++)
		if (*page == 0)
			*page = va | bits;
	clean_for_walks((uintptr_t)first, (uintptr_t)page - (uintptr_t)first);
}

static void map_run(uintptr_t va, uintptr_t end, unsigned prot)
{
	for (uintptr_t size; va < end; va += size) {
		uint32_t *first = &mmu_table[va / MIB];

		size = MIB - va % MIB < end - va ? MIB - va % MIB : end - va;
		if (prot == MAP_WRITE && size == MIB && *first == 0)
			*first = va | SECTION | SECTION_AP | SECTION_NORMAL | SECTION_XN;
		else if ((*first & TYPE_MASK) != SECTION)
			map_pages(va, va + size, page_bits(prot));
	}
}

/* Where, after va, RAM may come to be mapped in another way; hi at most. */
static uintptr_t next_edge(const struct boot_info *info, uintptr_t va, uintptr_t hi)
{
	const uintptr_t parts[] = {(uintptr_t)text_start, (uintptr_t)text_end, (uintptr_t)rodata_end};
	uintptr_t next = hi;

#define EDGE(address) next = (address) > va && (address) < next ? (uintptr_t)(address) : next
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		EDGE(parts[i]);
	for (const struct fixed_stack *s = fixed_stacks; s->name != NULL; s++) {
		EDGE(s->guard);
		EDGE(s->lo);
	}
	for (int i = 0; i < info->nreserved; i++) {
		EDGE(page_down(info->reserved[i].base));
		EDGE(page_up(info->reserved[i].base + info->reserved[i].size));
	}
	return next;
}

static void map_ram(const struct boot_info *info, uintptr_t lo, uintptr_t hi)
{
	for (uintptr_t va = lo, end; va < hi; va = end) {
		end = next_edge(info, va, hi);
		if (!is_absent(info, va))
			map_run(va, end, ram_prot(va));
	}
}

void mmu_start(const struct boot_info *info)
{
	walks_cached = (CP15_READ(0, c0, c1, 7) >> 20 & 0xf) == 1; /* ID_MMFR3 */
	for (int i = 0; i < info->nram; i++) {
		uint64_t lo = page_up(info->ram[i].base), hi = page_down(info->ram[i].base + info->ram[i].size);

		if (lo == 0)
			lo = PAGE_SIZE; /* for NULL to fault */
		if (hi > RAM_MAX)
			hi = RAM_MAX;
		if (lo < hi)
			map_ram(info, (uintptr_t)lo, (uintptr_t)hi);
	}
	for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
		map_run(devices[i].lo, devices[i].hi, MAP_WRITE | MAP_DEVICE);
	clean_for_walks((uintptr_t)mmu_table, sizeof mmu_table);
	mmu_switch((uintptr_t)&mmu_table | TTBR_WALKS, SCTLR_WXN);
}

#pragma clang attribute pop
