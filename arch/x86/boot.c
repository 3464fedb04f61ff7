/*
 * From start.S to kernel_start(): what the loader left, in one of three formats, becomes a struct boot_info. All
 * three say the same: the memory map, a command line, modules. They say it in structures that may lie anywhere
 * below 4 GiB, in memory that the map calls usable; so everything is copied out here, before anybody allocates,
 * and only the modules are reserved. The first MiB is too: firmware's data, the legacy holes, and the page that
 * starting another CPU will need. Where a loader is broken or tells nothing, we say so and stop: a guess at how
 * much RAM there is would be found out much later.
 *
 * References: xen/include/public/arch-x86/hvm/start_info.h; Multiboot Specification 0.6.96; Multiboot2 2.0.
 */
#include "arch/x86/x86.h"

enum {
	MB1_MAGIC = 0x2badb002, /* in EAX */
	MB2_MAGIC = 0x36d76289,
	PVH_MAGIC = 0x336ec578, /* in the structure */
	RAM = 1,		/* the type of usable memory, in each of the three */
	LOW_MEMORY = 0x100000,
	VIDEO_MEMORY = 0xa0000,
};

struct pvh_info {
	uint32_t magic, version, flags, nmodules;
	uint64_t modules, command_line, rsdp;
	uint64_t map; /* from here: version 1 */
	uint32_t nmap, unused;
};
struct pvh_module {
	uint64_t base, size, command_line, unused;
};
struct pvh_range {
	uint64_t base, size;
	uint32_t type, unused;
};

struct mb1_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, command_line, nmodules, modules, syms[4], map_size, map;
	uint32_t drives[2], config, loader;
};
enum { MB1_MEMORY = 1, MB1_COMMAND_LINE = 4, MB1_MODULES = 8, MB1_MAP = 64, MB1_LOADER = 512 };
struct mb1_range {
	uint32_t size; /* of what follows */
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));
struct mb1_module {
	uint32_t start, end, command_line, unused;
};

struct mb2_tag {
	uint32_t type, size;
};
enum { MB2_END = 0, MB2_COMMAND_LINE = 1, MB2_MODULE = 3, MB2_MAP = 6, MB2_RSDP_V0 = 14, MB2_RSDP = 15 };
struct mb2_map {
	struct mb2_tag tag;
	uint32_t entry_size, entry_version;
};
struct mb2_range {
	uint64_t base, length;
	uint32_t type, unused;
};
struct mb2_module {
	struct mb2_tag tag;
	uint32_t start, end;
};

extern char image_start[], image_end[];

static struct boot_info info;
const void *boot_rsdp;

/* Nothing is known of RAM, or it cannot be true: there is no going on. */
static void stop(const char *why) __attribute__((noreturn));
static void stop(const char *why)
{
	console_printf("Socle: boot by %s: %s. Stopped.\n", info.protocol, why);
	uart_flush();
	machine_exit(2);
}

/* What lies at a physical address, which start.S made reachable up to 4 GiB. */
static const void *at(uint64_t address, uint64_t size, const char *what)
{
	if (address == 0 || address + size < address || address + size > 1ull << 32)
		stop(what);
	return (const void *)(uintptr_t)address;
}

static void add(struct boot_range *ranges, int *n, int max, uint64_t base, uint64_t size)
{
	if (base + size < base)
		size = -base; /* to the end of the address space, and no further */
	if (size == 0)
		return;
	if (*n == max)
		stop("too many ranges of memory");
	ranges[(*n)++] = (struct boot_range){base, size};
}

static void add_range(uint64_t base, uint64_t size, uint32_t type)
{
	if (type == RAM)
		add(info.ram, &info.nram, sizeof info.ram / sizeof info.ram[0], base, size);
}

static void reserve(uint64_t base, uint64_t size)
{
	add(info.reserved, &info.nreserved, sizeof info.reserved / sizeof info.reserved[0], base, size);
}

/* Multiboot 1's header on x86_64 speaks of text and data only; the stacks come before, and a loader that knows no
 * better may put a module there (GRUB does: its multiboot2 reads the whole ELF file and does not). */
static void reserve_module(uint64_t base, uint64_t size)
{
	if (base < (uintptr_t)image_end && base + size > (uintptr_t)image_start)
		stop("a module lies inside the image (Multiboot 2 would know better)");
	reserve(base, size);
}

/* A longer line is cut. */
static void set_command_line(const char *line)
{
	size_t n = 0;

	while (*line == ' ')
		line++;
	for (; line[n] && n < sizeof info.command_line - 1; n++)
		info.command_line[n] = line[n];
	info.command_line[n] = 0;
}

/* ---- PVH ---- */

static void parse_pvh(const struct pvh_info *pvh)
{
	const struct pvh_range *map;
	const struct pvh_module *modules;

	if (pvh->version < 1)
		stop("the start info is of version 0, which has no memory map");
	map = at(pvh->map, pvh->nmap * sizeof *map, "the memory map is out of reach");
	for (uint32_t i = 0; i < pvh->nmap; i++)
		add_range(map[i].base, map[i].size, map[i].type);
	if (pvh->command_line)
		set_command_line(at(pvh->command_line, 1, "the command line is out of reach"));
	if (pvh->rsdp && pvh->rsdp >> 32 == 0)
		boot_rsdp = (const void *)(uintptr_t)pvh->rsdp;
	if (pvh->nmodules == 0)
		return;
	modules = at(pvh->modules, pvh->nmodules * sizeof *modules, "the list of modules is out of reach");
	for (uint32_t i = 0; i < pvh->nmodules; i++)
		reserve_module(modules[i].base, modules[i].size);
}

/* ---- Multiboot 1 ---- */

static bool starts_with(const char *text, const char *start)
{
	while (*start && *text == *start)
		text++, start++;
	return *start == 0;
}

/* QEMU puts the image's file name in front, as the specification has it; GRUB 2 does not. */
static const char *skip_file_name(const struct mb1_info *mb, const char *line)
{
	if (mb->flags & MB1_LOADER && mb->loader && starts_with(at(mb->loader, 4, "the loader's name"), "qemu"))
		while (*line && *line != ' ')
			line++;
	return line;
}

static void parse_mb1_map(uint32_t map, uint32_t size)
{
	const struct mb1_range *range;

	at(map, size, "the memory map is out of reach");
	for (uint32_t offset = 0; offset + sizeof *range <= size; offset += range->size + sizeof range->size) {
		range = (const void *)(uintptr_t)(map + offset);
		if (range->size < sizeof *range - sizeof range->size || range->size > size)
			stop("the memory map is damaged");
		add_range(range->base, range->length, range->type);
	}
}

static void parse_mb1(const struct mb1_info *mb)
{
	const struct mb1_module *modules;

	if (mb->flags & MB1_MAP)
		parse_mb1_map(mb->map, mb->map_size);
	else if (mb->flags & MB1_MEMORY)
		add_range(LOW_MEMORY, (uint64_t)mb->mem_upper * 1024, RAM);
	if (mb->flags & MB1_COMMAND_LINE && mb->command_line)
		set_command_line(skip_file_name(mb, at(mb->command_line, 1, "the command line is out of reach")));
	if (!(mb->flags & MB1_MODULES) || mb->nmodules == 0)
		return;
	modules = at(mb->modules, (uint64_t)mb->nmodules * sizeof *modules, "the list of modules is out of reach");
	for (uint32_t i = 0; i < mb->nmodules; i++)
		reserve_module(modules[i].start, modules[i].end - modules[i].start);
}

/* ---- Multiboot 2 ---- */

static void parse_mb2_map(const struct mb2_map *map)
{
	uint32_t size = map->entry_size;

	if (size < sizeof(struct mb2_range))
		stop("the memory map is damaged");
	for (uint32_t offset = sizeof *map; offset + size <= map->tag.size; offset += size) {
		const struct mb2_range *range = (const void *)((const char *)map + offset);

		add_range(range->base, range->length, range->type);
	}
}

static void parse_mb2_tag(const struct mb2_tag *tag)
{
	const struct mb2_module *module = (const void *)tag;

	switch (tag->type) {
	case MB2_COMMAND_LINE: set_command_line((const char *)(tag + 1)); break;
	case MB2_MODULE: reserve_module(module->start, module->end - module->start); break;
	case MB2_MAP: parse_mb2_map((const void *)tag); break;
	case MB2_RSDP_V0:
	case MB2_RSDP: boot_rsdp = tag + 1; break; /* a copy; the newer comes last */
	}
}

static void parse_mb2(const uint32_t *mb2)
{
	const struct mb2_tag *tag;
	uint32_t total = mb2[0];

	at((uintptr_t)mb2, total, "the information is out of reach");
	for (uint32_t offset = 8; offset + sizeof *tag <= total; offset += (tag->size + 7) & ~7u) {
		tag = (const void *)((const char *)mb2 + offset);
		if (tag->type == MB2_END)
			return;
		if (tag->size < sizeof *tag || tag->size > total - offset)
			stop("the information is damaged");
		parse_mb2_tag(tag);
	}
}

/* ---- */

/* PVH's own magic goes first: qboot enters by PVH with Multiboot's in EAX. To Multiboot 1 it would be flags that
 * do not exist, to Multiboot 2 a size of 800 MiB. */
static void parse(uint32_t magic, uint32_t address)
{
	const struct pvh_info *pvh;

	info.protocol = "none";
	pvh = at(address, sizeof *pvh, "the loader left nothing: neither PVH nor Multiboot");
	reserve(0, LOW_MEMORY);
	if (pvh->magic == PVH_MAGIC) {
		info.protocol = "PVH";
		parse_pvh(pvh);
	} else if (magic == MB1_MAGIC) {
		info.protocol = "Multiboot 1";
		parse_mb1((const void *)pvh);
	} else if (magic == MB2_MAGIC) {
		info.protocol = "Multiboot 2";
		parse_mb2((const void *)pvh);
	} else {
		stop("the loader speaks neither PVH nor Multiboot");
	}
	if (info.nram == 0)
		stop("the loader says there is no RAM");
}

/* The highest that the loader calls RAM: the lowest have the firmware's data. */
uintptr_t boot_low_page(void)
{
	uintptr_t page = 0;

	for (int i = 0; i < info.nram; i++) {
		uint64_t base = info.ram[i].base, end = base + info.ram[i].size;

		end = (end < VIDEO_MEMORY ? end : VIDEO_MEMORY) & -(uint64_t)PAGE_SIZE;
		if (end >= base + PAGE_SIZE && end - PAGE_SIZE > page)
			page = end - PAGE_SIZE;
	}
	return page;
}

void boot_main(uint32_t magic, uint32_t address)
{
	cpus_init();
	cpu_init(0, fixed_stacks);
	uart_init();
	parse(magic, address);
	acpi_find_cpus(boot_rsdp);
	kernel_start(&info);
}
