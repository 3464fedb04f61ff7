/*
 * A p's ring of goroutines: run_queue_put(), run_queue_put_later(), run_queue_try_get() and run_queue_empty() of
 * runtime/runq.h, run_queue_steal() of runq.c, line for line and by the same names. Its owner puts and gets, two others
 * steal, and ask: no g is lost, none is taken twice, no slot is written before it was read, and none that was never
 * empty is said to be. With -DSTEAL the ring is larger, and one of the others takes half of it to its own; otherwise
 * half is one.
 *
 * Memory: what the C code stores goes through a store buffer, of one slot and one tail for each owner, that empties
 * in any order; a release waits for what was stored before. Where an acquire is left out, the later access may come
 * first; where the release of the compare-and-swap is, the slot may be read after it. Loads are otherwise never
 * stale: an older head only makes the ring look fuller, or the compare-and-swap fail. spin is sequentially consistent
 * in all else.
 *
 * Bugs: PUT_HEAD_RELAXED (which C allows to go wrong and hardware does not: no store is made before a branch that it
 * depends on is decided; put_later() relies on that), PUT_TAIL_RELAXED, STEAL_TAIL_RELAXED, CAS_RELAXED, CAS_NOT_ATOMIC,
 * EMPTY_HEAD_RELAXED; with STEAL also OWN_TAIL_RELAXED, STEAL_TAIL_FIRST (the own, before the compare-and-swap),
 * NULL_TAKEN_FOR_EMPTY (that run_queue_try_get() says: own slots are written over). Not to be seen here: the thief's
 * acquire of its own head, on which the place that it writes depends; that of the other's, without which a queue may
 * only look empty.
 */
#ifdef STEAL
#define RUN_QUEUE 4
#define GS 5
#else
#define RUN_QUEUE 2
#define GS 4
#endif

typedef run_queue {
	byte head, tail;
	byte slot[RUN_QUEUE];
	byte stored_tail; /* its owner's store buffer: 0 is none, for both */
	byte stored_g, stored_at;
};

run_queue q[2];
bool taken[GS + 1];
byte finished;
bool asking, was_empty;		/* the first ring, since somebody began to ask */

#define stored_all(r) (q[r].stored_g == 0 && q[r].stored_tail == 0)

proctype store_buffer(byte r)
{
end:	do
	:: d_step { q[r].stored_g != 0 ->
		q[r].slot[q[r].stored_at] = q[r].stored_g;
		q[r].stored_g = 0;
		q[r].stored_at = 0
	}
#ifdef PUT_TAIL_RELAXED
	:: d_step { q[r].stored_tail != 0 ->
#else
#ifdef OWN_TAIL_RELAXED
	:: d_step { q[r].stored_tail != 0 && (q[r].stored_g == 0 || r == 1) ->
#else
	:: d_step { q[r].stored_tail != 0 && q[r].stored_g == 0 ->
#endif
#endif
		q[r].tail = q[r].stored_tail;
		q[r].stored_tail = 0
	}
	od
}

inline store_slot(r, at, g)
{
	d_step { q[r].stored_g == 0 -> q[r].stored_g = g; q[r].stored_at = (at) % RUN_QUEUE }
}

inline store_tail(r, value)
{
	d_step { q[r].stored_tail == 0 -> q[r].stored_tail = value }
}

/* What the owner itself reads. */
#define own_tail(r) (q[r].stored_tail != 0 -> q[r].stored_tail : q[r].tail)
#define load_slot(r, at) \
	(owner == r && q[r].stored_g != 0 && q[r].stored_at == (at) % RUN_QUEUE -> \
		q[r].stored_g : q[r].slot[(at) % RUN_QUEUE])

/* ok: false when it is full. */
inline run_queue_put(r, g)
{
	tail = own_tail(r);
	if
	:: head = q[r].head;
	   if
	   :: tail == head + RUN_QUEUE -> ok = false
	   :: else -> store_slot(r, tail, g); store_tail(r, tail + 1); ok = true
	   fi
#ifdef PUT_HEAD_RELAXED
	:: store_slot(r, tail, g);
	   head = q[r].head;
end_full:  tail != head + RUN_QUEUE -> /* otherwise there was no such store, nor this execution */
	   store_tail(r, tail + 1);
	   ok = true
#endif
	fi;
	tail = 0;
	head = 0
}

/* swapped */
inline compare_exchange(r, expected, value)
{
#ifndef CAS_RELAXED
	if
	:: owner == r -> stored_all(r)
	:: else
	fi;
#endif
#ifdef CAS_NOT_ATOMIC
	swapped = q[r].head == expected;
	if
	:: swapped -> q[r].head = value
	:: else -> expected = q[r].head
	fi
#else
	d_step {
		swapped = q[r].head == expected;
		if
		:: swapped -> q[r].head = value; was_empty = was_empty || (asking && q[0].head == q[0].tail)
		:: else -> expected = q[r].head
		fi
	}
#endif
}

/* After run_queue_try_get(): there is room. arch_switch() stores the tail, with release. */
inline run_queue_put_later(r, g)
{
	tail = own_tail(r);
	store_slot(r, tail, g);
	store_tail(r, tail + 1);
	tail = 0
}

/* g: 0 when it is empty, or another was faster. */
inline run_queue_try_get(r)
{
	g = 0;
	head = q[r].head;
	if
	:: head != own_tail(r) ->
		g = load_slot(r, head);
		compare_exchange(r, head, head + 1);
		if
		:: swapped -> swapped = false
		:: else -> g = 0
		fi
	:: true /* or the compare-and-swap fails for no reason */
	fi;
	head = 0
}

/* One at a time asks. */
inline run_queue_empty()
{
	d_step { !asking -> asking = true; was_empty = q[0].head == q[0].tail };
#ifdef EMPTY_HEAD_RELAXED
	if
	:: tail = q[0].tail; head = q[0].head
	:: head = q[0].head; tail = q[0].tail
	fi;
#else
	head = q[0].head;
	tail = q[0].tail;
#endif
	d_step { assert(head != tail || was_empty); asking = false; was_empty = false; head = 0; tail = 0 }
}

/* Whoever took g runs it. */
inline take()
{
	d_step {
		if
		:: g != 0 -> assert(!taken[g]); taken[g] = true; g = 0
		:: else
		fi
	}
}

/* To our own ring, `to`, that is empty. g: to be run at once; 0: there was none. At most one more is copied here. */
inline run_queue_steal(r, to)
{
	own = q[to].head;
	head = q[r].head;
	do
	:: g = 0;
#ifdef STEAL_TAIL_RELAXED
	   if
	   :: g = load_slot(r, head); more = load_slot(r, head + 1)
	   :: skip
	   fi;
#endif
	   tail = q[r].tail;
	   n = (tail - head > RUN_QUEUE -> 0 : tail - head);
	   n = n - n / 2;
	   if
	   :: n == 0 && q[r].head == head -> g = 0; break
	   :: else
	   fi;
	   if
	   :: n > 0 && g == 0 -> g = load_slot(r, head)
#ifdef CAS_RELAXED
	   :: n > 0 -> g = 0 /* loaded after it */
#endif
	   :: else
	   fi;
	   if
	   :: n > 1 ->
		assert(own == own_tail(to));
		if
		:: more == 0 -> more = load_slot(r, head + 1)
		:: else
		fi;
		assert(n == 2);
		store_slot(to, own, more);
		more = 0
	   :: else
	   fi;
#ifdef STEAL_TAIL_FIRST
	   if
	   :: n > 1 -> store_tail(to, own + 1)
	   :: else
	   fi;
#endif
	   compare_exchange(r, head, head + n);
#ifdef CAS_RELAXED
	   if
	   :: swapped && g == 0 -> g = load_slot(r, head)
	   :: else
	   fi;
#endif
	   if
	   :: swapped -> break
	   :: else
	   fi
	od;
#ifndef STEAL_TAIL_FIRST
	if
	:: swapped && n > 1 -> store_tail(to, own + n - 1)
	:: else
	fi;
#endif
	atomic { swapped = false; head = 0; tail = 0; n = 0; own = 0; more = 0 }
}

proctype owns(byte owner)
{
	byte head, tail, g, next = 1;
	bool ok, swapped, got;

	do
	:: next <= GS ->
		run_queue_put(owner, next);
		if
		:: ok -> next++; ok = false
		:: else
		fi
#ifdef STEAL /* no more than one: too many states */
	:: !got -> run_queue_try_get(owner); take(); got = true
#else
	:: run_queue_try_get(owner);
	   if
	   :: g != 0 && next <= GS -> take(); run_queue_put_later(owner, next); next++
	   :: else -> take()
	   fi
#endif
	:: next > GS -> break
	od;
	finished++
}

proctype takes(byte owner)
{
	byte head, tail, g, own, n, more;
	bool swapped;

#ifdef STEAL /* once: there are too many states as it is */
	run_queue_steal(1, 0); /* one */
	take();
#else
	do
	:: run_queue_steal(0, 1); take()
	:: run_queue_empty()
	:: break
	od;
#endif
	finished++
}

#ifdef STEAL
proctype steals(byte owner)
{
	byte head, tail, g, own, n, more;
	bool swapped;

	run_queue_steal(0, owner);
	take();
	run_queue_try_get(owner);
	if
#ifdef NULL_TAKEN_FOR_EMPTY
	:: g == 0 -> run_queue_steal(0, owner)
#else
	:: g == 0 && q[owner].head == own_tail(owner) -> run_queue_steal(0, owner)
#endif
	:: else
	fi;
	take();
	finished++
}
#endif

#define NOBODY 2

init {
	byte r, g;

	atomic {
		run owns(0);
		run store_buffer(0);
		run takes(NOBODY);
#ifdef STEAL
		run store_buffer(1);
		run steals(1)
#else
		run takes(NOBODY)
#endif
	}
end:	finished == 3 && stored_all(0) && stored_all(1);
	d_step { /* each is taken, or in one ring */
		do
		:: q[r].head != q[r].tail ->
			g = q[r].slot[q[r].head % RUN_QUEUE];
			assert(q[r].head < q[r].tail && g != 0 && !taken[g]);
			taken[g] = true;
			q[r].head = q[r].head + 1
		:: q[r].head == q[r].tail && r == 0 -> r = 1
		:: q[r].head == q[r].tail && r == 1 -> break
		od;
		g = 1;
		do
		:: g <= GS -> assert(taken[g]); g++
		:: else -> break
		od
	}
}
