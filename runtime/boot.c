/*
 * From the boot stack to main. g0 first: its bounds come from linker.ld, its stackguard from the image's foreign
 * runtime where there is one (socle_foreign_init, Go's initcgo), otherwise from the bounds. An empty checked function
 * then proves that the guard is right: with a wrong one it dies, here and at once.
 *
 * Boot options stand on the command line among main's arguments: g0guard=SIZE sets the guess of 2011 instead
 * (stackguard = boot SP less SIZE), for the lesson. As in Go after the fix, an image with a foreign init skips it.
 * chaos=SEED makes turns short and random (preempt.c). cpus=N starts no more than N CPUs.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime.h"

#define MAX_ARGUMENTS 64

static struct {
	char line[1024];
	char *argument[MAX_ARGUMENTS + 1];
	int count;
	size_t g0_guess; /* 0: none, use the bounds */
	unsigned cpus;	 /* 0: all */
} command;

extern int main(int argc, char **argv);
extern void (*init_array_start[])(void), (*init_array_end[])(void);

/* ---- Before the stackguard is set nothing may be checked ---- */
#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)
#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* it runs once */

static _Noreturn void bad_command_line(const char *why, const char *word)
{
	console_printf("socle: boot command line: %s%s\n", why, word);
	kernel_exit(2);
}

static bool starts_with(const char *s, const char *prefix)
{
	while (*prefix != '\0')
		if (*s++ != *prefix++)
			return false;
	return true;
}

/* "8k", "1m", "4096"; 0 when it is no size. */
static size_t parse_size(const char *s)
{
	size_t n = 0;

	for (; *s >= '0' && *s <= '9' && n < (size_t)1 << 24; s++)
		n = n * 10 + (size_t)(*s - '0');
	if (*s == 'k' || *s == 'm')
		n <<= *s++ == 'k' ? 10 : 20;
	return *s == '\0' ? n : 0;
}

static void take_word(char *word)
{
	size_t g0_size = fixed_stacks[0].hi - fixed_stacks[0].lo;

	if (starts_with(word, "g0guard=")) {
		command.g0_guess = parse_size(word + 8);
		if (command.g0_guess < 1024 || command.g0_guess > g0_size)
			bad_command_line("g0guard wants a size from 1k to the boot stack's, such as g0guard=8k, not ",
					 word);
		return;
	}
	if (starts_with(word, "chaos=")) {
		size_t seed = parse_size(word + 6);

		if (seed == 0)
			bad_command_line("chaos wants a number from 1, such as chaos=7, not ", word);
		chaos_start((uint32_t)seed);
		return;
	}
	if (starts_with(word, "cpus=")) {
		command.cpus = (unsigned)parse_size(word + 5);
		if (command.cpus < 1 || command.cpus > MAX_CPUS)
			bad_command_line("cpus wants a number from 1 to 8, such as cpus=2, not ", word);
		return;
	}
	if (command.count == MAX_ARGUMENTS)
		bad_command_line("more than 64 arguments, from ", word);
	command.argument[command.count++] = word;
}

/* Splits in place at spaces; "..." keeps them, and is dropped. */
static void parse_command_line(void)
{
	char *from = command.line, *to = command.line;

	command.argument[command.count++] = "main";
	while (*from != '\0') {
		char *word = to;
		bool quoted = false;

		for (; *from == ' '; from++)
			;
		if (*from == '\0')
			break;
		for (; *from != '\0' && (quoted || *from != ' '); from++) {
			if (*from == '"')
				quoted = !quoted;
			else
				*to++ = *from;
		}
		from += *from != '\0';
		*to++ = '\0'; /* never passes `from`: each word gives up a space, a quote or the end */
		if (quoted)
			bad_command_line("a quote is not closed: ", word);
		take_word(word);
	}
}

static void set_stackguard(struct g *g0)
{
	if (socle_foreign_init != NULL)
		socle_foreign_init(g0);
	else if (command.g0_guess != 0)
		g0->tcb.stack_limit = (uintptr_t)__builtin_frame_address(0) - command.g0_guess;
	else
		g0->tcb.stack_limit = g0->lo + G0_SLACK;
	if (g0->tcb.stack_limit == 0)
		fatal("socle_foreign_init did not set g0's stackguard: it must call socle_g_set_stackguard()");
	arch_set_tcb(&g0->tcb);
}

void runtime_init_g0(const char *command_line)
{
	struct g *g0 = &m0.g0;
	size_t i;

	g0->m = &m0;
	g0->name = "g0";
	m0.p = ps;
	g0->lo = fixed_stacks[0].lo;
	g0->hi = fixed_stacks[0].hi;
	ps[0].turn_end = INT64_MAX;
	atomic_init(&ps[0].next_timer, INT64_MAX);
	arch_set_tcb(&g0->tcb);
	if (arch_tcb() != &g0->tcb)
		fatal("thread-local storage does not hold what was stored in it");
	for (i = 0; command_line[i] != '\0' && i < sizeof command.line - 1; i++)
		command.line[i] = command_line[i];
	parse_command_line();
	set_stackguard(g0);
}

void socle_g_bounds(const struct g *g, uintptr_t *lo, uintptr_t *hi)
{
	*lo = g->lo;
	*hi = g->hi;
}

void socle_g_set_stackguard(struct g *g, uintptr_t stackguard) { g->tcb.stack_limit = stackguard; }

#pragma clang attribute pop
#pragma clang attribute pop
/* ---- From here on everything is checked ---- */

/* Empty, but for a local that gives it a frame: functions without one are not checked. */
static __attribute__((noinline)) void check_stackguard(void)
{
	volatile char frame[64];

	frame[0] = 0;
	(void)frame;
}

static void run_main(void *arg)
{
	(void)arg;
	for (void (**init)(void) = init_array_start; init < init_array_end; init++)
		(*init)();
	exit(main(command.count, command.argument));
}

SOCLE_UNCHECKED void runtime_start(void)
{
	static const struct socle_go_attr attr = {.name = "main"};

	check_stackguard();
	thread_adopt(&m0.thread, &m0.g0.tcb);
	arch_start_cpus(command.cpus != 0 ? command.cpus : MAX_CPUS);
	start_ps();
	m0.g0.tcb.sp = (void *)m0.g0.hi; /* boot's frames are not needed again */
	ps[0].ticking = true;		 /* main alone needs no end of its turn, and no clock to be calibrated for it */
	if (go(&attr, run_main, NULL) < 0)
		fatal("no memory for the main goroutine");
	ps[0].ticking = false;
	schedule();
}
