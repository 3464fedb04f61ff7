/*
 * CPUs that put goroutines in their queues, and CPUs that have nothing to run: runtime/idle.c, from take_idle() to
 * find_elsewhere(), with enqueue() and find_runnable() of proc.c and the tick of preempt.c, by the same names. A p is a
 * CPU; of a queue only counts how many are in it, runnext among them; runq.pml has the ring. Parking keeps a wake-up:
 * thread.pml. Whoever looks may see nothing, for it looks at one queue after the other, and p->due ends it; a timer's
 * tick may wake a p that sleeps.
 *
 * At the end no goroutine is queued while a CPU sleeps, for those that run may run for ever, and nobody is said to
 * spin. CPU 0 begins with a goroutine, the others look for work. Goroutines put PUTS more, the last of them perhaps
 * into the global queue; ENDS of them end. If they yield, YIELDS times, turns end, too, and that is all that who
 * yields need do for the others; without, no tick makes up for what was missed.
 *
 * Memory: the tails, idle_ps and `spinning` are sequentially consistent, so each access is one step. Where a bug
 * takes that away, what is stored goes through the CPU's store buffer, which its next atomic read-modify-write
 * empties.
 *
 * Bugs: NO_PUT_FENCE, NO_IDLE_FENCE, NO_STOP_FENCE, NO_STEAL_FENCE, NO_SECOND_LOOK, TAKE_IGNORED (who was taken
 * meanwhile does not wait for being woken), SPINNING_BEFORE_WON (p->spinning, before p is taken),
 * SPINNING_CLEARED_LATE (after the look in stop_spinning()), STOPS_UNASKED (no look there), GIVES_UP (wake_one()
 * found all taken, and does not look again), THIEF_SILENT (wakes nobody for the rest of its loot), GLOBAL_UNSEEN (who
 * goes to sleep asks the own queues only), SHARE_SILENT (nobody is woken for what comes from there), TICK_SILENT (wakes
 * nobody), TICK_TOO_EARLY (finds nobody, while one is in no queue, and is the last), NO_TURN (who yields starts none).
 */
#ifndef CPUS
#define CPUS 2
#endif
#define PUTS (5 - CPUS)
#define ENDS (CPUS == 2 -> 3 : 1)
#ifndef YIELDS
#define YIELDS 0
#endif
#define TICKS 1
#define MOVES 1

byte queued[CPUS], queued_globally;
byte idle_ps;		/* a bit for each */
bool spinning;
bool p_spinning[CPUS], wakeup[CPUS], ticking[CPUS];
byte puts, yields, ends, ticks, moves, asleep;

/* Empty, unless somebody yields, or there is a bug. */
byte stored_tail[CPUS];	/* how many more */
bool stored_idle[CPUS], stored_stop[CPUS];

#define in_queue(t) (queued[t] + (t == c -> stored_tail[c] : 0))
#define empty(c) (stored_tail[c] == 0 && !stored_idle[c] && !stored_stop[c])

proctype store_buffer(byte c)
{
end:	do
	:: d_step { stored_tail[c] > 0 -> queued[c] = queued[c] + stored_tail[c]; stored_tail[c] = 0 }
	:: d_step { stored_idle[c] -> idle_ps = idle_ps | (1 << c); stored_idle[c] = false }
	:: d_step { stored_stop[c] -> spinning = false; stored_stop[c] = false }
	od
}

/* These two set `won`. */
inline take_idle(t) { d_step { empty(c) -> won = (idle_ps >> t) & 1; idle_ps = idle_ps & ~(1 << t) } }
inline take_spinning() { d_step { empty(c) -> won = !spinning; spinning = true } }

inline clear_spinning()
{
	assert(spinning);
#ifdef NO_STOP_FENCE
	stored_stop[c] = true
#else
	spinning = false
#endif
}

inline wake_one()
{
	do
	:: idle_ps == 0 -> break
	:: idle_ps != 0 ->
	   take_spinning();
	   if
	   :: !won -> break
	   :: else
	   fi;
	   do
	   :: atomic { idle_ps == 0 -> won = false; break }
	   :: atomic { idle_ps != 0 -> t = (idle_ps & 1 -> 0 : (idle_ps & 2 -> 1 : 2)) };
#ifdef SPINNING_BEFORE_WON
	      p_spinning[t] = true;
#endif
	      take_idle(t);
	      if
	      :: won -> d_step { assert(!wakeup[t]); p_spinning[t] = true; wakeup[t] = true }; break
	      :: else
	      fi
	   od;
	   if
	   :: won -> break
	   :: else -> clear_spinning()
	   fi
#ifdef GIVES_UP
	   ; break
#endif
	od;
	atomic { t = 0; won = false }
}

inline look_for_p() { ticking[c] = YIELDS > 0; wake_one() }

/* A tick, at the end of a turn or later, that would change something. core: in a switch. */
inline tick_finds_nobody(core)
{
	d_step {
		ticking[c] && in_queue(c) + queued_globally == 0 ->
#ifdef TICK_TOO_EARLY
		ticking[c] = false
#else
		ticking[c] = core
#endif
	}
}

inline tick_finds_somebody()
{
	ticking[c] && in_queue(c) + queued_globally > 0 && idle_ps != 0 && !spinning ->
#ifdef TICK_SILENT
	false
#else
	wake_one()
#endif
}

/* found */
inline anyone_runnable_anywhere()
{
	found = false;
	do
	:: atomic { t < CPUS && in_queue(t) > 0 -> found = true; break }
	:: atomic { t < CPUS && in_queue(t) == 0 -> t++ }
	:: t == CPUS -> break
	od;
	t = 0;
#ifndef GLOBAL_UNSEEN
	found = found || queued_globally > 0
#endif
}

/* got: one to run. The rest, if any, is in no queue for a moment. */
inline run_queue_steal(victim)
{
	d_step {
		victim != c && queued[victim] > 0 && empty(c) ->
		loot = queued[victim] - queued[victim] / 2 - 1;
		queued[victim] = queued[victim] / 2;
		got = true
	}
}

inline steal()
{
	if
	:: run_queue_steal(0)
	:: run_queue_steal(1)
	:: run_queue_steal(CPUS - 1)
	:: true
	fi;
	if
	:: loot > 0 ->
#ifdef NO_STEAL_FENCE
		stored_tail[c] = loot;
#else
		queued[c] = queued[c] + loot;
#endif
		loot = 0;
#ifndef THIEF_SILENT
		look_for_p()
#endif
	:: else
	fi
}

inline global_queue_get() { d_step { !got && queued_globally > 0 -> queued_globally--; got = true } }

inline stop_spinning()
{
	p_spinning[c] = false;
#ifdef SPINNING_CLEARED_LATE
	anyone_runnable_anywhere();
	clear_spinning();
#else
	clear_spinning();
#ifndef STOPS_UNASKED
	anyone_runnable_anywhere();
#endif
#endif
	if
	:: found -> found = false; wake_one()
	:: else
	fi
}

inline spin()
{
	if
	:: global_queue_get()
	:: queued_globally == 0 -> steal()
	fi;
	stop_spinning()
}

/* A timer's tick of the own CPU, whose thread is parked, takes and wakes it: wake_idle_m(). */
inline thread_park()
{
	asleep++;
end_asleep:
	if
	:: d_step { wakeup[c] -> wakeup[c] = false; asleep-- }
	:: d_step { ticking[c] && in_queue(c) + queued_globally == 0 -> ticking[c] = false }; goto end_asleep
	:: d_step { ticks < TICKS && idle_ps >> c & 1 -> ticks++; idle_ps = idle_ps & ~(1 << c); asleep-- }
	fi
}

inline wait_for_work()
{
#ifdef NO_IDLE_FENCE
	stored_idle[c] = true;
#else
	idle_ps = idle_ps | (1 << c);
#endif
#ifndef NO_SECOND_LOOK
	anyone_runnable_anywhere();
#endif
	if
	:: found -> take_idle(c)
	:: else
	fi;
	if
#ifdef TAKE_IGNORED
	:: found
#else
	:: won
#endif
	:: else -> thread_park()
	fi;
	d_step { won = false; found = false }
}

inline find_elsewhere()
{
	take_spinning();
	if
	:: won -> d_step { won = false; p_spinning[c] = true }; spin()
	:: else -> p_spinning[c] = false; steal()
	fi;
	if
	:: got
	:: else ->
		wait_for_work();
		if
		:: p_spinning[c] -> spin()
		:: else
		fi
	fi
}

inline enqueue_new()
{
#ifdef NO_PUT_FENCE
	stored_tail[c] = stored_tail[c] + 1;
#else
	queued[c]++;
#endif
	look_for_p()
}

inline put_globally() { queued_globally++; look_for_p() }

inline line_up()
{
	d_step { loot = (queued_globally + CPUS - 1) / CPUS; queued_globally = queued_globally - loot };
	do
	:: loot > 0 -> queued[c]++; loot--
	:: else -> break
	od;
	queued[c]++;
#ifndef SHARE_SILENT
	look_for_p()
#endif
}

/* The yielder, by the scheduler. */
inline enqueue()
{
	if
	:: in_queue(c) == 0 && queued_globally > 0 -> line_up()
	:: else ->
		stored_tail[c] = stored_tail[c] + 1;
#ifndef NO_TURN
		ticking[c] = true /* start_turn() */
#endif
	fi
}

/* The next one is taken, then the yielder put, by arch_switch(): in between it is in no queue. */
inline socle_yield()
{
	if
	:: d_step { empty(c) && queued[c] > 0 -> queued[c]--; got = true };
		if
		:: tick_finds_nobody(true)
		:: tick_finds_somebody()
		:: true
		fi;
		stored_tail[c] = stored_tail[c] + 1
	:: in_queue(c) == 0 -> enqueue()
	fi
}

/* From runnext to the tail: in between it is in neither. (To wake nobody for it would do, for the mover takes one next.) */
inline pass_turn_on()
{
	if
	:: atomic { moves < MOVES && empty(c) && queued[c] > 0 -> moves++; queued[c]-- }; enqueue_new() /* put_last() */
	:: true
	fi
}

inline find_runnable()
{
	pass_turn_on();
	do
	:: got -> got = false; break
	:: global_queue_get() /* look_globally() */
	:: d_step { !got && empty(c) && queued[c] > 0 -> queued[c]--; got = true }
	:: d_step { !got && empty(c) && queued[c] == 0 -> skip };
		if
		:: queued_globally == 0 -> find_elsewhere()
		:: queued_globally > 0
		fi
	od
}

proctype cpu(byte c)
{
	byte t, loot;
	bool won, found, got = (c == 0);

	do
	:: find_runnable();
	   do /* a goroutine */
	   :: atomic { puts < PUTS -> puts++ }; enqueue_new()
	   :: atomic { puts == PUTS - 1 -> puts++ }; put_globally()
	   :: atomic { yields < YIELDS -> yields++ }; socle_yield(); break
	   :: atomic { ends < ENDS -> ends++ }; break
	   :: true ->
end_runs_for_ever:
		if
		:: tick_finds_nobody(false)
		:: tick_finds_somebody()
		fi;
		goto end_runs_for_ever
	   od
	od
}

init {
	byte c;

	atomic {
		do
		:: c < CPUS -> run cpu(c); run store_buffer(c); c++
		:: else -> break
		od
	}
	timeout;
	d_step {
		assert(!spinning);
		assert(queued_globally == 0 || asleep == 0);
		c = 0;
		do
		:: c < CPUS -> assert(queued[c] == 0 || asleep == 0); c++
		:: else -> break
		od
	}
}
