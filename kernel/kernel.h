/*
 * kernel/: what an operating system would do for Go: frames, address space, threads, traps, clock, console.
 * It knows nothing of goroutines. It calls up through the runtime_ hooks at the end of this file only.
 * Compiled unchecked, without floating point: all of it may run in a trap handler unless it says otherwise.
 */
#ifndef SOCLE_KERNEL_H
#define SOCLE_KERNEL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h> /* newlib's wants stdint.h before it */

#include "arch/arch.h"

#define SOCLE_VERSION "0.1"
#define NO_FRAME (~(uint64_t)0)

/* ---- Entered from the port ---- */

/* On the boot stack, interrupts masked, .bss zeroed, trap vectors in place. Never returns. */
void kernel_start(struct boot_info *info) __attribute__((noreturn));
/* On another CPU, on its boot stack, interrupts masked: where arch_start_cpus() sends it. Never returns. */
void kernel_start_cpu(unsigned cpu) __attribute__((noreturn));
/* Another CPU wants something. On the IRQ stack, interrupts masked, acknowledged. t as in kernel_tick(). */
void kernel_interrupt(struct trap *t);
/* Another CPU ends the image, and called arch_stop_others(): this one is not heard of again. On any stack. */
void kernel_stop(void) __attribute__((noreturn));
extern atomic_uint kernel_ending; /* the CPU that ends the image, + 1; 0: none. Nothing is read for its sake: relaxed */
/* Calls that if it is so: in loops that wait for another CPU. */
static inline void kernel_poll_stop(void)
{
	unsigned cpu = atomic_load_explicit(&kernel_ending, memory_order_relaxed);

	if (cpu != 0 && cpu != arch_cpu() + 1)
		kernel_stop();
}
/* On a handler stack, interrupts masked. Returns when the interrupted code is to go on (or was redirected). */
void kernel_trap(struct trap *t);
/* The timer fired, perhaps early. On the IRQ stack, interrupts masked, after the interrupt was acknowledged. t: what it
 * interrupted (kind, name and such are not set), which arch_redirect() may change. */
void kernel_tick(struct trap *t);
/* A trap while a trap was being handled on the same CPU: says so in a line or two, ends the image. Needs no
 * stack to speak of. Ports call it instead of kernel_trap() when they are already inside one. */
void kernel_nested_trap(struct trap *t) __attribute__((noreturn));

/* ---- Devices: one driver each per port, in arch/PORT/devices.c ---- */

void uart_init(void);	 /* before anything is printed; needs no page tables of ours */
void uart_putc(char c);	 /* polled; returns when the byte is accepted */
void uart_flush(void);	 /* returns when the last byte has left */
int64_t clock_now(void); /* ns since boot, monotonic; the first call may take 10 ms to calibrate */
/* kernel_tick() at this time of clock_now(), or just after; INT64_MAX: never. It may come early, and then the timer is to be
 * set again. A deadline in the past fires at once. Replaces the one before. Interrupts masked. */
void timer_set(int64_t deadline);
void machine_exit(int status) __attribute__((noreturn)); /* leaves QEMU with this status, or halts for good */

/* ---- console.c ---- */

/* %s %c %d %u %x %lu %lx %zu %p %llu, width, '-', '0'. No locks, no memory, 300 bytes of stack. */
void console_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void console_vprintf(const char *format, va_list args);
void console_write(const char *bytes, size_t n);

/* ---- panic ---- */

/* Something in Socle itself is wrong: prints a report of here and ends the image with status 2. Never returns. */
void fatal(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void kernel_exit(int status) __attribute__((noreturn)); /* prints the status line, then machine_exit() */
bool kernel_is_ending(void);				/* this CPU is in one of these */
/* The same from somewhere else: the report begins at pc, sp, fp. */
void fatal_at(uintptr_t pc, uintptr_t sp, uintptr_t fp, const char *format, ...)
	__attribute__((noreturn, format(printf, 4, 5)));
#define ASSERT(condition, message) ((condition) ? (void)0 : fatal("%s:%d: %s", __FILE__, __LINE__, message))

/* ---- frames.c: physical memory in pages ---- */

void frames_init(const struct boot_info *info);
uint64_t frame_alloc(void);	 /* a page's physical address, contents undefined, or NO_FRAME */
uint64_t frame_alloc_zero(void); /* the same, zeroed */
#define FRAMES_KEPT 32 /* the last ones: for a goroutine whose stack cannot grow to panic on, and the runtime on g0 */
void frames_emergency(bool on); /* while on, those are given out too */
void frame_free(uint64_t frame);
size_t frames_free(void); /* how many are left here */
size_t frames_total(void);
static inline void *frame_address(uint64_t frame) { return (void *)(uintptr_t)frame; } /* RAM is mapped one to one */

/* ---- vm.c: pages of virtual memory, zeroed, writable ---- */

size_t vm_frames_free(void); /* how many frames are left, those that CPUs keep included */
/* Backs absent pages; all, or none and -1: out of frames. emergency: may use the frames that are kept for panics. */
int vm_back(uintptr_t lo, uintptr_t hi, bool emergency);
void vm_release(uintptr_t lo, uintptr_t hi); /* gives back whatever is backed there */
/* The same, of many ranges: the other CPUs are told to forget their pages when there are enough. Zero at first. */
struct vm_batch {
	int n;
	uintptr_t lo, hi; /* of the pages */
	uint64_t frames[32];
};
void vm_batch_add(struct vm_batch *b, uintptr_t lo, uintptr_t hi);
void vm_batch_release(struct vm_batch *b);
bool vm_present(uintptr_t va);
/* Copies what is on a page that another CPU may be giving back just now. False: nothing is there. On any stack. */
bool vm_read(void *to, uintptr_t va, size_t size);
/* The same for one page, on a handler's stack with interrupts masked. */
int vm_back_in_handler(uintptr_t va, bool emergency);

/* ---- thread.c: threads, cooperative, one run queue a CPU ---- */

struct thread {
	struct tcb *tcb;	/* its system stack */
	struct thread *next;	/* in the run queue of */
	unsigned cpu, wake_cpu; /* where it runs; where who has woken it wants it to */
	atomic_uint state;
	void (*fn)(void *); /* where it begins, and whether interrupts are masked there */
	void *arg;
	uintptr_t irq;
};

struct thread *thread_current(void);
void thread_adopt(struct thread *t, struct tcb *tcb);	    /* makes what runs now this CPU's first thread: boot only */
void thread_wait_for_first(void) __attribute__((noreturn)); /* on another CPU's boot stack, interrupts masked */
/* Makes a thread that is ready to run fn(arg), which must not return, on that CPU, on the stack below stack_hi. */
void thread_start(struct thread *t, unsigned cpu, struct tcb *tcb, void *stack_hi, void (*fn)(void *), void *arg);
void thread_park(void);			   /* until thread_ready(), which may have come before. On the system stack */
void thread_park_for(struct thread *next); /* the same, having readied that one to go on here at once */
void thread_yield(void);		   /* to those that are ready here. On the stack that the thread runs on */
void thread_ready(struct thread *t);	   /* at most once for each park. It runs where it ran before; on any stack */
void thread_ready_on(struct thread *t, unsigned cpu); /* the same; from now on it runs there */
void thread_ready_first(struct thread *t);	      /* the same as thread_ready(), before all that are ready there */
bool thread_parked(const struct thread *t); /* and off its stack, which may be freed if nobody is going to wake it */
bool thread_others_ready(void);		    /* others wait for this CPU. On any stack, as the next */
unsigned thread_switches(void);		    /* how many there were on this CPU */
bool thread_all_asleep(unsigned now);	    /* they are since runtime_idle(now) was called */

/* ---- symbols.c: the table that tools/symbols puts in the image ---- */

/* The function that holds pc, and how far into it; "?" when none does. */
const char *symbol_name(uintptr_t pc, size_t *offset);

/* ---- cpus.c: the CPUs there are, and the stacks that each has from its start ---- */

struct fixed_stack {
	const char *name;
	unsigned cpu;
	uintptr_t guard, lo, hi; /* guard page at [guard, lo), stack at [lo, hi) */
};
extern struct fixed_stack fixed_stacks[]; /* ends with a null name; [0] is the first CPU's boot stack */

void cpus_init(void); /* the first CPU's: before there can be traps */
/* Backs the stacks of another CPU: in FIXED_STACKS' order, boot first. NULL: no memory. In order of their numbers. */
const struct fixed_stack *cpu_stacks_add(unsigned cpu);
uintptr_t cpu_idle_stack(unsigned cpu); /* its highest address: for when no thread runs */
void cpu_stacks_remove(unsigned cpu);	/* the last that were added: that CPU does not come */
unsigned cpu_count(void);		/* that run: each is counted when it enters kernel_start_cpu() */

/* ---- Hooks: the runtime's, and all that kernel/ knows of it ---- */

void runtime_init_g0(const char *command_line); /* g0's bounds and stackguard; makes it current. Before page tables */
void runtime_start(void) __attribute__((noreturn));		/* page tables and interrupts are on */
bool runtime_fault(struct trap *t);				/* true: seen to, resume. On a handler stack */
void runtime_tick(struct trap *t);				/* kernel_tick(). On the IRQ stack */
void runtime_start_cpu(unsigned cpu) __attribute__((noreturn)); /* as kernel_start_cpu() */
void runtime_interrupt(struct trap *t);				/* as kernel_interrupt() */
size_t runtime_reclaim(void); /* there is no frame left: gives back what it can do without. Returns bytes */
/* No thread can run on any CPU until an interrupt, which may have come when this is called. On an idle stack, interrupts
 * masked. */
void runtime_idle(unsigned now);
void runtime_report(const struct trap *t, uintptr_t pc, uintptr_t sp,
		    uintptr_t fp); /* stacks and traceback; t may be NULL */

#endif
