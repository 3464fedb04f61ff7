/* The global run queue: see runq.h. */
#include "runtime/runq.h"

static struct {
	struct lock lock;
	atomic_uint count;     /* written under the lock; who reads it without can only guess */
	struct g *head, *tail; /* undefined while count is 0 */
} queue;

SOCLE_UNCHECKED bool global_queue_empty(void) { return atomic_load_explicit(&queue.count, memory_order_relaxed) == 0; }

void global_queue_put(struct g *g)
{
	unsigned count;

	lock(&queue.lock);
	count = atomic_load_explicit(&queue.count, memory_order_relaxed);
	g->next = NULL;
	if (count == 0)
		queue.head = g;
	else
		queue.tail->next = g;
	queue.tail = g;
	atomic_store_explicit(&queue.count, count + 1, memory_order_relaxed);
	unlock(&queue.lock);
}

struct g *global_queue_get(void)
{
	struct g *g = NULL;
	unsigned count;

	if (global_queue_empty())
		return NULL;
	lock(&queue.lock);
	count = atomic_load_explicit(&queue.count, memory_order_relaxed);
	if (count != 0) {
		g = queue.head;
		queue.head = g->next;
		atomic_store_explicit(&queue.count, count - 1, memory_order_relaxed);
	}
	unlock(&queue.lock);
	return g;
}
