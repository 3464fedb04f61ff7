/*
 * Says what the page tables are to hold, `map: NAME LO HI PERM` a line, then `map: done`, and waits for
 * test_tables.py, which reads the tables from outside and ends the image. Left alone, it ends after 30 s.
 */
#include <stdio.h>

#include "kernel/kernel.h"
#include "socle.h"

extern char text_start[], text_end[], rodata_start[], rodata_end[], data_start[], bss_end[];

static void map(const char *name, const char *part, uintptr_t lo, uintptr_t hi, const char *rights)
{
	printf("map: %s%s %#lx %#lx %s\n", name, part, (unsigned long)lo, (unsigned long)hi, rights);
}

int main(void)
{
	struct socle_stack_info mine;
	uintptr_t top;

	map("page-0", "", 0, PAGE_SIZE, "---");
	map("text", "", (uintptr_t)text_start, (uintptr_t)text_end, "r-x");
	map("rodata", "", (uintptr_t)rodata_start, (uintptr_t)rodata_end, "r--");
	map("data", "", (uintptr_t)data_start, (uintptr_t)bss_end, "rw-");
#ifdef BOARD_RAM_BASE
	map("device-tree", "", BOARD_RAM_BASE, BOARD_RAM_BASE + PAGE_SIZE, "---"); /* reserved: QEMU puts it there */
#endif
	for (const struct fixed_stack *s = fixed_stacks; s->name != NULL; s++) {
		map(s->name, "-guard", s->guard, s->lo, "---");
		map(s->name, "-stack", s->lo, s->hi, "rw-");
	}
	if (socle_stack_query(NULL, &mine) == 0) {
		map("goroutine", "-guard", mine.guard_lo, mine.lo, "---");
		top = (mine.hi + PAGE_SIZE - 1) & ~(uintptr_t)(PAGE_SIZE - 1); /* the goroutine itself lies at hi */
		map("goroutine", "-backed", top - mine.backed, top, "rw-");
	}
	printf("map: done\n");
	socle_sleep(30000000000);
	return 0;
}
