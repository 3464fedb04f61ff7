/*
 * From start.S to kernel_start(): what the device tree says of memory and of the command line. The tree is where r2
 * points (Linux's boot protocol) or at the start of RAM (QEMU, for an ELF image). Without one that can be read, a
 * message, and the RAM that the board surely has. On provisional page tables, which reach a tree of TREE_MAX.
 *
 * libfdt checks the tree and reads properties; the nodes are found here, in one pass, and each that matters is read in
 * one. Rejected: its own walks, and its search for a property. They go byte by byte and anew for each question: three
 * walks took 560,000 instructions on QEMU's tree, and a dozen properties 15,000.
 */
#include <libfdt.h>
#include <string.h>

#include "arch/armv7a/cpu.h"

static struct boot_info info;

static __attribute__((noreturn)) void die(const char *what)
{
	console_printf("boot: %s\n", what);
	kernel_exit(2);
}

/* Debian's libfdt is compiled with a stack protector. newlib's has a constructor, and raises a signal. */
__attribute__((weak)) const uintptr_t __stack_chk_guard = 0xff0a0000; /* no string that runs on over it can write it */

__attribute__((weak, noreturn)) void __stack_chk_fail(void) { fatal("a function has written beyond its frame"); }

/* ---- Walking it ---- */

struct walk {
	const char *tree, *at, *end; /* at: the next tag */
	const char *node;	     /* the last node's tag */
	int depth;		     /* and its depth: the root's is 1 */
};

static struct walk walk_from_root(const char *tree)
{
	return (struct walk){.tree = tree, .at = tree + fdt_off_dt_struct(tree), .end = tree + fdt_totalsize(tree)};
}

/* Finds the next node, parents before children, and returns its name: NULL at the end, or where the tree is broken. The
 * node's properties are whole then (libfdt goes round for ever after a length of 4 GiB less 12). Names are padded with
 * zeros to whole words (Devicetree Specification 0.4, 5.4.1). */
static const char *next_node(struct walk *w)
{
	const char *at = w->at, *name = NULL;
	int left, size;

	for (; (left = w->end - at) >= (int)sizeof(struct fdt_property); at += size) {
		const struct fdt_property *tag = (const void *)at;

		size = FDT_TAGSIZE;
		if (__builtin_expect(fdt32_to_cpu(tag->tag) == FDT_PROP, 1)) {
			if (fdt32_to_cpu(tag->len) > (uint32_t)left)
				return NULL;
			size = (int)(sizeof *tag + (fdt32_to_cpu(tag->len) + 3 & ~3u));
		} else if (fdt32_to_cpu(tag->tag) == FDT_NOP) {
			continue;
		} else if (name != NULL) {
			w->at = at;
			return name;
		} else if (fdt32_to_cpu(tag->tag) == FDT_END_NODE) {
			w->depth--;
		} else if (fdt32_to_cpu(tag->tag) == FDT_BEGIN_NODE) {
			do {
				if ((size += 4) > left)
					return NULL;
			} while (at[size - 1] != '\0');
			w->node = at;
			w->depth++;
			name = at + FDT_TAGSIZE;
		} else
			return NULL;
	}
	return NULL;
}

/* The unit address after '@' is no part of a node's name; a property's has none. */
static inline bool is_named(const char *node, const char *name)
{
	for (; *node == *name; node++, name++)
		if (*name == '\0')
			return true;
	return *name == '\0' && *node == '@';
}

/* Which of the names; n: none. */
static int find(const char *name, const char *const *names, int n)
{
	int i = 0;

	while (i < n && !is_named(name, names[i]))
		i++;
	return i;
}

/* ---- Reading the tree ---- */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

static void add_ram(uint64_t base, uint64_t size)
{
	if (size == 0 || base + size < base || info.nram == (int)(sizeof info.ram / sizeof info.ram[0]))
		return; /* less RAM than there is does no harm */
	info.ram[info.nram++] = (struct boot_range){base, size};
}

static void add_reserved(uint64_t base, uint64_t size)
{
	if (size == 0)
		return;
	if (info.nreserved == (int)(sizeof info.reserved / sizeof info.reserved[0]))
		die("the device tree reserves more ranges than there is room for");
	info.reserved[info.nreserved++] = (struct boot_range){base, size};
}

static uint64_t read_cells(const fdt32_t *cells, int n)
{
	uint64_t value = 0;

	while (n-- > 0)
		value = value << 32 | fdt32_ld(cells++);
	return value;
}

/* What is asked of nodes, and the root's nodes that are asked: of those from CPUS on nothing unless there are several. */
enum { ADDRESS_CELLS, SIZE_CELLS, REG, STATUS, TYPE, BOOTARGS, INITRD_START, INITRD_END, METHOD, CPU_ON, PROPERTIES };
enum { MEMORY, CHOSEN, RESERVED_MEMORY, CPUS, PSCI, NODES };

static const char *const property_names[] = {
	[ADDRESS_CELLS] = "#address-cells",
	[SIZE_CELLS] = "#size-cells",
	[REG] = "reg",
	[STATUS] = "status",
	[TYPE] = "device_type",
	[BOOTARGS] = "bootargs",
	[INITRD_START] = "linux,initrd-start",
	[INITRD_END] = "linux,initrd-end",
	[METHOD] = "method",
	[CPU_ON] = "cpu_on",
};
static const char *const node_names[] = {
	[MEMORY] = "memory", [CHOSEN] = "chosen", [RESERVED_MEMORY] = "reserved-memory",
	[CPUS] = "cpus",     [PSCI] = "psci",
};

struct node {
	const fdt32_t *value[PROPERTIES]; /* NULL: it has none */
	int length[PROPERTIES];		  /* bytes */
};

static void read_node(const char *tree, const char *tag, struct node *node)
{
	int offset = tag - tree - fdt_off_dt_struct(tree);
	const char *name;
	const void *value;
	int at, i, length;

	memset(node, 0, sizeof *node);
	fdt_for_each_property_offset (at, tree, offset) {
		value = fdt_getprop_by_offset(tree, at, &name, &length);
		i = value == NULL ? PROPERTIES : find(name, property_names, PROPERTIES);
		if (i == PROPERTIES)
			continue;
		node->value[i] = value;
		node->length[i] = length;
	}
}

/* How many cells an address or a size has in the children of a node, 0 when that cannot be. */
static int count_cells(const struct node *parent, int property, int otherwise)
{
	uint32_t n = parent->length[property] == 4 ? fdt32_ld(parent->value[property]) : (uint32_t)otherwise;

	return n <= FDT_MAX_NCELLS ? (int)n : 0;
}

/* Calls add(base, size) for each entry of the node's reg. */
static void for_each_reg(const struct node *node, const struct node *parent, void (*add)(uint64_t base, uint64_t size))
{
	int address_cells = count_cells(parent, ADDRESS_CELLS, 2), size_cells = count_cells(parent, SIZE_CELLS, 1);
	int cells = address_cells + size_cells;
	const fdt32_t *reg = node->value[REG];

	if (address_cells == 0 || size_cells == 0)
		return;
	for (int left = node->length[REG] / 4; left >= cells; left -= cells, reg += cells)
		add(read_cells(reg, address_cells), read_cells(reg + address_cells, size_cells));
}

static bool property_is(const struct node *node, int property, const char *value)
{
	int length = node->length[property];

	return length == (int)strlen(value) + 1 && memcmp(node->value[property], value, (size_t)length) == 0;
}

static void read_memory(const struct node *memory, const struct node *root)
{
	if (property_is(memory, TYPE, "memory") && !property_is(memory, STATUS, "disabled"))
		for_each_reg(memory, root, add_ram);
}

static void read_reserved(const void *tree)
{
	uint64_t base, size;

	add_reserved((uintptr_t)tree, fdt_totalsize(tree));
	for (int i = 0; i < fdt_num_mem_rsv(tree); i++)
		if (fdt_get_mem_rsv(tree, i, &base, &size) == 0)
			add_reserved(base, size);
}

/* The initial RAM disk, when the loader brought one: a module like any. Its bounds are of one cell or two. */
static void read_module(const struct node *chosen)
{
	const int *length = chosen->length;

	if (length[INITRD_START] == 0 || length[INITRD_START] > 8 || length[INITRD_END] > 8)
		return;
	uint64_t base = read_cells(chosen->value[INITRD_START], length[INITRD_START] / 4);
	uint64_t limit = read_cells(chosen->value[INITRD_END], length[INITRD_END] / 4);

	if (base < limit)
		add_reserved(base, limit - base);
}

static void read_chosen(const struct node *chosen)
{
	int length = chosen->length[BOOTARGS];

	read_module(chosen);
	if (length >= (int)sizeof info.command_line) {
		console_printf("boot: the command line is cut to %zu characters\n", sizeof info.command_line - 1);
		length = sizeof info.command_line - 1;
	}
	if (length > 0)
		memcpy(info.command_line, chosen->value[BOOTARGS], (size_t)length); /* what follows is 0 */
}

/* ---- Other CPUs ---- */

/* Its reg is MPIDR's affinity fields, without a size. "disabled" says that it waits to be started, "fail" that it is
 * broken; no other word begins with an f. */
static void read_cpu(const struct node *cpu, const struct node *cpus)
{
	int cells = count_cells(cpus, ADDRESS_CELLS, 2);

	if (cpu->length[REG] < 4 || cpu->length[REG] < cells * 4)
		return;
	if (cpu->length[STATUS] > 0 && *(const char *)cpu->value[STATUS] == 'f')
		return;
	if (machine_cpus.count < MAX_CPUS)
		machine_cpus.mpidr[machine_cpus.count++] = (uint32_t)read_cells(cpu->value[REG], cells);
}

/* From PSCI 0.2 on the function's number is fixed; before, it is the tree's to say. */
static void read_psci(const struct node *psci)
{
	machine_cpus.cpu_on = psci->length[CPU_ON] == 4 ? fdt32_ld(psci->value[CPU_ON]) : 0x84000003;
	if (property_is(psci, METHOD, "hvc"))
		machine_cpus.psci = PSCI_HVC;
	if (property_is(psci, METHOD, "smc"))
		machine_cpus.psci = PSCI_SMC;
}

/* From /cpus on: its children. */
static void read_cpus(struct walk w)
{
	struct node cpus, cpu;
	const char *name;

	read_node(w.tree, w.node, &cpus);
	while ((name = next_node(&w)) != NULL && w.depth > 2)
		if (w.depth == 3 && is_named(name, "cpu")) {
			read_node(w.tree, w.node, &cpu);
			read_cpu(&cpu, &cpus);
		}
}

/* Of a lone CPU there is nothing to know. */
static void read_nodes(const void *tree)
{
	struct walk w = walk_from_root(tree), cpus = w;
	struct node root, parent, node; /* parent: of depth 2, where in is */
	int in = NODES, n = 0;
	const char *name, *psci = NULL;

	while ((name = next_node(&w)) != NULL) {
		if (w.depth == 1)
			read_node(tree, w.node, &root);
		if (w.depth == 3 && in == RESERVED_MEMORY) {
			read_node(tree, w.node, &node);
			for_each_reg(&node, &parent, add_reserved);
		}
		if (w.depth == 3 && in == CPUS)
			n += is_named(name, "cpu");
		if (w.depth != 2)
			continue;
		in = find(name, node_names, NODES);
		if (in < CPUS)
			read_node(tree, w.node, &parent);
		switch (in) {
		case MEMORY: read_memory(&parent, &root); break;
		case CHOSEN: read_chosen(&parent); break;
		case CPUS: cpus = w; break;
		case PSCI: psci = w.node; break;
		}
	}
	if (n > 1 && psci != NULL) {
		read_cpus(cpus);
		read_node(tree, psci, &node);
		read_psci(&node);
	} else
		machine_cpus.count = (unsigned)n; /* to be told of */
}

/* ---- Finding it ---- */

static bool is_tree(uintptr_t address)
{
	return may_hold_tree(address) && address % 4 == 0 && fdt_magic(address) == FDT_MAGIC;
}

static const char *problem_with(const void *tree)
{
	if (fdt_check_header(tree) != 0 || fdt_version(tree) < 16 || fdt_off_dt_struct(tree) % 4 != 0)
		return "its header is wrong";
	if (fdt_totalsize(tree) > TREE_MAX)
		return "it is too large";
	info.protocol = "device tree";
	read_reserved(tree);
	read_nodes(tree);
	return info.nram == 0 ? "it lists no memory" : NULL;
}

static void read_tree(uintptr_t r2)
{
	uintptr_t tree = is_tree(r2) ? r2 : BOARD_RAM_BASE;
	const char *problem;

	info.protocol = "none";
	problem = is_tree(tree) ? problem_with((const void *)tree) : "there is none";
	if (problem == NULL)
		return;
	console_printf("boot: device tree at %p: %s; taking %u MiB of RAM\n", (void *)tree, problem,
		       BOARD_RAM_SIZE >> 20);
	add_ram(BOARD_RAM_BASE, BOARD_RAM_SIZE);
}

void boot_main(uintptr_t r2)
{
	cpus_init();
	uart_init();
	cpu_check();
	clock_init();
	read_tree(r2);
	kernel_start(&info);
}

#pragma clang attribute pop
