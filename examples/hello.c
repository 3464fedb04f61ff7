/* Ten lines: a goroutine sends, main receives, and foreign code calls back. */
#include <stdio.h>

#include "socle.h"

static void callback(void *name) { printf("hello, %s, from a callback\n", (char *)name); }
static void foreign(void *name) { socle_callback(callback, name); }
static void sender(void *c) { socle_chan_send(c, &(int){42}); }

int main(int argc, char **argv)
{
	socle_chan *c = socle_chan_make(sizeof(int), 0);
	int n = 0;

	socle_go(sender, c);
	socle_chan_recv(c, &n);
	printf("received %d\n", n);
	return socle_foreign_call(foreign, argc > 1 ? argv[1] : "world");
}
