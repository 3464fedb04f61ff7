/*
 * Which stacks there are and how they stand: the fixed ones from linker.ld, the arena's, and fibers'. Reports call this on
 * handlers' stacks, so nothing here is checked, takes a lock or allocates.
 */
#include <errno.h>
#include <string.h>

#include "runtime/runtime.h"

#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)
#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* nobody waits for it */

#define CELLS 32
#define MAP_LIMIT 24 /* arena stacks drawn; of more, their number is told */

static void query_fixed(const struct fixed_stack *f, struct socle_stack_info *out)
{
	*out = (struct socle_stack_info){
		.owner = f->name,
		.kind = f->name == fixed_stacks[0].name ? SOCLE_STACK_BOOT : SOCLE_STACK_HANDLER,
		.id = f->cpu,
		.guard_lo = f->guard,
		.lo = f->lo,
		.hi = f->hi,
		.high_water = f->lo,
	};
}

#define READ(to, from) vm_read(&(to), (uintptr_t) & (from), sizeof(to))

/* Its name and number. What is gone meanwhile stays as it is. */
static void query_owner(const struct g *g, enum stack_kind kind, struct socle_stack_info *out)
{
	const char *name = NULL;
	struct m *m;

	if (READ(name, g->name) && name != NULL)
		out->owner = name;
	if (kind == STACK_GOROUTINE)
		READ(out->id, g->id);
	else if (READ(m, g->m))
		READ(out->id, m->id);
}

/* Another CPU's stack may end at any time, and its page go. False: it has. */
static bool query_arena(const struct stack *s, struct socle_stack_info *out)
{
	static const enum socle_stack_kind kinds[] = {SOCLE_STACK_GOROUTINE, SOCLE_STACK_G0, SOCLE_STACK_FOREIGN,
						      SOCLE_STACK_THREAD};
	struct stack copy, before;

	chaos_stall();
	do /* the page may have gone and come back in the middle of one */
		if (!READ(before, *s) || !READ(copy, *s) || !copy.in_use)
			return false;
	while (memcmp(&before, &copy, offsetof(struct stack, class)) != 0);
	*out = (struct socle_stack_info){
		.owner = copy.kind == STACK_FOREIGN ? "foreign call" : "unnamed",
		.kind = kinds[copy.kind],
		.guard_lo = copy.guard,
		.lo = copy.lo,
		.hi = copy.hi,
		.high_water = copy.touched,
	};
	if (copy.kind != STACK_FOREIGN)
		query_owner((const struct g *)copy.hi, copy.kind, out);
	return true;
}

/* Memory of the foreign code's own: without a guard, and nobody can tell how much of it was used. */
static void query_fiber(const struct fiber *f, struct socle_stack_info *out)
{
	struct bounds b = fiber_bounds(f);

	*out = (struct socle_stack_info){
		.owner = "fiber",
		.kind = SOCLE_STACK_FIBER,
		.guard_lo = b.lo,
		.lo = b.lo,
		.hi = b.hi,
		.high_water = b.lo,
	};
}

/* Apart from the query: it looks at every page, and a traceback queries for every frame. */
static size_t backed(const struct socle_stack_info *info)
{
	size_t bytes = 0;

	for (uintptr_t page = info->high_water & ~(uintptr_t)(PAGE_SIZE - 1); page < info->hi; page += PAGE_SIZE)
		bytes += vm_present(page) ? PAGE_SIZE : 0;
	return bytes;
}

bool stack_query(uintptr_t address, struct socle_stack_info *out)
{
	struct stack *s = stack_find(address);
	const struct fiber *f;

	for (const struct fixed_stack *f = fixed_stacks; f->name != NULL; f++) {
		if (address >= f->guard && address < f->hi) {
			query_fixed(f, out);
			return true;
		}
	}
	if (s != NULL)
		return query_arena(s, out);
	if ((f = fiber_find(address)) != NULL)
		query_fiber(f, out);
	return f != NULL;
}

int socle_stack_query(const void *addr, struct socle_stack_info *out)
{
	if (stack_query(addr != NULL ? (uintptr_t)addr : (uintptr_t)__builtin_frame_address(0), out)) {
		out->backed = backed(out);
		return 0;
	}
	errno = ENOENT;
	return -1;
}

void print_owner(const struct socle_stack_info *info)
{
	switch (info->kind) {
	case SOCLE_STACK_BOOT: console_printf(info->id == 0 ? "m0's g0 (boot stack)" : "boot"); break;
	case SOCLE_STACK_HANDLER: console_printf("%s handler", info->owner); break;
	case SOCLE_STACK_GOROUTINE: console_printf("goroutine %lu (%s)", info->id, info->owner); break;
	case SOCLE_STACK_G0: console_printf("m%lu's g0", info->id); break;
	case SOCLE_STACK_THREAD: console_printf("foreign thread %lu", info->id); break;
	case SOCLE_STACK_FOREIGN: console_printf("a foreign call's own"); break;
	case SOCLE_STACK_FIBER: console_printf("a fiber of foreign code"); break;
	}
	if ((info->kind == SOCLE_STACK_BOOT || info->kind == SOCLE_STACK_HANDLER) && info->id > 0)
		console_printf(" of CPU %lu", info->id);
}

/* One line: low addresses left. '.' reserved, '#' used at some time, '@' where SP is. */
static void draw(const struct socle_stack_info *info, uintptr_t sp)
{
	uintptr_t cell = (info->hi - info->lo + CELLS - 1) / CELLS;

	console_printf("  %p %5zu KiB %5zu KiB |", (void *)info->lo, (info->hi - info->lo + 1023) / 1024,
		       backed(info) / 1024);
	for (int i = 0; i < CELLS; i++) {
		uintptr_t lo = info->lo + (uintptr_t)i * cell;
		char c = lo + cell > info->high_water ? '#' : '.';

		if (sp >= lo && sp < lo + cell)
			c = '@';
		console_write(&c, 1);
	}
	console_printf("| ");
	print_owner(info);
	console_printf("\n");
}

void stack_map(uintptr_t sp)
{
	struct socle_stack_info info;
	int drawn = 0;

	console_printf(
		"stacks: each stands on a guard that is absent from the page tables; '#' used, '.' reserved, '@' SP\n"
		"  %-*s %9s %9s\n",
		(int)(2 * sizeof(void *)), "lowest", "size", "backed");
	for (const struct fixed_stack *f = fixed_stacks; f->name != NULL; f++) {
		query_fixed(f, &info);
		draw(&info, sp);
	}
	for (struct fiber *f = fiber_next(NULL); f != NULL; f = fiber_next(f)) {
		query_fiber(f, &info);
		draw(&info, sp);
	}
	for (struct stack *s = stack_next(NULL); s != NULL && drawn < MAP_LIMIT; s = stack_next(s)) {
		if (!query_arena(s, &info))
			continue;
		draw(&info, sp);
		drawn++;
	}
	if (stacks_in_use() > MAP_LIMIT)
		console_printf("  ... and %zu more\n", stacks_in_use() - MAP_LIMIT);
}

void socle_stack_map(void) { stack_map((uintptr_t)__builtin_frame_address(0)); }

#pragma clang attribute pop
#pragma clang attribute pop
