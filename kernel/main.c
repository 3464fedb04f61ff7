/*
 * From the port's entry to the runtime, in DESIGN.md's order: g0 first, on the bounds that the linker knows, then
 * memory, then page tables (from here on the guard page is absent), then Go's part.
 */
#include "board.h"
#include "kernel/kernel.h"

static void print_banner(const struct boot_info *info)
{
	size_t mib = frames_total() / (1024 * 1024 / PAGE_SIZE);

	console_printf("Socle " SOCLE_VERSION " on " ARCH_NAME " " BOARD_NAME ", %zu MiB of RAM free, booted by %s\n",
		       mib, info->protocol);
}

void kernel_start(struct boot_info *info)
{
	runtime_init_g0(info->command_line);
	frames_init(info);
	print_banner(info);
	arch_start(info);
	runtime_start();
}
