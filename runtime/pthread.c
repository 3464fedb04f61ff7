/*
 * <pthread.h> over foreign threads: threads and what belongs to each. Mutexes and such: pthread_sync.c.
 *
 * Who calls is a foreign thread, in its callbacks too, or a goroutine: in its foreign calls, whatever thread they are made
 * on, or as itself. Either has a record from its first need of one to its end: its number, its specific data, and what a
 * joiner asks for. So a goroutine is one and the same for a library that it calls twice, and has destructors at its end.
 *
 * A pthread_t is a place in the table of records, and above that a serial number: one that was joined is not found again.
 *
 * Rejected: the thread that a foreign call happens to run on as its pthread_self() (it changes from call to call); a
 * table that grows (a lock held over malloc).
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "runtime/pthreads.h"

#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

#define MAX_KEYS 128
#define DESTRUCTOR_ROUNDS 4 /* POSIX's _POSIX_THREAD_DESTRUCTOR_ITERATIONS */

struct spin_lock pthreads;

/* ---- Who calls ---- */

struct specific {
	unsigned serial; /* the key's, when it was set */
	const void *value;
};

struct pthread {
	struct local local; /* first */
	pthread_t id;	    /* place in the table, from 1, and above that a serial number */
	bool detached, joined, ended;
	void *(*fn)(void *);
	void *arg, *result;
	struct specific *specific; /* one for each key; NULL: none is set */
};

static struct pthread *records[PTHREAD_PLACES];
static unsigned last_record; /* counts all there ever were */

static void record_end(struct g *g);

static unsigned place(pthread_t id) { return id % PTHREAD_PLACES; }

/* Place 0 stays free: 0 is no owner of a mutex. */
static struct pthread *new_record(void)
{
	struct pthread *r = calloc(1, sizeof *r);
	int tries = PTHREAD_PLACES;

	if (r == NULL)
		return NULL;
	r->local.end = record_end;
	lock(&pthreads);
	do
		r->id = ++last_record;
	while ((place(r->id) == 0 || records[place(r->id)] != NULL) && --tries > 0);
	if (tries > 0)
		records[place(r->id)] = r;
	unlock(&pthreads);
	if (tries > 0)
		return r;
	free(r);
	return NULL;
}

/* pthreads held. */
static struct pthread *find(pthread_t id)
{
	struct pthread *r = records[place(id)];

	return r != NULL && r->id == id ? r : NULL;
}

/* In a foreign thread's callbacks too, the thread. */
static struct g *caller(void)
{
	struct m *m = getg()->m;

	return is_foreign_thread(&m->g0) ? &((struct foreign_thread *)m)->own : m->current;
}

static struct pthread *self(void)
{
	struct g *g = caller();
	struct pthread *r = (struct pthread *)g->local;

	if (r != NULL)
		return r;
	r = new_record();
	if (r == NULL)
		fatal("pthread: no memory for %s's part in it, or more than %d take part", g_name(g),
		      PTHREAD_PLACES - 1);
	r->detached = true;
	g->local = &r->local;
	return r;
}

unsigned pthread_place(bool make)
{
	if (!make && caller()->local == NULL)
		return 0;
	return place(self()->id);
}

pthread_t pthread_self(void) { return self()->id; }
int pthread_equal(pthread_t a, pthread_t b) { return a == b; }

/* ---- Attributes ---- */

int pthread_attr_init(pthread_attr_t *attr)
{
	*attr = (pthread_attr_t){
		.is_initialized = 1, .stacksize = FOREIGN_THREAD_STACK, .detachstate = PTHREAD_CREATE_JOINABLE};
	return 0;
}

int pthread_attr_destroy(pthread_attr_t *attr)
{
	attr->is_initialized = 0;
	return 0;
}

/* Less than a foreign thread's smallest is rounded up by pthread_create(). */
int pthread_attr_setstacksize(pthread_attr_t *attr, size_t size)
{
	if (size == 0 || size > INT_MAX)
		return EINVAL;
	attr->stacksize = (int)size;
	return 0;
}

int pthread_attr_getstacksize(const pthread_attr_t *attr, size_t *size)
{
	*size = (size_t)attr->stacksize;
	return 0;
}

int pthread_attr_setdetachstate(pthread_attr_t *attr, int state)
{
	if (state != PTHREAD_CREATE_DETACHED && state != PTHREAD_CREATE_JOINABLE)
		return EINVAL;
	attr->detachstate = state;
	return 0;
}

int pthread_attr_getdetachstate(const pthread_attr_t *attr, int *state)
{
	*state = attr->detachstate;
	return 0;
}

/* ---- Threads ---- */

static void start(void *arg)
{
	struct pthread *r = arg;

	caller()->local = &r->local;
	r->result = r->fn(r->arg);
}

static int start_thread(void *record, void *attr)
{
	if (socle_foreign_thread(attr, start, record) == 0)
		return 0;
	return errno == EINVAL ? EINVAL : EAGAIN;
}

int pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	struct socle_foreign_attr stack = {.stack_size = FOREIGN_THREAD_STACK};
	struct pthread *r = new_record();
	int error;

	if (r == NULL)
		return EAGAIN;
	if (attr != NULL)
		stack.stack_size =
			attr->stacksize > FOREIGN_THREAD_STACK_MIN ? (size_t)attr->stacksize : FOREIGN_THREAD_STACK_MIN;
	r->fn = fn;
	r->arg = arg;
	r->detached = attr != NULL && attr->detachstate == PTHREAD_CREATE_DETACHED;
	*id = r->id;
	error = in_foreign_code(start_thread, r, &stack);
	if (error == 0)
		return 0;
	records[place(r->id)] = NULL;
	free(r);
	return error;
}

void pthread_exit(void *result)
{
	if (!is_foreign_thread(caller()))
		fatal("pthread_exit: called by a goroutine");
	self()->result = result;
	foreign_thread_exit();
}

/* The record of one that can be joined or detached, once. pthreads held. */
static int find_joinable(pthread_t id, struct pthread **r)
{
	*r = find(id);
	if (*r == NULL)
		return ESRCH;
	return (*r)->detached || (*r)->joined ? EINVAL : 0;
}

static int join(void *id, void *result)
{
	struct pthread *r;
	int error;

	lock(&pthreads);
	error = find_joinable((pthread_t)(uintptr_t)id, &r);
	if (r != NULL && &r->local == caller()->local)
		error = EDEADLK;
	if (error != 0) {
		unlock(&pthreads);
		return error;
	}
	r->joined = true;
	while (!r->ended)
		pthreads_wait(r, "pthread_join");
	records[place(r->id)] = NULL;
	unlock(&pthreads);
	if (result != NULL)
		*(void **)result = r->result;
	free(r);
	return 0;
}

int pthread_join(pthread_t id, void **result) { return in_foreign_code(join, (void *)(uintptr_t)id, result); }

int pthread_detach(pthread_t id)
{
	struct pthread *r;
	int error;
	bool ended = false;

	lock(&pthreads);
	error = find_joinable(id, &r);
	if (error == 0) {
		r->detached = true;
		ended = r->ended;
		if (ended)
			records[place(id)] = NULL;
	}
	unlock(&pthreads);
	if (ended)
		free(r);
	return error;
}

/* ---- Specific data ---- */

static struct {
	bool used;
	unsigned serial; /* of this use: what an earlier one has left is not seen */
	void (*destructor)(void *);
} keys[MAX_KEYS];

int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
	int error = EAGAIN;

	lock(&pthreads);
	for (pthread_key_t k = 0; k < MAX_KEYS; k++) {
		if (keys[k].used)
			continue;
		keys[k].used = true;
		keys[k].serial++;
		keys[k].destructor = destructor;
		*key = k;
		error = 0;
		break;
	}
	unlock(&pthreads);
	return error;
}

int pthread_key_delete(pthread_key_t key)
{
	if (key >= MAX_KEYS || !keys[key].used)
		return EINVAL;
	keys[key].used = false;
	return 0;
}

int pthread_setspecific(pthread_key_t key, const void *value)
{
	struct pthread *r = self();

	if (key >= MAX_KEYS || !keys[key].used)
		return EINVAL;
	if (r->specific == NULL)
		r->specific = calloc(MAX_KEYS, sizeof *r->specific);
	if (r->specific == NULL)
		return ENOMEM;
	r->specific[key] = (struct specific){keys[key].serial, value};
	return 0;
}

void *pthread_getspecific(pthread_key_t key)
{
	const struct pthread *r = (const struct pthread *)caller()->local;

	if (r == NULL || r->specific == NULL || key >= MAX_KEYS || r->specific[key].serial != keys[key].serial)
		return NULL;
	return (void *)r->specific[key].value;
}

/* Destructors are foreign code, and may set values anew. */
static bool destroy_values(void)
{
	bool any = false;

	for (pthread_key_t k = 0; k < MAX_KEYS; k++) {
		void *value = pthread_getspecific(k);

		if (value == NULL || !keys[k].used || keys[k].destructor == NULL)
			continue;
		pthread_setspecific(k, NULL);
		socle_foreign_call(keys[k].destructor, value);
		any = true;
	}
	return any;
}

/* On the stack of a goroutine that exits, or of a thread. */
static void record_end(struct g *g)
{
	struct pthread *r = (struct pthread *)g->local;
	bool detached;

	for (int i = 0; r->specific != NULL && i < DESTRUCTOR_ROUNDS && destroy_values(); i++)
		;
	free(r->specific);
	g->local = NULL;
	lock(&pthreads);
	r->ended = true;
	detached = r->detached;
	if (detached)
		records[place(r->id)] = NULL;
	else
		pthreads_wake(r);
	unlock(&pthreads);
	if (detached)
		free(r);
}

#pragma clang attribute pop
