/* Stealing, and the global run queue: see runq.h. */
#include "runtime/runq.h"

static struct g *_Atomic *slot(struct run_queue *q, unsigned at) { return &q->slot[at % RUN_QUEUE]; }

/* The places behind the own tail are written before it is known whether the others are won: until tail has moved they
 * are nobody's. The acquire of the own head is for that, as in run_queue_put(); the others as in run_queue_get(). */
__attribute__((minsize)) struct g *run_queue_steal(struct run_queue *from, struct run_queue *own)
{
	unsigned tail = atomic_load_explicit(&own->head, memory_order_acquire);
	unsigned head = atomic_load_explicit(&from->head, memory_order_acquire), n;
	struct g *first;

	do {
		n = atomic_load_explicit(&from->tail, memory_order_acquire) - head;
		if (n > RUN_QUEUE)
			n = 0; /* head was read too long ago: the exchange fails, and reads it anew */
		n -= n / 2;
		if (n == 0 && atomic_load_explicit(&from->head, memory_order_acquire) == head)
			return NULL;
		first = atomic_load_explicit(slot(from, head), memory_order_relaxed);
		for (unsigned i = 1; i < n; i++)
			atomic_store_explicit(slot(own, tail + i - 1),
					      atomic_load_explicit(slot(from, head + i), memory_order_relaxed),
					      memory_order_relaxed);
		chaos_stall();
	} while (!atomic_compare_exchange_strong_explicit(&from->head, &head, head + n, memory_order_release,
							  memory_order_acquire));
	atomic_store_explicit(&own->tail, tail + n - 1, memory_order_seq_cst); /* as in ready(): idle.c */
	return first;
}

static struct {
	struct spin_lock lock; /* taken bare: nothing is called */
	atomic_uint count;     /* written under the lock; who reads it without can only guess */
	struct g *head, *tail; /* undefined while count is 0 */
} queue;

SOCLE_UNCHECKED bool global_queue_empty(void) { return atomic_load_explicit(&queue.count, memory_order_seq_cst) == 0; }

SOCLE_UNCHECKED void global_queue_put(struct g *g)
{
	unsigned count;

	spin_lock(&queue.lock);
	count = atomic_load_explicit(&queue.count, memory_order_relaxed);
	g->next = NULL;
	if (count == 0)
		queue.head = g;
	else
		queue.tail->next = g;
	queue.tail = g;
	atomic_store_explicit(&queue.count, count + 1, memory_order_seq_cst);
	spin_unlock(&queue.lock);
}

struct g *global_queue_get(void)
{
	struct g *g = NULL;
	unsigned count;

	if (global_queue_empty())
		return NULL;
	spin_lock(&queue.lock);
	count = atomic_load_explicit(&queue.count, memory_order_relaxed);
	if (count != 0) {
		g = queue.head;
		queue.head = g->next;
		atomic_store_explicit(&queue.count, count - 1, memory_order_relaxed);
	}
	spin_unlock(&queue.lock);
	return g;
}

/* Each is taken out before it is put: from then on a thief may run it. seq_cst as in ready(). */
SOCLE_UNCHECKED __attribute__((minsize)) void global_queue_share(struct run_queue *own)
{
	unsigned count, n;

	spin_lock(&queue.lock);
	count = atomic_load_explicit(&queue.count, memory_order_relaxed);
	n = (count + cpu_count() - 1) / cpu_count();
	if (n > RUN_QUEUE / 2)
		n = RUN_QUEUE / 2;
	atomic_store_explicit(&queue.count, count - n, memory_order_relaxed);
	for (; n > 0; n--) {
		struct g *g = queue.head;

		queue.head = g->next;
		run_queue_put(own, g, memory_order_seq_cst);
	}
	spin_unlock(&queue.lock);
}
