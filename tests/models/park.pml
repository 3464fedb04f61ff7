/*
 * A goroutine that parks on one CPU while another makes it ready, or that yields: park(), take_next(), socle_yield(),
 * ready() and execute() of runtime/switch.h and proc.c, and lock.h, by the same names. What they wait for is a
 * semaphore: wait(), give(). A context is never resumed before it is saved, no wake-up is lost.
 *
 * Memory: the context that arch_switch() or arch_mcall() saves, and the status, go through a store buffer of the CPU,
 * that empties in any order; a release waits for both. Where the acquire of a lock is left out, what it protects may be
 * read before. The run queue is one, and puts and takes at once: runq.pml shows that a put releases and a get acquires.
 *
 * Bugs: WAITING_RELAXED (seen before the context), WAITING_EARLY (before it is saved), NOT_WAITED (ready() does not
 * wait for G_WAITING), PUT_RELAXED (the run queue's), PUT_EARLY (a yield, before the context is saved), LOCK_RELAXED.
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

inline set_waiting(g)
{
#if !defined(WAITING_RELAXED) && !defined(WAITING_EARLY)
	stored_saved[c] == 0;
#endif
	atomic { stored_waiting[c] == 0 -> stored_waiting[c] = g }
}

/* next: 0 where g0 is to find it, later. */
inline take_next()
{
	if
	:: queue ? next
	:: true
	fi
}

inline park(g)
{
	spin_unlock();
	take_next();
#ifdef WAITING_EARLY
	set_waiting(g);
	save(g)
#else
	save(g);
	set_waiting(g)
#endif
}

inline ready(g)
{
	assert(status[g] == G_WAITING || status[g] == G_RUNNING);
#ifdef NOT_WAITED
	status[g] = G_RUNNABLE;
#else
	d_step { status[g] == G_WAITING -> status[g] = G_RUNNABLE };
#endif
	enqueue(g)
}

inline yield(g)
{
	take_next();
	status[g] = G_RUNNABLE;
#ifdef PUT_EARLY
	enqueue(g);
	save(g)
#else
	save(g);
	enqueue(g)
#endif
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
	byte g, w, next;

end:	do
	:: queue ? next ->
switch:		g = next;
		next = 0;
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
		:: g == GIVER && gives > 0 -> yield(g); break
		:: (g == WAITER && waits == 0) || (g == GIVER && gives == 0) ->
			status[g] = G_DEAD;	/* socle_exit() */
			break
		od;
		g = 0;
		if
		:: next != 0 -> goto switch
		:: else
		fi
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
