/* The host's C library has no such thing. */
#ifndef REENT_H
#define REENT_H

struct _reent {
	int unused;
};

#endif
