/*
 * Socle: goroutines, channels and foreign calls on the bare machine.
 *
 * Every call may be made from goroutine code (main included) unless it says otherwise. Foreign code (what runs
 * inside socle_foreign_call) stands on the system stack, g0, and may make only the calls marked "foreign". Sizes
 * are bytes, times are nanoseconds since boot. Functions that can fail return -1 (or NULL) and set errno, which
 * every goroutine has for itself.
 */
#ifndef SOCLE_H
#define SOCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Compiled without the stack check in its prologue. Variadic functions need it (clang cannot check them), and code
 * that must run where the check would be wrong. At the end of the stack the guard stops it, which is 8 KiB at least: a
 * frame of more than 7 KiB is an error when the image is linked. What was compiled otherwise, or is called out of foreign/
 * without a foreign call, is not looked at: its frames must not be larger than the guard (64 KiB at most). */
#define SOCLE_UNCHECKED __attribute__((no_split_stack))

typedef void (*socle_fn)(void *arg);

/* ---- Goroutines (Go's) ---- */

struct socle_go_attr {
	const char *name;  /* shown in reports; not copied: must live as long as the goroutine. NULL: none */
	size_t stack_size; /* what the stack may grow to, rounded up to a power of two. 0: 256 KiB, 64 KiB on 32 bits.
			    * 8 KiB to 1 GiB (256 MiB on 32 bits), otherwise EINVAL. Backed page by page as it is touched */
};

/* Starts a goroutine that runs fn(arg); attr NULL is as all zero. 0, or -1: ENOMEM (no frames), EAGAIN (no addresses left
 * for a stack), EINVAL, EPERM (called from foreign code). */
int socle_go(socle_fn fn, void *arg);
int socle_go_attr(const struct socle_go_attr *attr, socle_fn fn, void *arg);

/* Lets the other runnable goroutines run first: whom the caller has woken last, then the others in line. */
void socle_yield(void);

/* How many CPUs there are: as many goroutines run at once, each on any of them. 1 to 8. Any stack. */
int socle_ncpu(void);

/* Ends the calling goroutine. From main: the others go on, and the image ends when they are done or deadlocked.
 * A fatal error inside a callback, whose foreign frames could never return, unless a panic is leaving those and this is
 * one of its cleanups; and inside what the C library calls with a lock held. */
void socle_exit(void) __attribute__((noreturn));

/* The calling goroutine's number, from 1 (main). Foreign: the number of the goroutine that made the call. */
unsigned long socle_id(void);

/* ---- Channels (Go's, CSP's) ---- */

typedef struct socle_chan socle_chan;

/* A channel of elements of elem_size bytes, of which it holds `capacity` before a sender waits. 0: unbuffered.
 * NULL: ENOMEM, EINVAL (elem_size, or its product with capacity, is no size). */
socle_chan *socle_chan_make(size_t elem_size, size_t capacity);

/* Waits until the element is handed over or in the buffer. 0, or -1: EPIPE (closed, before or while waiting),
 * EINVAL (c is NULL), EPERM (foreign code). */
int socle_chan_send(socle_chan *c, const void *elem);

/* Waits for an element. 0, or -1: EPIPE (closed and drained; *elem is zeroed), EINVAL, EPERM. elem may be NULL. */
int socle_chan_recv(socle_chan *c, void *elem);

/* No more sends. Wakes all that wait; what is in the buffer can still be received. 0, or -1: EPIPE (closed before). */
int socle_chan_close(socle_chan *c);

/* Frees a channel that nobody waits on: otherwise a fatal error. NULL is allowed. A select that another channel has
 * ended does not count, even if its goroutine has not run since. */
void socle_chan_free(socle_chan *c);

/* ---- Time ---- */

#define SOCLE_FOREVER INT64_MAX /* as a deadline: none */

/* Foreign too. The first call may take 10 ms: it calibrates the clock where the hardware does not tell its rate. */
int64_t socle_now(void);

/* Sleeps for at least that long; 0 or less yields. 0, or -1: EPERM (foreign code). */
int socle_sleep(int64_t ns);

/* ---- Select (Go's; Dijkstra's guarded commands) ---- */

#define SOCLE_SELECT_MAX 256

enum socle_op { SOCLE_SEND, SOCLE_RECV };

struct socle_case {
	enum socle_op op;
	socle_chan *chan; /* NULL: never ready */
	void *elem;	  /* as in socle_chan_send() and socle_chan_recv(); NULL in a send ends the image */
	int error;	  /* of the case that was done: 0, or EPIPE (closed; what was to be received is zeroed) */
};

/* Waits until at least one of the n cases can be done, does one, and returns its index; among several each is as likely
 * as the others. A closed channel is ready. The same channel may be in several cases; a select does not meet itself.
 * deadline: a time of socle_now(); 0 polls; SOCLE_FOREVER waits, and with no channel at all it never returns.
 * -1: ETIMEDOUT (the deadline came first), EINVAL (n is not 0 to SOCLE_SELECT_MAX, or an op is neither), EPERM (foreign
 * code). Uses up to 1 KiB of stack and 80 bytes a case. */
int socle_select(struct socle_case *cases, int n, int64_t deadline);

/* ---- Synchronisation (Go's sync, and a semaphore) ----
 *
 * A zeroed object is a free mutex, an empty wait group and so on; the fields are the runtime's. What waits, waits in
 * line. An object must stay where it is, and live until nobody waits on it. Deadlines are as in socle_select().
 * Not for foreign code, which cannot wait and may not wake others: EPERM; a mutex that is free can be locked there, and
 * one that nobody waits for unlocked. */

struct socle_waiters {
	struct waiter *head, *tail;
};

struct socle_mutex {
	unsigned state, lock; /* state: SOCLE_MUTEX_* */
	struct socle_waiters waiters;
	bool woken;
};

enum { SOCLE_MUTEX_LOCKED = 1, SOCLE_MUTEX_WAITERS = 2 };

int socle_mutex_lock_slow(struct socle_mutex *m);
int socle_mutex_trylock_slow(struct socle_mutex *m);
int socle_mutex_unlock_slow(struct socle_mutex *m);

static inline bool socle_mutex_take(struct socle_mutex *m) /* if it is free, and nobody is in line */
{
	unsigned expected = 0;

	/* Acquire pairs with the release of who unlocked it, there or in sync.c. */
	return __atomic_compare_exchange_n(&m->state, &expected, SOCLE_MUTEX_LOCKED, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

/* A goroutine that has just been woken competes with those that come by, which saves switches; if it loses once, the
 * next unlock hands the mutex over to it, so nobody starves. Not recursive: locking twice waits for ever.
 * 0, or -1: EPERM (foreign code, and it is held). */
static inline int socle_mutex_lock(struct socle_mutex *m) { return socle_mutex_take(m) ? 0 : socle_mutex_lock_slow(m); }

/* Never waits. 0, or -1: EBUSY. Foreign too. */
static inline int socle_mutex_trylock(struct socle_mutex *m)
{
	return socle_mutex_take(m) ? 0 : socle_mutex_trylock_slow(m);
}

/* By any goroutine, not only the one that locked. A mutex that is not locked is a fatal error, as in Go: what it guards
 * cannot be trusted any more. 0, or -1: EPERM (foreign code, and somebody waits; it stays locked). */
static inline int socle_mutex_unlock(struct socle_mutex *m)
{
	unsigned expected = SOCLE_MUTEX_LOCKED;

	/* Release pairs with the acquire of who locks it next. */
	if (__atomic_compare_exchange_n(&m->state, &expected, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		return 0;
	return socle_mutex_unlock_slow(m);
}

struct socle_rwlock {
	unsigned lock, readers;
	bool writer;
	struct socle_waiters waiting_readers, waiting_writers;
};

/* Many readers or one writer. A writer that waits keeps new readers out, and one that unlocks lets in all readers that
 * wait: neither kind starves. So a reader must not lock it again. Unlocks what the caller holds, whichever it is; one
 * that is not locked is a fatal error. 0, or -1: EPERM, EBUSY (try). */
int socle_rwlock_rdlock(struct socle_rwlock *l);
int socle_rwlock_tryrdlock(struct socle_rwlock *l);
int socle_rwlock_wrlock(struct socle_rwlock *l);
int socle_rwlock_trywrlock(struct socle_rwlock *l);
int socle_rwlock_unlock(struct socle_rwlock *l);

struct socle_cond {
	unsigned lock;
	struct socle_waiters waiters;
};

/* Unlocks m, waits for a signal, locks m again; no signal after the unlock is missed, none comes unasked. What is
 * waited for must be looked at again: others may have had m in between. signal wakes the first in line, broadcast all.
 * 0, or -1: EPERM, ETIMEDOUT (m is locked again then too). */
int socle_cond_wait(struct socle_cond *c, struct socle_mutex *m);
int socle_cond_timedwait(struct socle_cond *c, struct socle_mutex *m, int64_t deadline);
int socle_cond_signal(struct socle_cond *c);
int socle_cond_broadcast(struct socle_cond *c);

struct socle_waitgroup {
	unsigned lock;
	int count;
	struct socle_waiters waiters;
};

/* add changes the count by n, done by -1; wait returns when it is 0. 0, or -1: EPERM; EINVAL (the count would become
 * negative) and EOVERFLOW: the count is left as it was. */
int socle_waitgroup_add(struct socle_waitgroup *w, int n);
int socle_waitgroup_done(struct socle_waitgroup *w);
int socle_waitgroup_wait(struct socle_waitgroup *w);

struct socle_once {
	bool done;
	struct socle_mutex mutex;
};

/* Runs fn(arg) unless that was done before; returns when it has been done, by whomever. If fn panics or exits, it
 * counts as done. fn must not come here again: it would wait for itself. 0, or -1: EPERM. */
int socle_once(struct socle_once *o, socle_fn fn, void *arg);

struct socle_sem {
	unsigned lock, value;
	struct socle_waiters waiters;
};

/* Dijkstra's: wait takes one from the value, or waits for a post, which hands it to the first in line. init sets the
 * value of one that nobody waits on. 0, or -1: EPERM, EAGAIN (trywait), ETIMEDOUT, EOVERFLOW (post). */
int socle_sem_init(struct socle_sem *s, unsigned value);
int socle_sem_wait(struct socle_sem *s);
int socle_sem_trywait(struct socle_sem *s);
int socle_sem_timedwait(struct socle_sem *s, int64_t deadline);
int socle_sem_post(struct socle_sem *s);

/* ---- Foreign calls (Go's cgocall and cgocallback) ---- */

/* What ended a foreign call. */
struct socle_fault {
	const char *what;  /* "page fault", "stack overflow", "division by zero" ... */
	uintptr_t address; /* that was touched; 0 where none was */
	uintptr_t pc;
	const char *function;	      /* that pc lies in, "?" where in none */
	size_t offset;		      /* of pc in it */
	uintptr_t stack_lo, stack_hi; /* of the stack that the call ran on */
};

enum {
	SOCLE_NOCALLBACK = 1
}; /* fn only computes: half the price. If it calls back, or panics, the image ends and says
				* so. After a contained fault the floating-point control words are the defaults */

/* As an argument, NULL is as all zero. */
struct socle_foreign_attr {
	size_t stack_size; /* 0: the thread's g0 as it is. Otherwise a stack of its own for this call, 64 KiB to 1 GiB
			    * (256 MiB on 32 bits), backed as it is touched; callbacks and calls inside it use it too */
	unsigned flags;	   /* SOCLE_NOCALLBACK, or 0 */
	struct socle_fault *fault; /* filled when the call returns -1 with EFAULT or EOVERFLOW; may be NULL */
};

/* Runs fn(arg) on the system stack. fn may be any C code: it carries no stack check and may use frames of any size
 * that fits. A fault in it ends the call, not the image. 0, or -1:
 *   EOVERFLOW  it ran out of its stack, into the guard
 *   ENOMEM     there was no memory to grow its stack with
 *   EFAULT     a wild pointer, a division by zero, an undefined instruction ...
 *   ENOMEM, EAGAIN, EINVAL  no stack of that size (socle_foreign_call_attr)
 *   EPERM      called from foreign code (socle_foreign_call_attr)
 * What the routine had locked or half changed stays so; a fault while it holds a lock of the C library ends the image.
 * A routine that takes long shares the CPU with the goroutines, but for one within 7 KiB of the end of its stack.
 * In foreign code socle_foreign_call() calls fn directly. */
int socle_foreign_call(socle_fn fn, void *arg);
int socle_foreign_call_leaf(socle_fn fn, void *arg) __asm__("arch_call_leaf");
int socle_foreign_call_with(const struct socle_foreign_attr *attr, socle_fn fn, void *arg);
static inline int socle_foreign_call_attr(const struct socle_foreign_attr *attr, socle_fn fn, void *arg)
{
	if (attr != NULL && attr->flags == SOCLE_NOCALLBACK && attr->stack_size == 0 && attr->fault == NULL)
		return socle_foreign_call_leaf(fn, arg);
	return socle_foreign_call_with(attr, fn, arg);
}

/* From foreign code, on the stack it was called on: runs fn(arg) as goroutine code, on the stack of the goroutine that
 * made the foreign call. fn may block, and make foreign calls in turn. 0, or -1: EPERM (not inside a foreign call),
 * EFAULT (SP is neither on the stack that the call was given nor on one that was added), EOVERFLOW (less than 5 KiB of
 * that stack are left). A callback must return before the routine that made it does: one that is left by longjmp, or
 * still open when its caller returns, ends the image, which says so. socle_panic() may leave it. Foreign only. */
int socle_callback(socle_fn fn, void *arg);

/* For foreign code that switches stacks itself (fibers, coroutines): the stack [lo, lo + size) may from now on call back.
 * What a callback needs of the system stack, the foreign calls that it makes among it, then stands on this stack below
 * the caller's frames. At least 8 KiB; its memory is the caller's, and has no guard but what the caller gives it. 0, or
 * -1: EINVAL (too small, or a part of a stack of Socle's), EEXIST (overlaps one that was added), ENOMEM. Foreign too. */
int socle_foreign_stack_add(void *lo, size_t size);
/* Takes that back. 0, or -1: ENOENT (nothing begins at lo), EBUSY (a callback from it has not returned, or the caller
 * stands on it). Foreign too. */
int socle_foreign_stack_remove(void *lo);

/* Starts a foreign thread: a thread with a stack of its own (attr->stack_size, as in socle_foreign_call_attr; attr NULL
 * or 0: 256 KiB) that runs fn(arg), foreign code, and ends when fn returns. It shares the CPU by time with the goroutines
 * and the other threads. It may call back: fn of socle_callback() then runs on a new goroutine, which may block, and is
 * gone when the callback returns; besides its errors above there are ENOMEM and EAGAIN, as in socle_go(). A panic must be
 * caught in the callback. A fault in the thread itself ends the image: there is no call that could return -1. The image
 * ends with main, whatever its threads do. 0, or -1: ENOMEM, EAGAIN (no stack), EINVAL. Foreign too.
 *
 * <pthread.h> makes threads of this kind: create, join, detach, self, exit, mutexes of all types, condition variables,
 * once, keys. Foreign code may call it from its threads and from foreign calls, and goroutines may, which then make a
 * foreign call for it: what waits holds up its own thread, no other goroutine. For all of it a goroutine is a thread, the
 * same in each of its foreign calls; its keys' destructors run when it ends. Up to 4,095 take part at a time. What newlib
 * declares and Socle has not (cancellation, scheduling, rwlocks and more) is missing at the link. (POSIX) */
int socle_foreign_thread(const struct socle_foreign_attr *attr, socle_fn fn, void *arg);

/* The foreign runtime's own start (Go's initcgo). Where an image defines it, boot calls it, on g0, before page tables
 * and before anything else of the runtime, and it must set g0's stackguard; boot then makes no setting of its own.
 * It may not call back. */
struct g;
void socle_foreign_init(struct g *g0) __attribute__((weak));
void socle_g_bounds(const struct g *g, uintptr_t *lo, uintptr_t *hi); /* the extent of g's stack */
void socle_g_set_stackguard(struct g *g, uintptr_t stackguard);	      /* checked code needs SP above it */

/* ---- Panics (Go's panic, defer and recover, in C's terms) ---- */

enum socle_panic_kind {
	SOCLE_PANIC_RAISED,    /* by socle_panic() */
	SOCLE_PANIC_OVERFLOW,  /* of the goroutine's stack */
	SOCLE_PANIC_NO_MEMORY, /* no frame to grow the stack with */
	SOCLE_PANIC_MEMORY,    /* a NULL or wild pointer, a write to constants ... */
	SOCLE_PANIC_DIVIDE,
	SOCLE_PANIC_ILLEGAL, /* an undefined instruction */
	SOCLE_PANIC_OTHER,
};

struct socle_panic {
	enum socle_panic_kind kind;
	char message[96];
	uintptr_t pc; /* where; the function that holds it, "?" when none does, and how far into it */
	const char *function;
	size_t offset;
	uintptr_t address; /* that was touched; 0 where none was */
	size_t frame;	   /* bytes that the overflowing function wanted, where it was checked; otherwise 0 */
};

/* Runs fn(arg). 0, or -1 when it panicked: then *out tells how (out may be NULL), every cleanup pushed since has run,
 * and the stacks are as they were. What Socle itself does for a goroutine is done or not begun when that overflows, or
 * when there is no memory for its stack. A fault while a lock of the runtime or the C library is held cannot be caught. */
int socle_try(socle_fn fn, void *arg, struct socle_panic *out);

/* Ends what runs since the innermost socle_try(); where there is none, the image, with a report and status 2.
 * Foreign too: then the foreign frames since that try are abandoned. */
void socle_panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

struct socle_cleanup { /* the caller's memory; the fields are not to be touched */
	socle_fn fn;
	void *arg;
	struct socle_cleanup *next;
};

/* fn(arg) runs if a panic or socle_exit() leaves the caller before the pop; last pushed, first run. pop takes off the last
 * one pushed and, if `execute`, runs it. A panic in fn ends fn; of several panics the last one is told, and an exit goes on
 * after it. After an overflow a few KiB are there for cleanups: one that overflows too is ended by that, but if it has
 * pushed cleanups itself, the image ends. */
void socle_cleanup_push(struct socle_cleanup *c, socle_fn fn, void *arg);
void socle_cleanup_pop(struct socle_cleanup *c, int execute);

/* ---- Seeing ---- */

enum socle_stack_kind {
	SOCLE_STACK_BOOT,    /* m0's g0, from linker.ld */
	SOCLE_STACK_HANDLER, /* fault, interrupt and such, from linker.ld */
	SOCLE_STACK_GOROUTINE,
	SOCLE_STACK_G0,	     /* of a further m */
	SOCLE_STACK_FOREIGN, /* of one call: socle_foreign_attr.stack_size */
	SOCLE_STACK_FIBER,   /* socle_foreign_stack_add() */
	SOCLE_STACK_THREAD,  /* a foreign thread's */
};

struct socle_stack_info {
	const char *owner; /* a name: "boot", "main", "m1" ...; valid until the stack is freed */
	enum socle_stack_kind kind;
	unsigned long id;	    /* of the goroutine or m, or of the CPU; 0 otherwise */
	uintptr_t guard_lo, lo, hi; /* [guard_lo, lo) is absent from the page tables, [lo, hi) is the stack */
	uintptr_t high_water;	    /* the lowest address that was ever used, to the page; lo where not known */
	size_t backed;		    /* bytes that have memory behind them */
};

/* The stack (its guard included) that addr lies in; NULL: the current one. 0, or -1: ENOENT. Foreign too. */
int socle_stack_query(const void *addr, struct socle_stack_info *out);

/* Gives back the memory below SP of the stacks of all goroutines that wait, and that of all stacks that are free, which
 * otherwise comes back when there is no other. Returns how many bytes that were. */
size_t socle_stack_trim(void);

/* Draws every stack on the console. Foreign too. */
void socle_stack_map(void);

/* Prints how the caller got here, function by function, through every stack between. Foreign too. */
void socle_traceback(void);

#ifdef __cplusplus
}
#endif
#endif
