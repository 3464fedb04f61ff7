/*
 * Threads on several CPUs: kernel/thread.c by the same names, runtime_idle() of runtime/idle.c,
 * bury() and free_dead_ms() of m.c. A process is a CPU; of a thread only its control block is kept, for all that it
 * does next it may do at any time: wake another, on any CPU, which has said that it waits; say so itself, perhaps set
 * a timer, and park; park for another; yield; die, if it is the last; free that. WAKEUPS, TIMERS: how many, in all.
 *
 * No stack is on two CPUs, none is freed that is in use; who was woken goes on, on the CPU that was named, and once;
 * deadlock is said when no thread will ever run again, and only then.
 *
 * Memory: what is done under a queue's lock is one step, and what only the owner of a state sees is one step with
 * taking it. The rest is ordered by the exchanges of the state and by the locks, so nothing is reordered.
 *
 * Bugs: PARKED_EARLY (before the stack is left), WOKEN_DROPPED (by arrive()), WRONG_QUEUE (arrive() takes its own
 * though another CPU is named), ASLEEP_KEPT (by enqueue()), INTERRUPT_LEFT_OUT, FREED_EARLY (not asked whether
 * it is parked), NO_GENERATION: WAKES is not counted, so that deadlock is said after a tick that came and went.
 */
#ifndef CPUS
#define CPUS 2
#endif
#define THREADS (5 - CPUS)
#define WAKEUPS (CPUS == 2 -> 3 : 2)
#define TIMERS (CPUS - 1)
#define MORTAL (THREADS - 1)
#define NONE 9

mtype = { RUNNING, PARKED, WOKEN };

mtype state[THREADS] = RUNNING;
byte wake_cpu[THREADS], on[THREADS] = NONE; /* whose CPU has its stack */
bool waits[THREADS], dead[THREADS], freed[THREADS];

chan queue[CPUS] = [THREADS] of { byte };
byte current[CPUS] = NONE, left[CPUS] = NONE, timer[CPUS] = NONE; /* whose */
bool asleep[CPUS], interrupt[CPUS];
byte awake = CPUS;
byte asking;		/* in runtime_idle(), whose `now` is still awake's: a bit for each */
byte wakeups, timers;
bool deadlocked;

/* With its interrupt, which changes nothing on a CPU that does not wait. */
inline enqueue(t, to)
{
	d_step {
		queue[to] ! t;
#ifndef INTERRUPT_LEFT_OUT
		interrupt[to] = interrupt[to] || (asleep[to] && to != c);
#endif
#ifndef NO_GENERATION
		asking = (asleep[to] -> 0 : asking);
#endif
#ifndef ASLEEP_KEPT
		awake = awake + asleep[to];
		asleep[to] = false
#endif
	}
}

/* These two set `next`. */
inline dequeue()
{
	if
	:: atomic { nempty(queue[c]) -> queue[c] ? next }
	:: empty(queue[c])
	fi
}

inline dequeue_or_sleep()
{
	if
	:: atomic { nempty(queue[c]) -> queue[c] ? next }
	:: d_step {
		empty(queue[c]) ->
		awake = awake - !asleep[c];
		asking = asking | (awake == 0 && !asleep[c]) << c;
		asleep[c] = true
	   }
	fi
}

/* now == awake */
#define all_asleep (awake == 0 && asking >> c & 1)

inline deadlock()
{
	i = 0;
	do
	:: i < CPUS -> assert(timer[i] == NONE); i++
	:: else -> break
	od;
	i = 0;
	do
	:: i < THREADS -> assert(state[i] == PARKED && (waits[i] || dead[i] || freed[i])); i++
	:: else -> break
	od;
	deadlocked = true
}

inline runtime_idle()
{
	do
	:: atomic { i < CPUS && timer[i] == NONE -> i++ }
	:: atomic { i < CPUS && timer[i] != NONE -> break }
	:: atomic { i == CPUS && !all_asleep -> break }
	:: d_step { i == CPUS && all_asleep -> deadlock() }; goto end_deadlock
	od;
	atomic { i = 0; asking = asking & ~(1 << c) }
}

inline arrive()
{
	d_step {
		t = left[c];
		left[c] = NONE;
		assert(t == NONE || !freed[t])
	};
	if
	:: t == NONE
	:: d_step { t != NONE && state[t] == RUNNING -> state[t] = PARKED; t = NONE }
#ifdef WOKEN_DROPPED
	:: d_step { t != NONE && state[t] == WOKEN -> state[t] = PARKED; t = NONE }
#else
	:: d_step { t != NONE && state[t] == WOKEN -> state[t] = RUNNING };
#ifdef WRONG_QUEUE
	   enqueue(t, c);
#else
	   enqueue(t, wake_cpu[t]);
#endif
	   t = NONE
#endif
	fi
}

/* From one stack to the other. */
inline switch_to()
{
	d_step {
		if
		:: current[c] != NONE -> on[current[c]] = NONE
		:: else
		fi;
		current[c] = next;
		if
		:: next != NONE -> assert(on[next] == NONE && !freed[next]); on[next] = c
		:: else
		fi;
		next = NONE
	}
}

/* won */
inline wake(t, to)
{
	d_step {
		assert(state[t] != WOKEN && !freed[t]);
		wake_cpu[t] = to;
		won = state[t] == PARKED;
		state[t] = (won -> RUNNING : WOKEN)
	}
}

inline ready(t, to)
{
	wake(t, to);
	if
	:: won -> won = false; enqueue(t, to)
	:: else
	fi
}

/* t: one that waits, and is the caller's to wake now. */
inline find_waiting()
{
	if
	:: atomic { wakeups < WAKEUPS && waits[0] -> t = 0 }
	:: atomic { wakeups < WAKEUPS && waits[1] -> t = 1 }
	:: atomic { wakeups < WAKEUPS && waits[THREADS - 1] -> t = THREADS - 1 }
	fi;
	waits[t] = false;
	wakeups++
}

/* A timer of the own CPU. The tick wakes who set it; in runtime_idle()'s eyes it is there until that thread has run. */
inline tick()
{
	atomic { timer[c] != NONE && waits[timer[c]] -> t = timer[c]; waits[t] = false };
	ready(t, c);
	t = NONE
}

/* Whose wait is over. */
inline goes_on()
{
	d_step {
		assert(!waits[current[c]] && !dead[current[c]] && wake_cpu[current[c]] == c);
		wake_cpu[current[c]] = 0;
		i = 0;
		do
		:: i < CPUS && timer[i] == current[c] -> timer[i] = NONE
		:: i < CPUS && timer[i] != current[c] -> i++
		:: i == CPUS -> break
		od;
		i = 0
	}
}

proctype cpu(byte c)
{
	byte t = NONE, next = NONE, i;
	bool won;

wait_for_thread:
	arrive();
	do
	:: dequeue_or_sleep();
	   if
	   :: next != NONE -> break
	   :: next == NONE && asking >> c & 1 -> runtime_idle()
	   :: else
	   fi;
end_idle:  if
	   :: interrupt[c] -> interrupt[c] = false
	   :: tick()
	   fi
	od;
	switch_to();
runs:
	arrive();
	goes_on();
	do
	:: atomic { find_waiting(); };
	   if
	   :: ready(t, 0)
	   :: ready(t, 1)
	   :: ready(t, CPUS - 1)
	   fi;
	   t = NONE
	:: tick()
	:: atomic { nempty(queue[c]) -> dequeue(); wake_cpu[current[c]] = c }; /* thread_yield() */
	   enqueue(current[c], c);
	   switch_to();
	   goto runs
	:: if
	   :: atomic { timers < TIMERS && timer[c] == NONE -> timers++; timer[c] = current[c] }
	   :: true
	   fi;
	   waits[current[c]] = true;
	   left[c] = current[c]; /* thread_park() */
#ifdef PARKED_EARLY
	   arrive();
#endif
	   dequeue();
	   break
	:: atomic { find_waiting(); left[c] = current[c]; waits[current[c]] = true }; /* thread_park_for() */
	   wake(t, c);
	   if
	   :: d_step { won -> won = false; next = t; t = NONE }; break
	   :: d_step { !won -> t = NONE }; dequeue(); break
	   fi
	:: atomic { current[c] == MORTAL -> dead[MORTAL] = true }; /* bury() */
	   left[c] = current[c]; dequeue(); break
	:: d_step { /* free_dead_ms() */
#ifdef FREED_EARLY
		current[c] != MORTAL && dead[MORTAL] ->
#else
		dead[MORTAL] && state[MORTAL] == PARKED ->
#endif
		assert(on[MORTAL] == NONE);
		dead[MORTAL] = false;
		freed[MORTAL] = true
	   }
	od;
	switch_to();
	if
	:: current[c] == NONE -> goto wait_for_thread
	:: else -> goto runs
	fi;
end_deadlock:
	false
}

init {
	byte i;

	atomic {
		do
		:: i < THREADS -> wake_cpu[i] = i % CPUS; queue[i % CPUS] ! i; i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < CPUS -> run cpu(i); i++
		:: else -> break
		od
	}
	timeout;
	assert(deadlocked)
}
