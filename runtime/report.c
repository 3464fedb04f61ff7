/*
 * What goes wrong, told: where, on which stack, how it got there. Runs on handlers' stacks and on what is left of a
 * stack that overflowed: nothing here is checked, takes a lock or allocates.
 */
#include "runtime/runtime.h"

#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)
#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* nobody waits for it */

#define MAX_FRAMES 1000 /* a chain that leads in a circle through several stacks must end too */
#define MAX_WAITING 64

/* ---- Traceback ---- */

static void print_frame(int n, uintptr_t pc, uintptr_t lookup)
{
	size_t offset;
	const char *name = symbol_name(lookup, &offset);

	console_printf("  #%-2d %p %s+0x%zx\n", n, (void *)pc, name, offset + (pc - lookup));
}

/* A frame record is {caller's record, return address} on all three architectures. It must lie in a stack that we know,
 * above the last one where the stack is the same: anything else ends the list rather than the image. */
static bool valid_record(uintptr_t fp, const struct socle_stack_info *info)
{
	return fp % sizeof(uintptr_t) == 0 && fp >= info->lo && fp + 2 * sizeof(uintptr_t) <= info->hi &&
	       vm_present(fp);
}

static void print_stack(const struct socle_stack_info *info)
{
	console_printf("    on the stack of ");
	print_owner(info);
	console_printf(":\n");
}

/* A run of the same return address (recursion) is told in one line. */
static bool repeated(uintptr_t pc, uintptr_t *last, size_t *times)
{
	if (pc == *last) {
		++*times;
		return true;
	}
	if (*times > 0)
		console_printf("      ... and again, %zu times\n", *times);
	*last = pc;
	*times = 0;
	return false;
}

/* Starts at pc, where that is known exactly, and link (struct trap's); otherwise at the record that fp points to. */
void traceback(uintptr_t pc, uintptr_t link, uintptr_t sp, uintptr_t fp)
{
	struct socle_stack_info here = {0}, next;
	uintptr_t last = 0;
	size_t times = 0;
	int n = 0, printed = 0;

	if (stack_query(sp, &here))
		print_stack(&here);
	here.high_water = 0;
	if (pc != 0)
		print_frame(n++, pc, pc);
	if (link != 0)
		print_frame(n++, link, link - 1);
	while (printed < MAX_FRAMES && fp != 0 && stack_query(fp, &next) && valid_record(fp, &next)) {
		const uintptr_t *record = (const uintptr_t *)fp;

		if (next.lo != here.lo)
			print_stack(&next);
		else if (fp <= here.high_water)
			break; /* frames go up: this is no chain, or a loop */
		here = next;
		here.high_water = fp;
		if (record[1] == 0)
			break;
		if (!repeated(record[1], &last, &times)) {
			print_frame(n, record[1], record[1] - 1); /* the call: what follows may be the next function */
			printed++;
		}
		n++;
		fp = record[0];
	}
	repeated(0, &last, &times);
	if (printed == MAX_FRAMES)
		console_printf("      ... and more\n");
}

void socle_traceback(void)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);

	console_printf("traceback:\n");
	traceback(0, 0, frame, frame);
}

/* ---- Report ---- */

static bool describe(const char *what, uintptr_t address)
{
	struct socle_stack_info info;

	/* An empty stack's SP is just above it. */
	if ((!stack_query(address - 1, &info) || address <= info.lo) && !stack_query(address, &info))
		return false;
	console_printf("  %s %p is ", what, (void *)address);
	if (address < info.lo)
		console_printf("%zu bytes past the end of the stack, in the guard, of ", (size_t)(info.lo - address));
	else
		console_printf("%zu bytes deep in the stack of ", (size_t)(info.hi - address));
	print_owner(&info);
	console_printf(" [%p, %p)\n", (void *)info.lo, (void *)info.hi);
	return true;
}

static void print_current(const struct tcb *tcb)
{
	const struct g *g = (const struct g *)tcb, *current;

	if (g == NULL || g->m == NULL)
		return;
	current = g->m->current;
	console_printf("  running: %s%u", is_foreign_thread(&g->m->g0) ? "foreign thread " : "m", g->m->id);
	if (current != NULL && !is_foreign_thread(current))
		console_printf(", goroutine %lu (%s)", current->id, g_name(current));
	if (current != NULL && current->callbacks > 0)
		console_printf(", %u callbacks deep", current->callbacks);
	if (cpu_count() > 1)
		console_printf(", on CPU %u", arch_cpu());
	console_printf("\n");
}

static const char *const status_words[] = {"dead", "runnable", "running", "waiting", "waiting"};

/* Where it stands is in registers that were not saved. */
static void print_running(const struct g *g)
{
	if (!is_foreign_thread(g) && g->m->thread.cpu != arch_cpu())
		console_printf("goroutine %lu (%s), running on CPU %u\n", g->id, g_name(g), g->m->thread.cpu);
}

static void print_waiting(void)
{
	int n = 0;

	for (const struct g *g = all_gs(); g != NULL && n < MAX_WAITING; g = g->all) {
		bool in_foreign_code = g->m != NULL && g->m->current == g; /* what it runs on is a thread's */
		uintptr_t sp = (uintptr_t)(in_foreign_code ? g->m->g0.tcb.sp : g->tcb.sp);

		if (g->status == G_RUNNING)
			print_running(g);
		if (g->status != G_WAITING && g->status != G_RUNNABLE)
			continue;
		n++;
		if (is_foreign_thread(g))
			console_printf("foreign thread %lu, %s", g->id, status_words[g->status]);
		else
			console_printf("goroutine %lu (%s), %s", g->id, g_name(g), status_words[g->status]);
		if (g->status == G_WAITING)
			console_printf(": %s %p", g->waiting_for, g->waiting_on);
		console_printf("\n");
		traceback(0, 0, sp, sp + CONTEXT_FP);
	}
}

void runtime_report(const struct trap *t, uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
	struct tcb *tcb = t != NULL ? t->tcb : arch_tcb();

	if (arch_tcb() != NULL) {
		arch_tcb()->stack_limit = 0; /* the image ends: let nothing that is checked get in the way */
		arch_set_tcb(arch_tcb());
	}
	if (t != NULL && t->kind == TRAP_MEMORY)
		describe("the address", t->addr);
	if (!describe("SP", sp) && t != NULL && left_stack(t))
		console_printf("  SP %p is outside the current stack [%p, %p)\n", (void *)sp,
			       (void *)((const struct g *)tcb)->lo, (void *)((const struct g *)tcb)->hi);
	print_current(tcb);
	if (t != NULL)
		arch_print_regs(t);
	console_printf("traceback:\n");
	traceback(pc, t != NULL && t->link != NULL ? t->link(t) : 0, sp, fp);
	print_waiting();
	stack_map(sp);
}

#pragma clang attribute pop
#pragma clang attribute pop
