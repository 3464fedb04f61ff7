#include "vendor.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>

char stacks[FIBERS][STACK] __attribute__((aligned(4096)));
struct coroutine coroutines[FIBERS];

static __attribute__((noinline)) void call_under_frame(struct job *job, int n)
{
	volatile char frame[4096];

	for (int i = 0; i < 4096; i++)
		frame[i] = (char)(i + n);
	if (socle_callback(job->callback, &coroutines[n]) < 0)
		job->errors[n] = errno;
	else
		job->calls++;
	for (int i = 0; i < 4096; i++)
		job->broken += frame[i] != (char)(i + n);
}

static void calls_back(struct coroutine *self)
{
	struct job *job = self->arg;

	for (int i = 0; i < job->times; i++) {
		call_under_frame(job, (int)(self - coroutines));
		coroutine_suspend(self);
	}
}

static void run(struct job *job, int n)
{
	bool going = true;

	for (int i = 0; i < n; i++)
		coroutine_make(&coroutines[i], stacks[i], STACK, calls_back, job);
	while (going) {
		going = false;
		for (int i = 0; i < n; i++) {
			if (coroutines[i].ended)
				continue;
			coroutine_resume(&coroutines[i]);
			going = true;
		}
	}
}

static void set(void *flag) { *(bool *)flag = true; }

void run_fibers(void *arg)
{
	struct job *job = arg;

	run(job, FIBERS);
	socle_callback(set, &job->called_at_end);
}

void run_one_fiber(void *job) { run(job, 1); }

static void one_step(struct coroutine *self)
{
	struct step *step = self->arg;

	if (socle_callback(step->callback, step) < 0)
		step->error = errno;
}

void run_step(void *arg)
{
	struct step *step = arg;
	struct coroutine *c = &coroutines[step->fiber];

	coroutine_make(c, stacks[step->fiber], STACK, one_step, step);
	while (!c->ended)
		coroutine_resume(c);
}

static void spins(struct coroutine *self)
{
	int64_t end = socle_now() + 1000000000;

	while (!*(volatile bool *)self->arg && socle_now() < end)
		;
}

static void fails(struct coroutine *self)
{
	(void)self;
	(void)*(volatile char *)8;
}

static void run_plain(void (*fn)(struct coroutine *), void *arg)
{
	coroutine_make(&coroutines[0], stacks[0], STACK, fn, arg);
	coroutine_resume(&coroutines[0]);
}

static void panics(struct coroutine *self)
{
	(void)self;
	socle_panic("on fiber %lu", socle_id());
}

static void locks(struct coroutine *self)
{
	if (pthread_mutex_lock(self->arg) == 0)
		pthread_mutex_unlock(self->arg);
}

/* Each is one that foreign code may call, or that must say that it may not. The mutex is locked, and somebody waits. */
static void calls_everything(struct coroutine *self)
{
	struct everything *e = self->arg;
	struct socle_foreign_attr attr = {.stack_size = 128 << 10};
	int n = 0;

#define SAYS(error, call) (e->wrong[n++] = (call) != -1 || errno != (error))
	e->wrong[n++] = socle_ncpu() < 1 || socle_id() == 0 || socle_now() <= 0;
	e->wrong[n++] = socle_foreign_thread(NULL, set, &e->thread_ran) != 0;
	SAYS(EINVAL, socle_foreign_thread(NULL, NULL, NULL));
	SAYS(EBUSY, socle_mutex_trylock(&e->mutex));
	SAYS(EPERM, socle_mutex_lock(&e->mutex));
	SAYS(EPERM, socle_mutex_unlock(&e->mutex));
	SAYS(EPERM, socle_go(set, NULL));
	SAYS(EPERM, socle_chan_send(e->chan, NULL));
	SAYS(EPERM, socle_chan_recv(e->chan, NULL));
	SAYS(EPERM, socle_sleep(1));
	SAYS(EPERM, socle_select(NULL, 0, 0));
	SAYS(EPERM, socle_rwlock_rdlock(&e->rwlock));
	SAYS(EPERM, socle_cond_signal(&e->cond));
	SAYS(EPERM, socle_waitgroup_wait(&e->waitgroup));
	SAYS(EPERM, socle_once(&e->once, set, NULL));
	SAYS(EPERM, socle_sem_wait(&e->sem));
	SAYS(EPERM, socle_sem_post(&e->sem));
	SAYS(EPERM, socle_foreign_call_attr(&attr, set, NULL));
	e->tried = n;
}

void everything_on_fiber(void *e) { run_plain(calls_everything, e); }
void panic_on_fiber(void *unused) { run_plain(panics, unused); }
void lock_on_fiber(void *mutex) { run_plain(locks, mutex); }
void spin_on_fiber(void *stop) { run_plain(spins, stop); }
void fail_on_fiber(void *unused) { run_plain(fails, unused); }

static void goes_deep(struct coroutine *self)
{
	volatile char frame[STACK - 7168]; /* and 4 KiB more below */

	__asm__ volatile("" : : "r"(frame) : "memory");
	call_under_frame(self->arg, 0);
	__asm__ volatile("" : : "r"(frame) : "memory");
}

void call_back_deep(void *job) { run_plain(goes_deep, job); }

/* ---- What must not be done ---- */

static jmp_buf outside;

static void calls_jump(void *unused) { socle_foreign_call(jump, unused); }

void jump(void *unused)
{
	(void)unused;
	longjmp(outside, 1);
}

void leave_by_longjmp(void *unused)
{
	if (setjmp(outside) == 0)
		socle_callback(calls_jump, unused);
}

void leave_by_own_longjmp(void *callback)
{
	if (setjmp(outside) == 0)
		socle_callback((socle_fn)callback, NULL);
}

void longjmp_and_call_back(void *unused)
{
	leave_by_longjmp(unused);
	socle_callback(calls_jump, unused);
}

void longjmp_and_fail(void *unused)
{
	leave_by_longjmp(unused);
	(void)*(volatile char *)8;
}

void resume_resumer(void *unused)
{
	(void)unused;
	coroutine_suspend(&coroutines[0]);
}

static void calls_resume(void *unused) { socle_foreign_call(resume_resumer, unused); }

static void leaves_callback(struct coroutine *self) { socle_callback(calls_resume, self->arg); }

void suspend_in_callback(void *unused) { run_plain(leaves_callback, unused); }
