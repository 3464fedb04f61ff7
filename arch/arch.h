/*
 * The contract between a port and the rest of Socle: the only architecture header that kernel/ and
 * runtime/ include. Twenty-six arch_ names and page_zero(), all of them below; machine.h adds constants and the
 * inline ones.
 *
 * One idea carries it: a control block (struct tcb) is a stack that can be run on. Every goroutine,
 * every thread's system stack (g0) has one. Its `sp` is where the stack stands while something else
 * runs; its `stack_limit` is what checked prologues compare SP with. A switch is "save SP in mine,
 * load SP and limit from yours", and there are five of them, differing in what becomes of the old side:
 *
 *   arch_switch   save all, go on in the other            (goroutine to goroutine, thread to thread)
 *   arch_resume   the second half alone: never returns    (scheduler to goroutine; Go's gogo)
 *   arch_mcall    save all, then call fn on the other     (goroutine to scheduler; Go's mcall)
 *   arch_call_on  call fn on the other, and come back     (foreign call, callback; Go's asmcgocall)
 *   arch_call_leaf  the same, for fn that only computes    (SOCLE_NOCALLBACK)
 *
 * The limit and SP change together, in assembly, so no checked prologue ever sees one without the other.
 */
#ifndef SOCLE_ARCH_H
#define SOCLE_ARCH_H

#include <stddef.h>
#include <stdint.h>

/* Known to assembly: the offsets are asserted in each port's machine.h. */
struct tcb {
	void *reserved;	       /* ARM: the first word under TPIDRURO, the ABI's */
	uintptr_t stack_limit; /* stackguard. ARM: checked prologues read it here, at [TPIDRURO + 4] */
	void *sp;	       /* the saved context is this pointer; everything else lies on the stack */
	struct tcb *system;    /* that of the thread it runs on; a system stack's is its own */
	int ended;	       /* see arch_call_leaf() */
};

/* What a port says of a trap. Filled by the port, judged by kernel_trap(). */
enum trap_kind {
	TRAP_MEMORY,  /* page fault, data or prefetch abort: addr and access are valid */
	TRAP_ADDRESS, /* a wild pointer too, but the processor does not say where it points */
	TRAP_DIVIDE,  /* integer division by zero or overflow */
	TRAP_ILLEGAL, /* undefined instruction */
	TRAP_FLOAT,   /* unmasked floating-point exception */
	TRAP_OTHER,   /* named by `name` only */
	TRAP_FATAL,   /* double fault, NMI, machine check: report and end, never resume */
};
enum { ACCESS_WRITE = 1, ACCESS_EXEC = 2, ACCESS_PRESENT = 4 /* the page is there: a permission was missing */ };

struct arch_regs; /* the port's own picture of the interrupted registers */

struct trap {
	enum trap_kind kind;
	const char *name;     /* in words: "page fault" */
	uintptr_t addr;	      /* TRAP_MEMORY: the address that was touched */
	unsigned access;      /* TRAP_MEMORY: ACCESS_* */
	uintptr_t pc, sp, fp; /* of the interrupted code; read-only, use arch_redirect() to change them */
	uintptr_t (*link)(const struct trap *t); /* where the interrupted function returns to, if it has no frame record
						  * yet; otherwise 0. Takes time: for reports */
	struct tcb *tcb;			 /* what was current */
	const char *stack;			 /* name of the fixed stack the handler runs on, as in FIXED_STACKS */
	const char *why_fatal;			 /* for the report: the runtime's words, or NULL */
	struct arch_regs *regs;
};

/* What the boot code learned from the loader (PVH, Multiboot, device tree). Physical addresses. */
struct boot_range {
	uint64_t base, size;
};
struct boot_info {
	const char *protocol; /* "PVH", "Multiboot 1", "Multiboot 2", "device tree", "none" */
	char command_line[1024];
	int nram, nreserved;
	struct boot_range ram[32];	/* usable RAM, as the loader says; may overlap `reserved` and the image */
	struct boot_range reserved[16]; /* not to be given out: device tree, modules, low memory */
};

#include "machine.h"
/*
 * machine.h defines:
 *   PAGE_SIZE, ARCH_NAME ("x86_64"), BOARD_NAME comes from board.h
 *   RAM_MAX               highest physical address + 1 that the port maps one to one
 *   HEAP_LO, HEAP_HI      virtual addresses for the C library's heap
 *   ARENA_LO, ARENA_HI    virtual addresses for stacks
 *   FIXED_STACKS(X)       X(name, bytes) for each stack of a CPU: boot first. Those of CPU 0 are laid out by linker.ld
 *   CPU_STACKS_LO         virtual address from which kernel/cpus.c lays out the others': 4 MiB that are nobody's
 *   MAX_CPUS              8
 *   unsigned arch_cpu(void)          inline: the index of the CPU that this runs on: 0 the one that booted
 *   void arch_pause(void)            inline: in loops that wait for another CPU
 *   void arch_stop(void)             inline on x86: this CPU sleeps for ever, whatever interrupts are pending
 *   struct tcb *arch_tcb(void)       inline: the current control block
 *   void arch_touch_stack(unsigned below)  inline: faults now, if what lies so far below SP, a constant, would
 *   REDIRECT_GAP, REDIRECT_ROOM   bytes: see arch_redirect()
 *   CONTEXT_FP             offset from a saved context's sp to a frame record {caller's record, return address}
 *   uintptr_t arch_irq_disable(void) inline: masks interrupts; returns what arch_irq_restore() takes
 *   void arch_irq_restore(uintptr_t) inline
 */

/* Makes tcb current without changing stacks: tcb must describe the stack that SP is on. Boot only. */
void arch_set_tcb(struct tcb *tcb);

/* Prepares a context below `top` (any alignment) that, once resumed, calls fn(arg) with SP aligned
 * as the ABI asks and the frame-pointer chain ended. fn must not return. */
void arch_init_context(struct tcb *tcb, void *top, void (*fn)(void *), void *arg);

/* Saves the callee-saved registers on the current stack and SP in from->sp; goes on in `to`. `from` is current.
 * Interrupts are left as they are. Once the old stack is left, and before anything of `to` runs, stores value in *word,
 * with release: whoever reads it there, with acquire, may resume `from`, on any CPU. */
void arch_switch(struct tcb *from, struct tcb *to, unsigned *word, unsigned value);

/* Goes on in `to`, abandoning the current stack where it is. Never returns. */
void arch_resume(struct tcb *to) __attribute__((noreturn));

/* Saves the current context as arch_switch does, then calls fn(old) on `to`, at to->sp, which does not change.
 * fn never returns; the call returns when somebody resumes the old context. */
void arch_mcall(struct tcb *to, void (*fn)(struct tcb *old));

/* Saves the current context as arch_switch does, calls fn(arg) on `to` at to->sp (aligned down by the port), makes the
 * old tcb current again and returns. The frame-pointer chain leads from fn to the caller. arch_resume(old), while fn
 * has not returned, returns from this call instead: fn and all it called are abandoned. */
void arch_call_on(struct tcb *to, void (*fn)(void *), void *arg);

/* Calls fn(arg) on the current tcb's system stack, more cheaply than arch_call_on(): of the caller's context only the
 * callee-saved registers are kept, without the control words, and fn, at old->sp + LEAF_FN. `ended` is LEAF_CALL meanwhile; if it is not found so when
 * fn returns, what was added to it is the argument of the matter: this returns what runtime_leaf_ended() says. 0
 * otherwise. Called on a system stack: what runtime_leaf_ended() says too. */
int arch_call_leaf(void (*fn)(void *), void *arg);

/* Returns from the arch_call_leaf() that `old` has made, though fn has not, with what runtime_leaf_ended(old) says. By
 * arch_redirect(), from a trap in fn: which has set the floating-point control words to the ABI's defaults. */
void arch_end_leaf(struct tcb *old) __attribute__((noreturn));
int runtime_leaf_ended(struct tcb *old); /* the runtime's: on old's stack, old is current */

/* Page tables; the current address space, kept by the port. One page each; va and pa page-aligned. */
enum { MAP_READ = 0, MAP_WRITE = 1, MAP_EXEC = 2, MAP_DEVICE = 4 }; /* MAP_WRITE | MAP_EXEC is refused by assertion */
int arch_map(uintptr_t va, uint64_t pa, unsigned prot); /* 0, or -1: no frame for a page table. va was absent */
uint64_t arch_unmap(uintptr_t va);  /* flushes the TLB; the page's pa, or NO_FRAME when it was absent */
uint64_t arch_lookup(uintptr_t va); /* the page's pa, or NO_FRAME */

/* Zeroes a page, by the widest stores there are: half of what a stack's growth costs. Leaves the FPU as it is. */
void page_zero(void *page);

/* Waits for an interrupt. Called with interrupts masked; unmasks and waits as one, so that none is lost between
 * check and wait; lets the handler run; returns with them masked. */
void arch_idle(void);

/* Called once by kernel_start(), on the boot stack, when frame_alloc() works: builds the final page tables
 * (W^X, page 0 and every guard page absent, RAM one to one and not executable, devices as devices), turns
 * them on, starts the interrupt controller and the timer, and unmasks interrupts. */
void arch_start(const struct boot_info *info);

/* Starts the other CPUs, up to `limit` in all. On the boot CPU, when memory works. Each gets page tables, vectors,
 * handler stacks, its interrupt controller's part and timer as the first has them, then enters kernel_start_cpu() on
 * its own fixed boot stack, interrupts masked. Waits for each, a second at the most (100 ms are too short for a busy
 * host's virtual CPU); one that does not come is named on the console and left out. Returns how many run, and numbers
 * them without gaps. */
unsigned arch_start_cpus(unsigned limit);

/* Interrupts that CPU: kernel_interrupt() runs there, on its IRQ stack. May be called on any stack, on itself too. What
 * was written before is seen there. */
void arch_interrupt(unsigned cpu);

/* When it returns no CPU uses a translation of [lo, hi) from before the arch_unmap() calls that came first: one call
 * for many pages. No lock is held that a CPU with interrupts masked waits for; interrupts of the caller may be
 * masked. */
void arch_shootdown(uintptr_t lo, uintptr_t hi);

/* Makes every other CPU call kernel_stop(), wherever it is: soon, if it cannot be done at once. Interrupts masked. */
void arch_stop_others(void);

/* Prints the interrupted registers with console_printf(). */
void arch_print_regs(const struct trap *t);

/* Makes the trap return to a call of fn(arg) on the stack `sp` (any alignment), with interrupts on. If fn returns, the
 * interrupted code goes on where it was, every register as it was, the FPU's too; `sp` must then be on the
 * interrupted stack, REDIRECT_GAP or more below the interrupted SP. Takes REDIRECT_ROOM bytes below `sp`. */
void arch_redirect(struct trap *t, uintptr_t sp, void (*fn)(void *), void *arg);

#endif
