/*
 * A goroutine that parks, is made ready on a second CPU, and whose stack a third trims meanwhile: park() and ready() of
 * runtime/switch.h and proc.c, trim() of stack.c, by the same names. Nothing is given back of a stack that is in use,
 * nor is SP read that was saved for an earlier wait; no wake-up is lost.
 *
 * Memory: SP and the status go through the store buffer of the CPU that parks, in any order; what is given back
 * through that of the CPU that trims. A release waits for what was stored before. An acquire is an order of loads,
 * which come in their order here.
 *
 * Bugs: EXCHANGE_LEFT_OUT (ready() reads the status, then writes it), NOT_WAITED (for the end of trim()),
 * STATUS_RELAXED (G_WAITING may be seen before SP), BACK_RELAXED (G_WAITING again before what was given back).
 */
#define ROUNDS 2

mtype = { G_RUNNABLE, G_RUNNING, G_WAITING, G_TRIMMED };

mtype status = G_RUNNING;
byte sp, saved_sp;	/* in memory; in truth */
bool held, queued;	/* the lock that it releases; in a run queue */
bool giving_back;
bool stored_sp, stored_waiting, stored_given;
byte waits, rounds;

proctype store_buffers()
{
end:	do
	:: d_step { stored_sp -> sp = saved_sp; stored_sp = false }
	:: d_step { stored_waiting -> status = G_WAITING; stored_waiting = false }
	:: d_step { stored_given -> giving_back = false; stored_given = false }
	od
}

/* A wait, and what comes after. */
proctype parks()
{
	do
	:: rounds == ROUNDS -> break
	:: else ->
		atomic { !held -> held = true };
		waits++;
		held = false;
		d_step { saved_sp = 3 - saved_sp; stored_sp = true };
#ifndef STATUS_RELAXED
		!stored_sp;
#endif
		stored_waiting = true;
		!stored_sp && !stored_waiting; /* not needed: fewer states */
		queued;
		d_step { assert(status == G_RUNNABLE && !giving_back); queued = false; status = G_RUNNING; rounds++ }
	od
}

inline ready()
{
#ifdef EXCHANGE_LEFT_OUT
	status == G_WAITING;
	status = G_RUNNABLE;
#else
#ifdef NOT_WAITED
	d_step { (status == G_WAITING || status == G_TRIMMED) -> status = G_RUNNABLE };
#else
	d_step { status == G_WAITING -> status = G_RUNNABLE };
#endif
#endif
	queued = true
}

/* Once for each wait. */
proctype readies()
{
	byte n;

	do
	:: n == ROUNDS -> break
	:: else ->
		atomic { waits > n && !held -> held = true };
		held = false;
		ready();
		n++
	od
}

inline trim()
{
	if
	:: d_step { status == G_WAITING -> status = G_TRIMMED };
	   giving_back = true;
	   assert(sp == saved_sp && !queued);
	   stored_given = true;
#ifndef BACK_RELAXED
	   !stored_given;
#endif
	   status = G_WAITING
	:: else
	fi;
	!stored_given
}

proctype trims()
{
	do
	:: rounds < ROUNDS -> trim()
	:: break
	od
}

init {
	atomic { saved_sp = 2; sp = 2; run store_buffers(); run parks(); run readies(); run trims() }
	timeout;
	assert(rounds == ROUNDS)
}
