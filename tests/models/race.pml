/*
 * A wait with a deadline: wait_until() and leave_queue() of runtime/wait.c, take_waiter(), has_waiter(), race_claim(),
 * race_over() and race_win() of wait.h, timers_run(), fire_first(), timer_arm() and timer_cancel() of time.c, line for
 * line and by the same names, of one waiter in its queue. The queue's waker and the timer run a race, each on a CPU of
 * its own. The goroutine is woken exactly once, not before its context is saved; when it goes on nobody touches what
 * lay on its stack (the race, the waiter, the timer), and it does not touch the queue's lock after its object was
 * freed.
 *
 * Memory: all that is shared is read and written under a lock, which orders it: see park.pml. So nothing is reordered.
 *
 * Bugs: READY_AT_ONCE (ready() does not wait for the context to be saved), CLAIM_UNLOCKED, NO_CANCEL, NO_LEAVE, LEAVE_WAITS (for
 * the queue's lock, with the race's held), LEAVE_UNASKED (takes the queue's lock whether the waiter is in or not).
 */
#define NOBODY 0
#define W 1
#define T 2

bool l, race_lock, timers_lock;		/* held */
bool object = true;			/* the queue and l are there */
bool stack;				/* race, w and t are there */
bool queue_head, w_race;		/* w is in the queue, in the race */
bool t_queued;
byte winner;
bool saved, went_on, waited;
byte woken;

inline spin_lock(x) { atomic { !x -> x = true } }
inline touch_stack() { assert(stack) }

inline ready()
{
#ifndef READY_AT_ONCE
	saved;
#endif
	d_step {
		assert(saved && woken == 0);
		woken++
	}
}

/* won */
inline race_win(who)
{
	touch_stack();
	spin_lock(race_lock);
	won = winner == NOBODY;
	if
	:: won -> winner = who
	:: else
	fi;
	touch_stack();
	race_lock = false
}

inline race_claim()
{
	touch_stack();
#ifndef CLAIM_UNLOCKED
	spin_lock(race_lock);
#endif
	w_race = false;
	won = winner == NOBODY;
	if
	:: won -> winner = W
	:: else
	fi;
	touch_stack();
#ifndef CLAIM_UNLOCKED
	race_lock = false
#endif
}

inline race_over()
{
	touch_stack();
	spin_lock(race_lock);
	over = winner != NOBODY;
	if
	:: over -> w_race = false
	:: else
	fi;
	touch_stack();
	race_lock = false
}

/* won: w is for the caller to wake. */
inline take_waiter()
{
	if
	:: queue_head -> touch_stack(); queue_head = false; race_claim()
	:: else
	fi
}

inline has_waiter()
{
	if
	:: queue_head ->
		race_over();
		if
		:: over -> queue_head = false
		:: else
		fi
	:: else
	fi
}

inline leave_queue()
{
#ifdef LEAVE_UNASKED
	assert(object);
	spin_lock(l);
	queue_head = false;
	l = false
#else
	spin_lock(race_lock);
	do
	:: !w_race -> break
	:: else ->
		assert(object);
#ifdef LEAVE_WAITS
		spin_lock(l);
		break
#else
		if
		:: atomic { !l -> l = true }; break
		:: l -> race_lock = false; spin_lock(race_lock)
		fi
#endif
	od;
	if
	:: w_race -> queue_head = false; assert(object); l = false
	:: else
	fi;
	race_lock = false
#endif
}

inline timer_arm()
{
	spin_lock(timers_lock);
	t_queued = true;
	timers_lock = false
}

inline timer_cancel()
{
	spin_lock(timers_lock);
	if
	:: t_queued -> t_queued = false
	:: else
	fi;
	timers_lock = false
}

/* wait_in() and wait_until() */
proctype waits()
{
	spin_lock(l);
	stack = true;
	spin_lock(race_lock);
	w_race = true;
	queue_head = true;
	waited = true;
	timer_arm();
	l = false;
	race_lock = false;	/* park() */
	saved = true;
	woken == 1;
#ifndef NO_CANCEL
	timer_cancel();
#endif
#ifndef NO_LEAVE
	leave_queue();
#endif
	assert(winner != NOBODY);
	stack = false;
	went_on = true
}

/* Sends, unlocks, closes. */
proctype wakes()
{
	bool won, over, gone;

	spin_lock(l);
	if
	:: has_waiter()
	:: skip
	fi;
	take_waiter();
	gone = waited && !queue_head;
	l = false;
	if
	:: won -> ready()
	:: else
	fi;
	if
	:: gone -> object = false /* who waited is out of the queue: it may be freed */
	:: else
	fi
}

/* The deadline has come. */
proctype timers_run()
{
	bool won;

end:	t_queued;
	spin_lock(timers_lock);
	if
	:: t_queued -> /* fire_first() */
		touch_stack();
		t_queued = false;
		race_win(T);
		if
		:: won -> ready()
		:: else
		fi
	:: else
	fi;
	timers_lock = false
}

init {
	atomic { run waits(); run wakes(); run timers_run() }
	timeout;
	assert(went_on)
}
