/*
 * CPUs that put goroutines in their queues, and CPUs that have nothing to run: ready() with enqueue(), find_runnable(),
 * idle() and wake_idle_m() of runtime/proc.c, thread_park() and thread_ready() of kernel/thread.c, by the same names,
 * as they must be with several CPUs, each with one p and one m. Today's code is for one: it has neither the fences, nor
 * the second look, nor the exchange of idle_m, nor the interrupt to the other CPU; the C code for those follows the
 * model. Not in it: p->due, which the CPU's own tick sets and idle() asks with interrupts masked.
 *
 * No goroutine stays queued while a CPU sleeps; a goroutine may run for ever. CPU 0 begins with one, that readies
 * others.
 *
 * Memory: what is put in a queue, idle_m, and wakeup go through a store buffer of the CPU, of one each, that empties in
 * any order. A fence (sequentially consistent) waits for it. Loads come in their order.
 *
 * Bugs: NO_PUT_FENCE, NO_IDLE_FENCE, NO_SECOND_LOOK, NOT_TAKEN_BACK (idle_m, when the second look finds something),
 * WAKEUP_NOT_KEPT (when it comes before the park), WAKE_NOT_ATOMIC (idle_m loaded, then cleared), INTERRUPT_FIRST
 * (before wakeup can be seen: a local APIC and a GIC do not wait for the store buffer).
 */
#ifndef CPUS
#define CPUS 3
#endif
#ifndef PUTS
#define PUTS 2
#endif

byte queued[CPUS], puts;
bool idle_m[CPUS], wakeup[CPUS], interrupt[CPUS], asleep[CPUS];
bool stored_put[CPUS], stored_idle[CPUS];
byte stored_wakeup[CPUS];	/* whose; NONE */
#define NONE CPUS

proctype store_buffer(byte c)
{
end:	do
	:: d_step { stored_put[c] -> queued[c]++; stored_put[c] = false }
	:: d_step { stored_idle[c] -> idle_m[c] = true; stored_idle[c] = false }
	:: d_step { stored_wakeup[c] != NONE -> wakeup[stored_wakeup[c]] = true; stored_wakeup[c] = NONE }
	od
}

#define fence(c) (!stored_put[c] && !stored_idle[c] && stored_wakeup[c] == NONE)

/* ---- kernel/thread.c, interrupts masked ---- */

inline thread_park()
{
#ifdef WAKEUP_NOT_KEPT
	wakeup[c] = false;
#endif
	do
	:: wakeup[c] -> break
	:: else -> /* arch_idle() */
		asleep[c] = true;
end_asleep:	d_step { interrupt[c] -> interrupt[c] = false; asleep[c] = false }
	od;
	wakeup[c] = false
}

inline thread_ready(t)
{
	atomic { stored_wakeup[c] == NONE -> assert(!wakeup[t]); stored_wakeup[c] = t };
#ifndef INTERRUPT_FIRST
	fence(c); /* x86: mfence before the ICR of an x2APIC is written; ARM: dsb before the GIC's SGI register is */
#endif
	interrupt[t] = true
}

/* ---- runtime/proc.c ---- */

/* As atomic_exchange(&p->idle_m, NULL). */
inline exchange_idle_m(i)
{
#ifdef WAKE_NOT_ATOMIC
	was_idle = idle_m[i];
	idle_m[i] = false
#else
	d_step { was_idle = idle_m[i]; idle_m[i] = false }
#endif
}

/* One of them, if there are any. */
inline wake_idle_m()
{
	i = 0;
	do
	:: i < CPUS && idle_m[i] ->
		exchange_idle_m(i);
		if
		:: was_idle -> was_idle = false; thread_ready(i); break
		:: else -> i++
		fi
	:: i < CPUS && !idle_m[i] -> i++
	:: i == CPUS -> break
	od;
	i = 0
}

inline ready()
{
	atomic { !stored_put[c] -> stored_put[c] = true };
#ifndef NO_PUT_FENCE
	fence(c);
#endif
	wake_idle_m()
}

/* found. Every queue, one after the other; take: out of it. */
inline look(take)
{
	i = 0;
	do
	:: atomic { i < CPUS && queued[i] > 0 -> found = true; if :: take -> queued[i]-- :: else fi }; break
	:: i < CPUS && queued[i] == 0 -> i++
	:: i == CPUS -> break
	od;
	i = 0
}

inline idle()
{
	stored_idle[c] = true;
#ifndef NO_IDLE_FENCE
	fence(c);
#endif
#ifndef NO_SECOND_LOOK
	look(false);
#endif
	if
	:: found ->
		found = false;
#ifndef NOT_TAKEN_BACK
		!stored_idle[c]; /* an exchange is made in memory */
		exchange_idle_m(c);
		if
		:: was_idle -> was_idle = false
		:: else -> thread_park() /* woken meanwhile: not for long, and the next park is not cut short */
		fi
#endif
	:: else -> thread_park()
	fi
}

inline find_runnable()
{
	do
	:: look(true);
	   if
	   :: found -> found = false; break
	   :: else -> idle()
	   fi
	od
}

proctype cpu(byte c)
{
	byte i;
	bool found, was_idle;

	if
	:: c == 0
	:: else -> find_runnable()
	fi;
	do
	:: do /* a goroutine */
	   :: atomic { puts < PUTS -> puts++ }; ready()
	   :: break
	   od;
	   if
	   :: true -> end_runs_for_ever: false
	   :: !stored_put[c] -> find_runnable() /* it knows what it put itself */
	   fi
	od
}

init {
	byte c;

	atomic {
		do
		:: c < CPUS -> stored_wakeup[c] = NONE; run cpu(c); run store_buffer(c); c++
		:: else -> break
		od
	}
	timeout;
	d_step {
		c = 0;
		do
		:: c < CPUS -> queued[0] = queued[0] + (c > 0 -> queued[c] : 0); asleep[0] = asleep[0] || asleep[c]; c++
		:: else -> break
		od;
		assert(queued[0] == 0 || !asleep[0])
	}
}
