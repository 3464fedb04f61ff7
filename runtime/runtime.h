/*
 * runtime/: what Go does: goroutines (g), the threads that run them (m), the right to run goroutine code (p), stacks,
 * channels, timers, foreign calls. Knows nothing of page tables or traps. Compiled checked.
 *
 * Lock order: the lock of a channel or a sync object (of several channels: by address; a condition's before its mutex's),
 * timers_lock, a race's, pthread.c's, sched.lock or the global run queue's. Nothing is locked while kernel/ is asked for
 * memory.
 */
#ifndef SOCLE_RUNTIME_H
#define SOCLE_RUNTIME_H

#include <errno.h>
#include <reent.h>
#include <stdint.h>

#include "kernel/kernel.h"
#include "runtime/heap.h"
#include "kernel/lock.h"
#include "socle.h"

/* What lies below stackguard: room for a checked function's small frame (compared without its size), for what is called
 * while a lock is held (fault.c), for unchecked kernel code, and for the overflow report itself. */
#define STACK_SLACK 2048
#define G0_SLACK 4096

/* ---- stack.c ---- */

struct g;

enum stack_kind { STACK_GOROUTINE, STACK_G0, STACK_FOREIGN, STACK_THREAD, STACK_KINDS };

/* Lies at the very top of each slot of the arena, on the page that stays backed. Its owner (g, m) lies just below it,
 * at hi, and the stack below that: one page holds all that a parked goroutine needs. */
struct stack {
	uintptr_t guard, lo, hi; /* guard at [guard, lo), stack at [lo, hi) */
	uintptr_t touched;	 /* the lowest page that is backed; written by the fault handler */
	struct stack_class *class;
	struct stack *next_free;
	enum stack_kind kind;
	bool in_use;
	bool released; /* free, and its page is on the way back */
	unsigned held; /* slots without a page, whose addresses are on this one's */
};

struct stack *stack_alloc(size_t size, enum stack_kind kind); /* NULL and errno: EINVAL, EAGAIN, ENOMEM */
void stack_free(struct stack *s);
size_t stacks_in_use(void);
size_t stack_slots(void); /* of which a page is backed: all that were ever in use, less what was released */
void stacks_flush(void);  /* gives back what the CPUs keep of freed stacks */
extern size_t (*_Atomic stacks_reclaim)(void); /* what runtime_reclaim() calls, once there may be free stacks */
size_t stacks_release_if_room(void);
/* The last frames may be in use, which are for panics. */
static inline SOCLE_UNCHECKED bool memory_is_short(void) { return frames_free() <= 2 * FRAMES_KEPT; }
static inline SOCLE_UNCHECKED void stacks_will_end(void)
{
	if (atomic_load_explicit(&stacks_reclaim, memory_order_relaxed) == NULL)
		atomic_store_explicit(&stacks_reclaim, stacks_release_if_room, memory_order_relaxed);
}
enum stack_fault { STACK_GROWN, STACK_OUT_OF_MEMORY, STACK_GUARD_HIT, STACK_NONE };
enum stack_fault stack_fault(const struct g *g, uintptr_t address, bool emergency); /* on a handler's stack */
int stack_extend(struct g *g, bool in_handler);	 /* into the guard, for a panic to run on; -1: already, or no frames */
void stack_retract(struct g *g);		 /* takes that back, and what the stack grew to below SP */
struct stack *stack_find(uintptr_t address);	 /* the arena's stack that holds the address, its guard included */
struct stack *stack_next(const struct stack *s); /* all in use, by address; NULL starts; NULL ends */

/* ---- proc.c ---- */

enum g_status {
	G_DEAD,	    /* the stack is on a free list, or g is new */
	G_RUNNABLE, /* on a run queue, which owns the stack */
	G_RUNNING,  /* the m runs on the stack, or on its g0 for it (a foreign call) */
	G_WAITING,  /* whoever will ready it owns the stack */
	G_TRIMMED,  /* the same, but for what is below SP: socle_stack_trim() is giving that back */
};

struct g {
	union { /* known to assembly: first */
		struct tcb tcb;
		struct {
			void *in_tcb[3];
			struct m *m; /* while running: tcb.system */
			/* Of its foreign call (tcb.ended): errno of the fault that ended it, or P_LOST, or 0: it will
			 * just return; LEAF_CALL more than P_LOST or 0 where callbacks are not allowed. */
			int call_ended;
		};
	};
	uintptr_t lo, hi; /* the stack's bounds */
	struct g *next;	  /* in one queue at a time */
	enum g_status status;
	unsigned callbacks;	 /* how many callbacks it is in; while > 0 it is locked to its m */
	struct m *locked_m;	 /* the m whose g0 holds its foreign frames */
	const char *waiting_for; /* in words, while G_WAITING */
	const void *waiting_on;
	unsigned locks; /* spin locks held */
	unsigned long id;
	const char *name;
	socle_fn fn;
	void *arg;
	struct stack *stack;		/* NULL: m0's g0, on the boot stack */
	struct _reent *reent;		/* the C library's errno and such: own_reent, once it was asked for */
	unsigned libc_locks;		/* locks of the C library held */
	struct local *local;		/* what is to be undone at its end; NULL: nothing */
	struct crossing *crossings;	/* callbacks and calls with a stack of their own, innermost first */
	struct try *try;		/* the innermost, NULL: nobody catches */
	struct socle_cleanup *cleanups; /* last pushed first */
	bool panicking;			/* by a trap or an overflow: may use the frames kept for that */
	bool exiting;			/* in socle_exit(), which a panic does not end */
	struct crossing *left;		/* the innermost when that began: it leaves that and those further out */
	struct socle_panic panic;
	struct g *all; /* every g there is, the dead too: sched.lock */
	struct _reent own_reent;
};

/* pthread.c's, in images that use it. */
struct local {
	void (*end)(struct g *g);
};

struct m {
	struct g g0; /* known to assembly: first */
	struct thread thread;
	struct p *p;		  /* held while it runs goroutine code; in foreign code, until a tick takes it */
	struct p *next_p;	  /* handed to it while it is parked */
	struct g *current;	  /* the goroutine it runs, or makes a foreign call for */
	struct g *locked_g;	  /* must run this one next */
	struct fiber *fiber;	  /* the last that called back: looked at first */
	struct socle_fault fault; /* the last one contained, until its foreign call has returned */
	unsigned id;
	struct m *next;		    /* idle list: sched.lock */
	int (*attach)(struct m *m); /* a foreign thread's, around a callback */
	void (*detach)(struct m *m);
};

#define RUN_QUEUE 256

enum { TIMERS_DUE = 1, THREADS_DUE = 2, TURN_DUE = 4 };

/* See runq.h. */
struct run_queue {
	struct g *_Atomic runnext; /* the owner's to put, anybody's to take; NULL: nobody */
	atomic_uint head, tail;	   /* tail: the owner's. head: whoever takes, by compare and swap */
	struct g *_Atomic slot[RUN_QUEUE];
};

/* One for each CPU. Only an m on that CPU holds it, or one that was just woken to run there. */
struct p {
	_Alignas(64) unsigned id; /* the CPU's */
	unsigned until_global;	  /* counts down: every 61st time the global queue comes first */
	struct run_queue queue;
	uint32_t random; /* select's: any start is good */
	struct spin_lock timers_lock;
	struct timer *timers; /* heap.c: earliest first */
	_Atomic int64_t
		next_timer;	 /* when that is, for handlers; INT64_MAX: there is none. Under timers_lock to write */
	volatile uint8_t due;	 /* set by the CPU's handlers, for the scheduler; interrupts masked */
	struct m *idle_m;	 /* parked with it, for want of work: see idle.c */
	bool spinning;		 /* looks for work on behalf of all */
	uint8_t retries;	 /* ticks since one was of use */
	bool ticking;		 /* turn_end is set */
	unsigned inherited;	 /* counts the switches to runnext */
	unsigned sleeper_at;	 /* all switches until a sleeper was put first */
	unsigned turn;		 /* until_global when the current turn began: tells whether there was a switch since */
#define NEXT_TURN ~0u		 /* no until_global: whoever runs when the tick looks next has only begun */
	unsigned thread_turn;	 /* the same of thread_switches() */
	unsigned long preempted; /* how many turns were ended by the tick */
	int64_t turn_end;	 /* the tick looks then; INT64_MAX: no need to */
};

extern struct m m0;
extern struct p ps[MAX_CPUS]; /* by CPU */

static inline struct g *getg(void) { return (struct g *)arch_tcb(); }
static inline struct p *this_p(void) { return &ps[arch_cpu()]; } /* whoever holds it */
static inline SOCLE_UNCHECKED const char *g_name(const struct g *g) { return g->name != NULL ? g->name : "unnamed"; }
/* Whether g stands for a foreign thread itself, or is the g0 of one. */
static inline SOCLE_UNCHECKED bool is_foreign_thread(const struct g *g)
{
	return g->stack != NULL && g->stack->kind == STACK_THREAD;
}
static inline bool on_g0(const struct g *g) { return g == &g->m->g0; }

/* The count is the g's, as the holder: one that moved to another m in between would leave the wrong m's. Counted when it
 * is held: where there is no lock, because the caller was given NULL, the fault may become a panic. */
static inline void lock(struct spin_lock *l)
{
	spin_lock(l);
	getg()->locks++;
}

static inline void unlock(struct spin_lock *l)
{
	spin_unlock(l);
	getg()->locks--;
}

/* The first lock of an operation: what is called with it held, or after it was let go, may use so much of the stack, and
 * finds it backed. Were a frame to be missing in the middle, the operation could neither go on nor be given up. */
#define OPERATION_ROOM 1024
static inline void lock_first(struct spin_lock *l)
{
	arch_touch_stack(OPERATION_ROOM);
	lock(l);
}

/* As lock(), of one that nobody else knows yet. */
static inline void lock_new(struct spin_lock *l)
{
	getg()->locks++;
	atomic_init(&l->held, 1);
}

/* 0, or -1 and EPERM on g0. */
static inline int require_goroutine(void)
{
	if (!on_g0(getg()))
		return 0;
	errno = EPERM;
	return -1;
}

int go(const struct socle_go_attr *attr, socle_fn fn, void *arg); /* socle_go_attr, from any stack */
/* Without a context and an id. NULL and errno. */
struct g *new_g(const struct socle_go_attr *attr, socle_fn fn, void *arg);
void enlist_g(struct g *g, struct stack *s); /* among all_gs() */
void unlist_gs(void);			     /* those whose stacks are released */
unsigned long new_id(void);
void schedule(void) __attribute__((noreturn)); /* on g0 */
void ready(struct g *g);		       /* which is about to park, or has: it comes next */
void ready_last(struct g *g);		       /* the same, behind those that can run */
void stop_waiting(struct g *g);		       /* the same, for the caller to run */
struct g *all_gs(void);
bool anyone_runnable(const struct p *p); /* waiting for the CPU. On any stack */
void end_turn(void *unused);		 /* of a goroutine or a foreign routine: others go first */
void end_turn_if_due(struct g *g);	 /* on g */

/* ---- m.c: on g0 ---- */

bool hand_off(struct p *p);	 /* to an idle m, or a new one. False: no memory for one */
void stop_locked_m(struct m *m); /* the goroutine that it is locked to cannot run yet: others may, on another m */
void start_locked_m(struct m *m, struct g *g); /* g runs on another m, which gets our p */
void get_p_back(void *m);		       /* for its goroutine to go on */
void bury(struct m *m);			       /* its thread parks next, for good */
void free_dead_ms(void);		       /* not on the stack of one */
void start_ps(void);			       /* those of the other CPUs. Boot only */

/* ---- idle.c ---- */

extern atomic_uint idle_ps; /* a bit for each idle p. Who clears it wakes p->idle_m */
static ALWAYS_INLINE bool any_idle(void) { return atomic_load_explicit(&idle_ps, memory_order_seq_cst) != 0; }
void wake_one(void);	       /* if any is idle: there is a goroutine in some queue */
bool wake_idle_m(struct p *p); /* there is work for it. False: it is not idle. On any stack */
void look_for_p(struct p *p);  /* for a goroutine in a queue. Until one is found, p's turns are of limited length */
struct g *find_elsewhere(struct m *m); /* on another CPU; or waits. NULL: there is something to be done. On g0 */

/* ---- foreign.c ---- */

struct bounds {
	uintptr_t lo, hi;
};

/* How g0 was before a callback, or before its place was taken by another stack: of one call, or a fiber's. Lies on g0
 * or on the goroutine's stack. */
struct crossing {
	struct crossing *outer;
	void *g0_sp;
	socle_fn callback;   /* the callback's function, or ANOTHER_STACK */
	struct stack *stack; /* the call's; NULL: the fiber's */
	struct fiber *fiber;
	struct bounds bounds;
	uintptr_t stack_limit;
};

#define ANOTHER_STACK ((socle_fn)1) /* not NULL: that might be called back, and panics there */

enum { P_LOST = -1 };
/* m makes a foreign call, and its p is another's now. */
static inline void lose_p(struct m *m)
{
	m->p = NULL;
	m->current->call_ended = (m->current->call_ended == LEAF_CALL ? LEAF_CALL : 0) + P_LOST;
}
void leave_crossing(struct g *g); /* the innermost */
void end_foreign_call(void *g), end_leaf_call(void *g);

void move_g0(struct g *g, struct crossing *c, struct bounds to);

/* ---- fiber.c: on any stack ---- */

struct fiber {
	atomic_uintptr_t lo, hi; /* hi 0: an unused entry */
	atomic_uint callbacks;	 /* made from it, that have not returned */
	struct fiber *next;
};

bool fiber_holds(const struct fiber *f, uintptr_t address);
struct fiber *fiber_find(uintptr_t address);
struct fiber *fiber_next(const struct fiber *f); /* NULL: the first */
struct bounds fiber_bounds(const struct fiber *f);
struct bounds current_bounds(const struct g *g, uintptr_t sp);
bool overlaps_our_stacks(uintptr_t lo, uintptr_t hi); /* or their guards */
void enter_fiber(struct m *m, struct crossing *c, struct fiber *f);
void leave_fiber(struct m *m);

/* ---- foreign_thread.c ---- */

enum { FOREIGN_THREAD_STACK = 256 << 10, FOREIGN_THREAD_STACK_MIN = 64 << 10 };

struct foreign_thread {
	struct m m;   /* never runs the scheduler; its g0 is the thread's stack */
	struct g own; /* m.current outside of callbacks: for the C library and pthreads. No goroutine code runs on it */
	socle_fn fn;
	void *arg;
};

unsigned foreign_threads_attached(void);		  /* how many are in a callback */
void foreign_thread_exit(void) __attribute__((noreturn)); /* of the calling one, whose frames are abandoned */
void foreign_park(const char *why, const void *on);	  /* the thread, until foreign_ready(). Foreign code, on g0 */
void foreign_ready(struct thread *t);			  /* at most once for each park */

/* ---- panic.c, fault.c ---- */

/* What socle_try() has on the stack. */
struct
try {
	struct try *outer;
	/* Goes on at g's innermost try, which this is. On g's stack. Never returns. By a pointer, so that an image that calls
	 * no socle_try() does without. */
	void (*raise)(void *g);
	struct socle_cleanup *cleanups; /* those pushed since are this try's to run */
	struct crossing *crossings;	/* likewise */
	unsigned libc_locks;
	void *context; /* to resume: returns from arch_call_on() in socle_try() */
	struct socle_panic *out;
	bool panicked;
	bool panicking, extended, exiting; /* what this try is in: a cleanup of a trap, an extended stack, an exit */
	socle_fn fn;
	void *arg;
};

/* Whether nothing of what a panic is to give up is needed any more. Then that takes no stack, and may begin at the try's
 * context: how a second overflow is caught, in a cleanup of the first. */
static inline SOCLE_UNCHECKED bool unwinds_at_once(const struct g *g)
{
	return g->cleanups == g->try->cleanups && g->crossings == g->try->crossings;
}

void leave_tries(struct g *g);	     /* for socle_exit(): runs all cleanups */
bool cannot_exit(const struct g *g); /* it holds a lock of the C library; or a callback, which no panic leaves anyway */
bool left_stack(const struct trap *t);

/* ---- time.c ---- */

/* On p's CPU: readies who waits for a time that has come, but for the `first` of them, which it returns for the caller to
 * run; sets the hardware for the next. */
struct g *timers_run(struct p *p, bool first);
void timer_arm(struct timer *t);    /* deadline, g (the caller) or fire, race are set */
void timer_cancel(struct timer *t); /* whether it has fired or not: from here on nobody else touches it */

/* ---- preempt.c ---- */

void timers_changed(struct p *p); /* sets the hardware for the earliest timer or the end of the turn */
void timers_done(struct p *p);	  /* timers_run() has been through */
void start_turn(struct p *p);	  /* the running goroutine has others waiting behind it */
void chaos_start(uint32_t seed);  /* not 0 */
uint32_t chaos_random(void);	  /* 0: there is no chaos */
extern bool chaos_started;
void chaos_stall_now(void);
/* Where another CPU could come in between; not where it would cost the usual case. */
static ALWAYS_INLINE void chaos_stall(void)
{
	if (__builtin_expect(chaos_started, false))
		chaos_stall_now();
}

/* boot/, arch/, kernel/ and runtime/ lie together (linker.ld): a fault there is ours, and it is never preempted. */
extern char core_text_start[], core_text_end[];
static inline SOCLE_UNCHECKED bool in_core(uintptr_t pc)
{
	return pc >= (uintptr_t)core_text_start && pc < (uintptr_t)core_text_end;
}

/* ---- libc.c ---- */

struct _reent *reent_of(struct g *g);
void reent_free(struct g *g); /* which has one */

/* ---- report.c, stackmap.c: on any stack, handlers' included ---- */

void traceback(uintptr_t pc, uintptr_t link, uintptr_t sp, uintptr_t fp);
bool stack_query(uintptr_t address,
		 struct socle_stack_info *out); /* the stack or guard that holds it; not how much is backed */
void stack_map(uintptr_t sp);
void print_owner(const struct socle_stack_info *info); /* "goroutine 1 (main)" */

#endif
