/*
 * Queues of goroutines that can run, as in Go. Each p has a ring of its own: its owner puts at the tail and takes from
 * the head without a lock, and others may take from the head too. What finds the ring full goes to the global queue, a
 * list under a lock.
 *
 * Before the ring comes one place, runnext: whom the running goroutine has readied last. So two that hand to each
 * other do not wait each time for a turn of all others; they have one together (preempt.c ends it). Whoever was there
 * before goes to the tail.
 *
 * Rejected: a deque, of which the owner takes the youngest (Chase and Lev): two goroutines that yield to each other
 * would keep all others waiting.
 */
#ifndef SOCLE_RUNQ_H
#define SOCLE_RUNQ_H

#include "runtime/runtime.h"

/* Nearly all there is to a yield, so it is inlined there. Head and tail count up and wrap; what lies at a place is
 * theirs modulo RUN_QUEUE. */

/* The owner's only. False: it is full. The acquire of head pairs with the takers' release, so that a slot is not written
 * before it has been read. `order` is memory_order_release, which publishes the slot to takers; or memory_order_seq_cst,
 * if whoever sleeps may have to be woken: then it is seen whether somebody does. */
static ALWAYS_INLINE bool run_queue_put(struct run_queue *q, struct g *g, memory_order order)
{
	unsigned tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&q->head, memory_order_acquire) + RUN_QUEUE)
		return false;
	atomic_store_explicit(&q->slot[tail % RUN_QUEUE], g, memory_order_relaxed);
	atomic_store_explicit(&q->tail, tail + 1, order);
	return true;
}

/* The same for who runs on until arch_switch() stores what this returns in q->tail, with release. The caller has just
 * taken one, so there is room. */
static ALWAYS_INLINE unsigned run_queue_put_later(struct run_queue *q, struct g *g)
{
	unsigned tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

	atomic_signal_fence(memory_order_acquire); /* as that of head above */
	atomic_store_explicit(&q->slot[tail % RUN_QUEUE], g, memory_order_relaxed);
	return tail + 1;
}

/* The owner's only. NULL: it is empty, or another CPU took from it at this moment. Release: whoever sees the new head
 * sees the tail from before. */
static ALWAYS_INLINE struct g *run_queue_try_get(struct run_queue *q)
{
	unsigned head = atomic_load_explicit(&q->head, memory_order_relaxed);
	struct g *g;

	if (head == atomic_load_explicit(&q->tail, memory_order_relaxed))
		return NULL;
	g = atomic_load_explicit(&q->slot[head % RUN_QUEUE], memory_order_relaxed);
	if (!atomic_compare_exchange_weak_explicit(&q->head, &head, head + 1, memory_order_release,
						   memory_order_relaxed))
		return NULL;
	__builtin_assume(g != NULL);
	return g;
}

/* The owner's only. */
static inline bool own_ring_empty(const struct run_queue *q)
{
	return atomic_load_explicit(&q->head, memory_order_relaxed) ==
	       atomic_load_explicit(&q->tail, memory_order_relaxed);
}

static ALWAYS_INLINE bool own_ring_full(const struct run_queue *q)
{
	return atomic_load_explicit(&q->tail, memory_order_relaxed) ==
	       atomic_load_explicit(&q->head, memory_order_acquire) + RUN_QUEUE;
}

/* The same. NULL: it is empty. */
static inline struct g *run_queue_get(struct run_queue *q)
{
	struct g *g;

	do
		g = run_queue_try_get(q);
	while (g == NULL && !own_ring_empty(q));
	return g;
}

/* The owner's only. Who was there, and is to go to the tail; NULL: nobody. Ordered as the tail is by run_queue_put(). */
static ALWAYS_INLINE struct g *run_queue_put_next(struct run_queue *q, struct g *g)
{
	return atomic_exchange_explicit(&q->runnext, g, memory_order_seq_cst);
}

static ALWAYS_INLINE bool has_next(const struct run_queue *q)
{
	return atomic_load_explicit(&q->runnext, memory_order_relaxed) != NULL;
}

/* Anybody's. NULL: nobody is there. */
static ALWAYS_INLINE struct g *run_queue_get_next(struct run_queue *q)
{
	return atomic_exchange_explicit(&q->runnext, NULL, memory_order_acquire);
}

/* On any CPU, but then it may be over a moment later. For who is about to sleep: the tail is not older than the head, so
 * that a goroutine which was put before another was taken is seen. */
static ALWAYS_INLINE bool run_queue_empty(const struct run_queue *q)
{
	unsigned head = atomic_load_explicit(&q->head, memory_order_acquire);

	return head == atomic_load_explicit(&q->tail, memory_order_seq_cst) &&
	       atomic_load_explicit(&q->runnext, memory_order_seq_cst) == NULL;
}

/* Half of what is in another's, rounded up: one to run at once, the rest into the caller's own, which is empty. NULL:
 * there was none. */
struct g *run_queue_steal(struct run_queue *from, struct run_queue *own);

void global_queue_put(struct g *g);
struct g *global_queue_get(void); /* NULL: it is empty */
/* Moves a CPU's share of it, rounded up, at most half a ring, into the caller's own, which is empty. */
void global_queue_share(struct run_queue *own);
bool global_queue_empty(void); /* as run_queue_empty(); on any stack */

#endif
