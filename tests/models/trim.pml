/*
 * A goroutine that parks, is made ready on a second CPU, and whose stack a third trims meanwhile: park_on_g0() and
 * ready() of runtime/proc.c, trim() and wait_for_trim() of stack.c, by the same names. Nothing is given back of a
 * stack that is in use, nor is SP read that was saved for an earlier wait; no wake-up is lost.
 *
 * Memory: SP and the status go through the store buffer of the CPU that parks, in any order; what is given back, and
 * `trimmed`, through that of the CPU that trims. A release waits for what was stored before. An acquire is an order
 * of loads, which come in their order here.
 *
 * Bugs: EXCHANGE_LEFT_OUT (ready() reads the status, then writes it), NOT_WAITED (for the end of trim()),
 * STATUS_RELAXED (G_WAITING may be seen before SP), TRIMMED_RELAXED (G_TRIMMED before `trimmed`), BACK_RELAXED
 * (G_WAITING again before what was given back), END_RELAXED (the end of `trimmed` before that).
 */
#define ROUNDS 2

mtype = { G_RUNNABLE, G_RUNNING, G_WAITING, G_TRIMMED };

mtype status = G_RUNNING;
byte sp, saved_sp;	/* in memory; in truth */
bool held, queued;	/* the lock that it releases; in a run queue */
bool trimmed, giving_back;
bool stored_sp, stored_waiting, stored_trimmed, stored_given, stored_end;
byte rounds;

proctype store_buffers()
{
end:	do
	:: d_step { stored_sp -> sp = saved_sp; stored_sp = false }
	:: d_step { stored_waiting -> status = G_WAITING; stored_waiting = false }
	:: d_step { stored_trimmed -> trimmed = true; stored_trimmed = false }
	:: d_step { stored_given -> giving_back = false; stored_given = false }
	:: d_step { stored_end && !stored_trimmed -> trimmed = false; stored_end = false }
	od
}

/* A wait, and what comes after. */
proctype parks()
{
	do
	:: rounds == ROUNDS -> break
	:: else ->
		atomic { !held -> held = true };
		d_step { saved_sp = 3 - saved_sp; stored_sp = true };
#ifndef STATUS_RELAXED
		!stored_sp;
#endif
		stored_waiting = true;
		!stored_sp && !stored_waiting;
		held = false;
		queued;
		d_step { assert(status == G_RUNNABLE && !giving_back); queued = false; status = G_RUNNING; rounds++ }
	od
}

inline ready()
{
#ifdef EXCHANGE_LEFT_OUT
	was = status;
	status = G_RUNNABLE;
#else
	d_step { was = status; status = G_RUNNABLE };
#endif
	assert(was == G_WAITING || was == G_TRIMMED);
#ifndef NOT_WAITED
	if
	:: was == G_TRIMMED -> !trimmed /* wait_for_trim() */
	:: else
	fi;
#endif
	queued = true
}

/* Once for each wait. */
proctype readies()
{
	mtype was;
	byte n;

	do
	:: n == ROUNDS -> break
	:: else ->
		atomic { rounds == n && saved_sp == 1 + n % 2 && !held -> held = true };
		held = false;
		ready();
		n++
	od
}

inline trim()
{
	stored_trimmed = true;
#ifndef TRIMMED_RELAXED
	!stored_trimmed;
#endif
	if
	:: d_step { status == G_WAITING -> status = G_TRIMMED };
	   giving_back = true;
	   assert(sp == saved_sp && !queued);
	   stored_given = true;
	   if
#ifdef BACK_RELAXED
	   :: d_step { status == G_TRIMMED -> status = G_WAITING }
#else
	   :: d_step { status == G_TRIMMED && !stored_given -> status = G_WAITING }
#endif
	   :: status != G_TRIMMED
	   fi
	:: else
	fi;
#ifndef END_RELAXED
	!stored_given && !stored_trimmed;
#endif
	stored_end = true;
	!stored_end && !stored_given && !stored_trimmed
}

proctype trims()
{
	do
	:: rounds < ROUNDS -> trim()
	:: break
	od
}

init {
	atomic { saved_sp = 2; run store_buffers(); run parks(); run readies(); run trims() }
	timeout;
	assert(rounds == ROUNDS)
}
