/*
 * Traps: what the port saw is offered to the runtime (a stack to grow, a panic to raise); what the runtime does
 * not take ends the image with a report. A report prints without locks or memory; a trap inside one prints two
 * lines; a trap inside those prints nothing and ends the image all the same.
 */
#include "kernel/kernel.h"

static int reporting; /* how many reports have begun */

static void begin_report(void)
{
	arch_irq_disable();
	switch (reporting++) {
	case 0: return;
	case 1: console_printf("\nsocle: failed again while reporting\n"); break;
	default: machine_exit(2);
	}
	kernel_exit(2);
}

static const char *access_words(const struct trap *t)
{
	if (t->access & ACCESS_EXEC)
		return "executing";
	return t->access & ACCESS_WRITE ? "writing" : "reading";
}

static void print_trap(const struct trap *t)
{
	size_t offset;
	const char *function = symbol_name(t->pc, &offset);

	console_printf("\nsocle: %s", t->name);
	if (t->kind == TRAP_MEMORY)
		console_printf(" %s %p (%s)", access_words(t), (void *)t->addr,
			       t->access & ACCESS_PRESENT ? "not permitted" : "nothing is mapped there");
	console_printf("\n  in %s+0x%zx (pc %p), handled on the %s stack\n", function, offset, (void *)t->pc, t->stack);
}

void kernel_trap(struct trap *t)
{
	if (reporting == 0 && t->kind != TRAP_FATAL && runtime_fault(t))
		return;
	begin_report();
	print_trap(t);
	runtime_report(t, t->pc, t->sp, t->fp);
	kernel_exit(2);
}

void kernel_nested_trap(struct trap *t)
{
	size_t offset;
	const char *function = symbol_name(t->pc, &offset);

	if (reporting++ > 1)
		machine_exit(2);
	arch_irq_disable();
	console_printf("\nsocle: a fault inside the fault handler: %s in %s+0x%zx (pc %p, address %p)\n", t->name,
		       function, offset, (void *)t->pc, (void *)t->addr);
	kernel_exit(2);
}

void kernel_tick(struct trap *t) { runtime_tick(t); }

static _Noreturn void fatal_report(uintptr_t pc, uintptr_t sp, uintptr_t fp, const char *format, va_list args)
{
	begin_report();
	console_printf("\nsocle: fatal: ");
	console_vprintf(format, args);
	console_printf("\n");
	runtime_report(NULL, pc, sp, fp);
	kernel_exit(2);
}

void fatal_at(uintptr_t pc, uintptr_t sp, uintptr_t fp, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fatal_report(pc, sp, fp, format, args);
}

void fatal(const char *format, ...)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	va_list args;

	va_start(args, format);
	fatal_report(0, frame, frame, format, args);
}
