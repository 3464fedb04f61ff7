/*
 * The p's of foreign calls: runtime/m.c from hand_off() on, schedule_m(), execute() and end_foreign_turn() of proc.c,
 * enter_callback() and leave_crossing() of foreign.c, line for line and by the same names. A p is a CPU, which each
 * thread has for itself: that one CPU serves one at a time only leaves less to come in between. Goroutines make
 * foreign calls, one after the other, whose turns may end, and which may call back; the callback waits for the one
 * ordinary goroutine, OTHER. One m holds each p, and is on its CPU; each call gets a p again; no wake-up is lost.
 *
 * Memory: what is under ms.lock or the global queue's lock is one step. The release of a thread's state and its
 * acquire order next_p: without them it is as with NEXT_P_LATE. All queues are one here, and to sleep is to wait for
 * it: idle.pml; thread_park() keeps a wake-up: thread.pml; the goroutines' own waiting is one step: park.pml.
 *
 * Bugs: LOCKED_M_LATE (set after the g is queued), NEXT_P_LATE (written after thread_ready_on()), READY_ANYWHERE (by
 * hand_off(), on the CPU where the m was last), RETIRED_LATE (after it has woken the other), RETIRED_AFTER_PARK (when
 * it was woken itself), P_KEPT (by an ended turn), FREED_AT_ONCE (a dead m's stack, before its thread has left it).
 */
#ifndef MS
#define MS 3
#endif
#ifndef PS
#define PS 2
#endif
#ifndef IDLE_MS
#define IDLE_MS MS /* none dies */
#endif
#define OTHER 0
#define GS (MS - PS + 1) /* OTHER, and those that make foreign calls */
#define NONE 9

mtype = { G_DEAD, G_RUNNABLE, G_RUNNING, G_WAITING };
mtype = { BEGINS, CALLED_BACK, RETURNS };

chan queue = [GS] of { byte };
mtype status[GS] = G_RUNNABLE, at[GS] = BEGINS;
byte locked_m[GS] = NONE, callbacks[GS];
byte frames[GS] = NONE;	/* on whose g0 its foreign frames are */

byte holder[PS];		/* in truth */
byte p[MS] = NONE, next_p[MS] = NONE;	/* what the m's believe */
byte cpu[MS], wake_cpu[MS];	/* where the m's thread is, and comes to */
bool wakeup[MS], parked[MS];
byte locked_g[MS] = NONE;
bool started[MS], idle[MS], dead[MS];
byte idles;
bool no_memory;		/* for a further m, and there are dead ones that were not freed yet: the run ends here */

/* ---- kernel/thread.c ---- */

inline thread_park()
{
	parked[m] = true; /* off its stack */
end_parked:
	d_step { wakeup[m] -> parked[m] = false; wakeup[m] = false; cpu[m] = wake_cpu[m]; wake_cpu[m] = 0 }
}

inline thread_ready_on(t, c) { d_step { assert(!wakeup[t]); wakeup[t] = true; wake_cpu[t] = c } }

/* ---- runtime/m.c ---- */

inline give(to)	/* other->next_p = m->p */
{
	d_step {
		assert(holder[p[m]] == m && cpu[m] == p[m] && next_p[to] == NONE);
		holder[p[m]] = to;
		next_p[to] = p[m]
	}
}

inline wake_with_p(to)
{
#ifdef NEXT_P_LATE
	thread_ready_on(to, p[m]);
	give(to)
#else
	give(to);
#ifdef READY_ANYWHERE
	thread_ready_on(to, cpu[to])
#else
	thread_ready_on(to, p[m])
#endif
#endif
}

/* handed. An m that starts is one that wakes up: m_start() and park_m() then do the same. */
inline hand_off()
{
	other = 0;
	atomic {
		do
		:: other < MS && idle[other] -> idle[other] = false; idles--; break
		:: other < MS && !idle[other] -> other++
		:: other == MS -> break
		od;
		if
		:: other == MS -> /* start_new_m() */
			other = 0;
			do
			:: other < MS && !started[other] -> started[other] = true; break
			:: other < MS && started[other] -> other++
			:: other == MS -> break
			od
		:: else
		fi
	}
	handed = other < MS;
	if
	:: handed -> wake_with_p(other)
	:: else
	fi;
	other = 0
}

inline park_m()
{
	p[m] = NONE;
	thread_park();
	d_step {
		p[m] = next_p[m];
		next_p[m] = NONE;
		assert(p[m] != NONE && cpu[m] == p[m])
	}
}

inline stop_locked_m()
{
	hand_off();
	if
	:: handed -> handed = false
	:: else -> assert(IDLE_MS < MS); no_memory = true; end_no_memory: false
	fi;
	park_m();
	assert(status[locked_g[m]] == G_RUNNABLE)
}

#ifdef FREED_AT_ONCE
#define may_be_freed(m) dead[m]
#else
#define may_be_freed(m) (dead[m] && parked[m]) /* thread_parked() */
#endif

inline free_dead_ms()
{
	d_step {
		other = 0;
		do
		:: other < MS && may_be_freed(other) ->
			assert(parked[other]);
			dead[other] = false;
			started[other] = false
		:: other < MS && !may_be_freed(other) -> other++
		:: other == MS -> break
		od;
		other = 0
	}
}

inline retire()
{
	d_step {
		if
		:: idles < IDLE_MS || m == 0 -> idle[m] = true; idles++
		:: else -> dead[m] = true
		fi
	}
}

inline start_locked_m(g)
{
	free_dead_ms();
#if !defined(RETIRED_LATE) && !defined(RETIRED_AFTER_PARK)
	retire();
#endif
	wake_with_p(locked_m[g]);
#ifdef RETIRED_LATE
	retire();
#endif
	park_m()
#ifdef RETIRED_AFTER_PARK
	; retire()
#endif
}

inline execute(g)
{
	assert(holder[p[m]] == m && cpu[m] == p[m] && status[g] == G_RUNNABLE);
	assert(frames[g] == NONE || frames[g] == m);
	status[g] = G_RUNNING
}

/* g: the goroutine that runs next. */
inline schedule_m()
{
	if
	:: locked_g[m] != NONE -> stop_locked_m(); g = locked_g[m]
	:: else ->
		do
		:: assert(holder[p[m]] == m && cpu[m] == p[m]);
end_idle:	   queue ? g;
		   if
		   :: locked_m[g] == NONE -> break
		   :: else -> start_locked_m(g)
		   fi
		od
	fi;
	execute(g)
}

inline ready(g)
{
	assert(holder[p[m]] == m && cpu[m] == p[m]);
	queue ! g
}

inline end_foreign_turn()
{
	if
	:: p[m] != NONE && len(queue) > 0 ->
		hand_off();
		if
		:: handed ->
			handed = false;
#ifndef P_KEPT
			p[m] = NONE
#endif
		:: else
		fi
	:: else
	fi
}

inline get_p_back(g)
{
#ifndef LOCKED_M_LATE
	locked_m[g] = m;
#endif
	status[g] = G_RUNNABLE;
	queue ! g;
#ifdef LOCKED_M_LATE
	locked_m[g] = m;
#endif
	park_m();
	status[g] = G_RUNNING;
	if
	:: callbacks[g] == 0 -> locked_m[g] = NONE
	:: else
	fi
}

inline need_p(g)
{
	if
	:: p[m] == NONE -> get_p_back(g)
	:: else -> assert(holder[p[m]] == m)
	fi
}

/* ---- runtime/foreign.c ---- */

inline enter_callback(g)
{
	locked_m[g] = m;
	locked_g[m] = g;
	callbacks[g]++
}

inline leave_crossing(g)
{
	callbacks[g]--;
	locked_m[g] = NONE;
	locked_g[m] = NONE
}

/* ---- The goroutines: until they give up the CPU ---- */

/* Wakes whose callback waits, then waits for more of them. */
inline other_goroutine()
{
	other = 1;
	do
	:: atomic { other < GS && status[other] == G_WAITING -> status[other] = G_RUNNABLE }; ready(other); other++
	:: atomic { other < GS && status[other] != G_WAITING -> other++ }
	:: atomic { other == GS -> other = 1 };
	   if
	   :: status[OTHER] = G_RUNNABLE; queue ! OTHER; break /* yields */
	   :: atomic { status[1] != G_WAITING && status[GS - 1] != G_WAITING -> status[OTHER] = G_WAITING; break }
	   fi
	od;
	other = 0
}

inline calls(g)
{
	if
	:: at[g] == BEGINS ->
		frames[g] = m;
		at[g] = RETURNS;
		end_foreign_turn();
		if
		:: true -> /* calls back, and waits there */
			need_p(g);
			enter_callback(g);
			at[g] = CALLED_BACK;
			status[g] = G_WAITING;
			if
			:: atomic { status[OTHER] == G_WAITING -> status[OTHER] = G_RUNNABLE }; ready(OTHER)
			:: else
			fi
		:: true
		fi
	:: at[g] == CALLED_BACK -> leave_crossing(g); at[g] = RETURNS
	fi;
	if
	:: at[g] == RETURNS ->
		end_foreign_turn();
		need_p(g);
		frames[g] = NONE;
		if
		:: status[g] = G_DEAD
		:: at[g] = BEGINS; status[g] = G_RUNNABLE; queue ! g /* yields, then calls again */
		fi
	:: else
	fi
}

proctype runs(byte m)
{
	byte g, other;
	bool handed;

	if
	:: m < PS
	:: else -> park_m()
	fi;
	do
	:: schedule_m();
	   if
	   :: g == OTHER -> other_goroutine()
	   :: else -> calls(g)
	   fi;
	   g = 0
	od
}

init {
	byte i;

	atomic {
		do
		:: i < GS -> queue ! i; i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < PS -> p[i] = i; cpu[i] = i; holder[i] = i; started[i] = true; i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < MS -> run runs(i); i++
		:: else -> break
		od
	}
	timeout;
	d_step {
		i = 1;
		do
		:: i < GS -> assert(status[i] == G_DEAD || no_memory); i++
		:: else -> break
		od
	}
}
