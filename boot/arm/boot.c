/*
 * From start.S to kernel_start(): what the device tree says of memory and of the command line. The tree is where r2
 * points (Linux's boot protocol) or at the start of RAM (QEMU, for an ELF image). Without one that can be read, a
 * message, and the RAM that the board surely has. On provisional page tables, which reach a tree of TREE_MAX.
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

/* Calls add(base, size) for each entry of the node's reg. */
static void for_each_reg(const void *tree, int node, int parent, void (*add)(uint64_t base, uint64_t size))
{
	int address_cells = fdt_address_cells(tree, parent), size_cells = fdt_size_cells(tree, parent), length;
	const fdt32_t *reg = fdt_getprop(tree, node, "reg", &length);

	if (reg == NULL || address_cells < 1 || size_cells < 1)
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

static void read_memory(const void *tree)
{
	int node;

	fdt_for_each_subnode(node, tree, 0) if (property_is(tree, node, "device_type", "memory") &&
						!property_is(tree, node, "status", "disabled"))
		for_each_reg(tree, node, 0, add_ram);
}

static void read_reserved(const void *tree)
{
	int parent = fdt_path_offset(tree, "/reserved-memory"), node;
	uint64_t base, size;

	add_reserved((uintptr_t)tree, fdt_totalsize(tree));
	for (int i = 0; i < fdt_num_mem_rsv(tree); i++)
		if (fdt_get_mem_rsv(tree, i, &base, &size) == 0)
			add_reserved(base, size);
	if (parent >= 0)
		fdt_for_each_subnode(node, tree, parent) for_each_reg(tree, node, parent, add_reserved);
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

static void read_chosen(const void *tree)
{
	int chosen = fdt_path_offset(tree, "/chosen"), length;
	const char *arguments;

	if (chosen < 0)
		return;
	read_module(tree, chosen);
	arguments = fdt_getprop(tree, chosen, "bootargs", &length);
	if (arguments == NULL)
		return;
	if (length >= (int)sizeof info.command_line) {
		console_printf("boot: the command line is cut to %zu characters\n", sizeof info.command_line - 1);
		length = sizeof info.command_line - 1;
	}
	memcpy(info.command_line, arguments, (size_t)length); /* what follows is 0 */
}

/* ---- Finding it ---- */

static bool is_tree(uintptr_t address)
{
	return may_hold_tree(address) && address % 4 == 0 && fdt_magic(address) == FDT_MAGIC;
}

static const char *problem_with(const void *tree)
{
	int error = fdt_check_header(tree);

	if (error != 0)
		return fdt_strerror(error);
	if (fdt_totalsize(tree) > TREE_MAX)
		return "it is too large";
	read_memory(tree);
	return info.nram == 0 ? "it lists no memory" : NULL;
}

static void read_tree(uintptr_t r2)
{
	uintptr_t tree = is_tree(r2) ? r2 : BOARD_RAM_BASE;
	const char *problem = is_tree(tree) ? problem_with((const void *)tree) : "there is none";

	if (problem == NULL) {
		info.protocol = "device tree";
		read_reserved((const void *)tree);
		read_chosen((const void *)tree);
		return;
	}
	info.protocol = "none";
	console_printf("boot: device tree at %p: %s; taking %u MiB of RAM and no command line\n", (void *)tree, problem,
		       BOARD_RAM_SIZE >> 20);
	add_ram(BOARD_RAM_BASE, BOARD_RAM_SIZE);
}

void boot_main(uintptr_t r2)
{
	uart_init();
	cpu_check();
	clock_init();
	read_tree(r2);
	kernel_start(&info);
}
