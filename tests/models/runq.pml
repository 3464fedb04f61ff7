/*
 * A p's ring of goroutines: run_queue_put() and run_queue_get() of runtime/runq.h, line for line and by the same names.
 * Its owner puts and gets, two others take: no g is lost, none is taken twice, no slot is written before it was read.
 *
 * With -DSTEAL one of the others takes half of the ring to its own, which is empty (Go's runqgrab, runqsteal). The C
 * code for that is to follow the model: run_queue_grab(), run_queue_steal().
 *
 * Memory: what the C code stores goes through a store buffer, of one slot and one tail for each owner, that empties in
 * any order; a release waits for what was stored before. Where an acquire is left out, the later access may come first;
 * where the release of the compare-and-swap is, the slot may be read after it. Loads are otherwise never stale: an
 * older head only makes the ring look fuller, or the compare-and-swap fail. spin is sequentially consistent in all
 * else.
 *
 * Bugs: PUT_HEAD_RELAXED (which C allows to go wrong and hardware does not: no store is made before a branch that it
 * depends on is decided), PUT_TAIL_RELAXED, GET_HEAD_RELAXED, GET_TAIL_RELAXED, CAS_RELAXED, CAS_NOT_ATOMIC; when
 * stealing, also STEAL_TAIL_FIRST (published before the compare-and-swap).
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
byte finished, n_put;

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
	:: d_step { q[r].stored_tail != 0 && q[r].stored_g == 0 ->
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

/* swapped. The C code's may also fail for no reason, and then goes round once more. */
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
		:: swapped -> q[r].head = value
		:: else -> expected = q[r].head
		fi
	}
#endif
}

/* g: 0 when it is empty. */
inline run_queue_get(r)
{
#ifdef GET_HEAD_RELAXED
	if
	:: tail = q[r].tail
	:: skip
	fi;
#endif
	head = q[r].head;
	do
	:: g = 0;
#ifdef GET_TAIL_RELAXED
	   if
	   :: g = load_slot(r, head)
	   :: skip
	   fi;
#endif
	   if
	   :: owner == r -> tail = own_tail(r)
#ifdef GET_HEAD_RELAXED
	   :: owner != r && tail != 0 -> skip /* loaded before head */
#endif
	   :: owner != r -> tail = q[r].tail
	   fi;
	   if
	   :: head == tail -> g = 0; break
	   :: head != tail && g == 0 -> g = load_slot(r, head)
#ifdef CAS_RELAXED
	   :: head != tail -> g = 0 /* loaded after it */
#endif
#ifdef GET_TAIL_RELAXED
	   :: head != tail && g != 0 -> skip
#endif
	   fi;
	   compare_exchange(r, head, head + 1);
#ifdef CAS_RELAXED
	   if
	   :: swapped && g == 0 -> g = load_slot(r, head)
	   :: else
	   fi;
#endif
	   if
	   :: swapped -> break
	   :: else -> tail = 0
	   fi
	od;
	swapped = false;
	head = 0;
	tail = 0
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

#define HALF (RUN_QUEUE / 2)

/* n of them, from the head of r to our own ring, `to`, at its tail, which stays as it is. */
inline run_queue_grab(r, to)
{
	do
	:: head = q[r].head;	/* acquire */
	   tail = q[r].tail;	/* acquire */
	   n = tail - head;
	   n = n - n / 2;
	   if
	   :: n == 0 -> break
	   :: n > HALF -> goto again /* head and tail are not of one moment: it would be copied for nothing */
	   :: else
	   fi;
	   i = 0;
	   do
	   :: i < n ->
		g = load_slot(r, head + i);	/* relaxed */
		assert(own + i < q[to].head + RUN_QUEUE);
		store_slot(to, own + i, g);	/* relaxed */
		i++
	   :: else -> break
	   od;
#ifdef STEAL_TAIL_FIRST
	   if
	   :: n > 1 -> store_tail(to, own + n - 1)
	   :: else
	   fi;
#endif
	   compare_exchange(r, head, head + n);	/* release */
	   if
	   :: swapped -> break
	   :: else
	   fi;
again:	   skip
	od;
	swapped = false;
	head = 0;
	tail = 0;
	i = 0
}

/* To our own ring, that is empty. g: the last of them, to be run at once; 0 when there was nothing. */
inline run_queue_steal(r, to)
{
	own = own_tail(to);
	if
	:: q[to].head == own -> run_queue_grab(r, to)	/* acquire: as in run_queue_put(), who still reads a slot? */
	:: else -> n = 0
	fi;
	if
	:: n == 0 -> g = 0
	:: else ->
		g = load_slot(to, own + n - 1);
#ifndef STEAL_TAIL_FIRST
		if
		:: n > 1 -> store_tail(to, own + n - 1)	/* release */
		:: else
		fi
#endif
	fi;
	n = 0;
	own = 0
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
	:: !got -> run_queue_get(owner); take(); got = true
#else
	:: run_queue_get(owner); take()
#endif
	:: next > GS -> break
	od;
	finished++
}

proctype takes(byte owner)
{
	byte head, tail, g;
	bool swapped;

#ifdef STEAL /* once: there are too many states as it is */
	if
	:: run_queue_get(0)
	:: run_queue_get(1)
	fi;
	take();
#else
	do
	:: run_queue_get(0); take()
	:: break
	od;
#endif
	finished++
}

#ifdef STEAL
proctype steals(byte owner)
{
	byte head, tail, g, own, n, i;
	bool swapped;

	run_queue_steal(0, owner);
	take();
	run_queue_steal(0, owner);
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
