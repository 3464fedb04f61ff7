/*
 * From start.S to kernel_start(): what the device tree says of memory and of the command line. The tree is where r2
 * points (Linux's boot protocol) or at the start of RAM (QEMU, for an ELF image). Without one that can be read, a
 * message, and the RAM that the board surely has. On provisional page tables, which reach a tree of TREE_MAX.
 *
 * libfdt checks the tree and reads properties; the nodes are found here, in one pass. Rejected: its own walks. They go
 * byte by byte and anew for each question, and three of them took 560,000 instructions on QEMU's tree.
 */
#include <libfdt.h>
#include <string.h>

#include "arch/armv7a/cpu.h"

#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* but for the walk */

static struct boot_info info;

static __attribute__((noreturn)) void die(const char *what)
{
	console_printf("boot: %s\n", what);
	kernel_exit(2);
}

/* ---- Reading the tree ---- */

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

/* How many cells an address or a size has in the children of a node, 0 when that cannot be. */
static int count_cells(const void *tree, int parent, const char *name, int otherwise)
{
	int length;
	const fdt32_t *property = fdt_getprop(tree, parent, name, &length);
	uint32_t n = property != NULL && length == sizeof *property ? fdt32_ld(property) : (uint32_t)otherwise;

	return n <= FDT_MAX_NCELLS ? (int)n : 0;
}

/* Calls add(base, size) for each entry of the node's reg. */
static void for_each_reg(const void *tree, int node, int parent, void (*add)(uint64_t base, uint64_t size))
{
	int address_cells = count_cells(tree, parent, "#address-cells", 2);
	int size_cells = count_cells(tree, parent, "#size-cells", 1), length;
	const fdt32_t *reg = fdt_getprop(tree, node, "reg", &length);

	if (reg == NULL || address_cells == 0 || size_cells == 0)
		return;
	for (int left = length / 4; left >= address_cells + size_cells; left -= address_cells + size_cells) {
		add(read_cells(reg, address_cells), read_cells(reg + address_cells, size_cells));
		reg += address_cells + size_cells;
	}
}

static bool property_is(const void *tree, int node, const char *name, const char *value)
{
	int length;
	const char *property = fdt_getprop(tree, node, name, &length);

	return property != NULL && length == (int)strlen(value) + 1 && memcmp(property, value, (size_t)length) == 0;
}

static void read_memory(const void *tree, int node)
{
	if (property_is(tree, node, "device_type", "memory") && !property_is(tree, node, "status", "disabled"))
		for_each_reg(tree, node, 0, add_ram);
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
static void read_module(const void *tree, int chosen)
{
	int start_length, end_length;
	const fdt32_t *start = fdt_getprop(tree, chosen, "linux,initrd-start", &start_length);
	const fdt32_t *end = fdt_getprop(tree, chosen, "linux,initrd-end", &end_length);

	if (start == NULL || end == NULL || start_length > 8 || end_length > 8)
		return;
	uint64_t base = read_cells(start, start_length / 4), limit = read_cells(end, end_length / 4);

	if (base < limit)
		add_reserved(base, limit - base);
}

static void read_chosen(const void *tree, int chosen)
{
	int length;
	const char *arguments = fdt_getprop(tree, chosen, "bootargs", &length);

	read_module(tree, chosen);
	if (arguments == NULL)
		return;
	if (length >= (int)sizeof info.command_line) {
		console_printf("boot: the command line is cut to %zu characters\n", sizeof info.command_line - 1);
		length = sizeof info.command_line - 1;
	}
	memcpy(info.command_line, arguments, (size_t)length); /* what follows is 0 */
}

#pragma clang attribute pop

/* ---- Walking it ---- */

struct walk {
	const char *tree;
	uint32_t at;	 /* bytes from the tree's start to the next tag */
	int depth, node; /* of the last node found: the root's depth is 1; node is what libfdt means by it */
};

/* Finds the next node, parents before children, and returns its name: NULL at the end, or where the tree is broken. */
static const char *next_node(struct walk *w)
{
	uint32_t end = fdt_totalsize(w->tree);
	const char *name = NULL;

	while (name == NULL && w->at + sizeof(struct fdt_property) <= end) {
		const struct fdt_property *tag = (const void *)(w->tree + w->at);
		uint64_t size = FDT_TAGSIZE;

		switch (fdt32_ld(&tag->tag)) {
		case FDT_BEGIN_NODE:
			name = w->tree + w->at + size;
			size += strnlen(name, end - w->at - size) + 1;
			w->node = (int)(w->at - fdt_off_dt_struct(w->tree));
			w->depth++;
			break;
		case FDT_PROP: size = sizeof *tag + (uint64_t)fdt32_ld(&tag->len); break;
		case FDT_END_NODE: w->depth--; break;
		case FDT_NOP: break;
		default: return NULL;
		}
		if (size > end - w->at)
			return NULL;
		w->at += ((uint32_t)size + 3) & ~3u;
	}
	return name;
}

/* The unit address after '@' is no part of the name. */
static bool is_named(const char *node, const char *name)
{
	while (*name != '\0')
		if (*node++ != *name++)
			return false;
	return *node == '\0' || *node == '@';
}

/* ---- Other CPUs ---- */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

/* Its reg is MPIDR's affinity fields, without a size. "disabled" says that it waits to be started, "fail" that it is
 * broken. */
static void read_cpu(const void *tree, int node, int parent)
{
	int length, cells = count_cells(tree, parent, "#address-cells", 2);
	const fdt32_t *reg = fdt_getprop(tree, node, "reg", &length);
	const char *status = fdt_getprop(tree, node, "status", NULL); /* no other word begins with an f */

	if (reg == NULL || length < cells * 4 || (status != NULL && *status == 'f'))
		return;
	if (machine_cpus.count < MAX_CPUS)
		machine_cpus.mpidr[machine_cpus.count++] = (uint32_t)read_cells(reg, cells);
}

/* From PSCI 0.2 on the function's number is fixed; before, it is the tree's to say. */
static void read_psci(const void *tree, int node)
{
	const fdt32_t *cpu_on = fdt_getprop(tree, node, "cpu_on", NULL);

	machine_cpus.cpu_on = cpu_on != NULL ? fdt32_ld(cpu_on) : 0x84000003;
	if (property_is(tree, node, "method", "hvc"))
		machine_cpus.psci = PSCI_HVC;
	if (property_is(tree, node, "method", "smc"))
		machine_cpus.psci = PSCI_SMC;
}

/* From /cpus on: its children, and how they are started. */
static void read_cpus(struct walk w, int psci)
{
	int cpus = w.node;
	const char *name;

	while ((name = next_node(&w)) != NULL && w.depth > 2)
		if (w.depth == 3 && is_named(name, "cpu"))
			read_cpu(w.tree, w.node, cpus);
	read_psci(w.tree, psci);
}

/* Of a lone CPU there is nothing to know. */
static void read_nodes(const void *tree)
{
	struct walk w = {.tree = tree, .at = fdt_off_dt_struct(tree)}, cpus = w;
	int reserved = -1, psci = -1, n = 0; /* reserved: the node whose children are now met */
	const char *name;

	while ((name = next_node(&w)) != NULL) {
		if (w.depth == 3 && reserved >= 0)
			for_each_reg(tree, w.node, reserved, add_reserved);
		n += w.depth == 3 && is_named(name, "cpu");
		if (w.depth != 2)
			continue;
		reserved = is_named(name, "reserved-memory") ? w.node : -1;
		if (is_named(name, "memory"))
			read_memory(tree, w.node);
		if (is_named(name, "chosen"))
			read_chosen(tree, w.node);
		if (is_named(name, "cpus"))
			cpus = w;
		if (is_named(name, "psci"))
			psci = w.node;
	}
	if (n > 1 && cpus.depth == 2 && psci >= 0)
		read_cpus(cpus, psci);
	else
		machine_cpus.count = (unsigned)n; /* to be told of */
}

/* ---- Finding it ---- */

static bool is_tree(uintptr_t address)
{
	return may_hold_tree(address) && address % 4 == 0 && fdt_magic(address) == FDT_MAGIC;
}

static const char *problem_with(const void *tree)
{
	if (fdt_check_header(tree) != 0 || fdt_version(tree) < 16)
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
