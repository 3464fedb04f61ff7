/*
 * A goroutine that parks on one CPU while another makes it ready: park() and ready() of runtime/runtime.h and proc.c
 * with park_on_g0(), yield_on_g0() and execute(), and lock.h, line for line and by the same names. What they wait for
 * is a semaphore: wait(), give(). A context is never resumed before it is saved, no wake-up is lost.
 *
 * Memory: the context that arch_mcall() saves and the status go through a store buffer of the CPU, that empties in any
 * order; a release waits for both. Where the acquire of a lock is left out, what it protects may be read before. The
 * run queue is one, and puts and takes at once: runq.pml shows that a put releases and a get acquires.
 *
 * The status releases too, for who asks nothing else: trim.pml, which also has what ready() does then.
 *
 * Bugs: RELEASED_BEFORE_SAVED, STATUS_AFTER_RELEASE, RELEASE_RELAXED, LOCK_RELAXED, PUT_RELAXED (the run queue's).
 */
#define CPUS 2
#define ROUNDS 2
#define WAITER 1
#define GIVER 2

mtype = { G_DEAD, G_RUNNABLE, G_RUNNING, G_WAITING };

mtype status[3] = G_RUNNABLE;
bool saved[3] = true;	/* the context, whole */
byte stored_saved[CPUS], stored_waiting[CPUS]; /* the g; 0: none */
chan queue = [2] of { byte };
bool held;		/* the semaphore's lock */
byte count, waiter;	/* waiter 0: nobody */
byte waits = ROUNDS, gives = ROUNDS;

#define stored_all(c) (stored_saved[c] == 0 && stored_waiting[c] == 0)

proctype store_buffer(byte c)
{
end:	do
	:: d_step { stored_saved[c] != 0 -> saved[stored_saved[c]] = true; stored_saved[c] = 0 }
	:: d_step { stored_waiting[c] != 0 -> status[stored_waiting[c]] = G_WAITING; stored_waiting[c] = 0 }
	od
}

inline spin_lock() { atomic { !held -> held = true } }
inline spin_unlock() { held = false }	/* what it orders here was not buffered */

inline enqueue(g)
{
#ifndef PUT_RELAXED
	stored_all(c);
#endif
	queue ! g
}

inline save(g) { atomic { stored_saved[c] == 0 -> stored_saved[c] = g } }
inline wait_status(g) { atomic { stored_all(c) -> stored_waiting[c] = g } }

inline park_on_g0(g)
{
#ifndef STATUS_AFTER_RELEASE
	wait_status(g);
#endif
#ifndef RELEASED_BEFORE_SAVED
#ifndef RELEASE_RELAXED
	stored_all(c);
#endif
	spin_unlock();
#endif
#ifdef STATUS_AFTER_RELEASE
	wait_status(g);
#endif
}

/* arch_mcall: the context is saved, then park_on_g0() runs. */
inline park(g)
{
#ifdef RELEASED_BEFORE_SAVED
	spin_unlock();
#endif
	save(g);
	park_on_g0(g)
}

inline ready(g)
{
	d_step { assert(status[g] == G_WAITING); status[g] = G_RUNNABLE };
	enqueue(g)
}

inline yield_on_g0(g)
{
	save(g);
	status[g] = G_RUNNABLE;
	enqueue(g)
}

inline execute(g)
{
	assert(status[g] == G_RUNNABLE);
	status[g] = G_RUNNING;
	assert(saved[g]);
	saved[g] = false
}

proctype cpu(byte c)
{
	byte g, w;

end:	do
	:: queue ? g ->
		execute(g);
		do
		:: g == WAITER && waits > 0 ->	/* wait() */
			spin_lock();
			waits--;
			if
			:: count > 0 -> count--; spin_unlock()
			:: else -> waiter = g; park(g); break
			fi
		:: g == GIVER && gives > 0 ->	/* give() */
			gives--;
#ifdef LOCK_RELAXED
			if
			:: w = waiter; spin_lock()
			:: spin_lock(); w = waiter
			fi;
#else
			spin_lock();
			w = waiter;
#endif
			if
			:: w != 0 -> waiter = 0; spin_unlock(); ready(w); w = 0
			:: else -> count++; spin_unlock()
			fi
		:: g == GIVER && gives > 0 -> yield_on_g0(g); break
		:: (g == WAITER && waits == 0) || (g == GIVER && gives == 0) ->
			status[g] = G_DEAD;	/* socle_exit() */
			break
		od;
		g = 0
	od
}

init {
	byte c;

	atomic {
		queue ! WAITER;
		queue ! GIVER;
		do
		:: c < CPUS -> run cpu(c); run store_buffer(c); c++
		:: else -> break
		od
	}
	timeout;
	assert(status[WAITER] == G_DEAD && status[GIVER] == G_DEAD)
}
