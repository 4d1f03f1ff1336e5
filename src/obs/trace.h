/* trace: a flight recorder. The last TRACE_EVENTS events of each thread, printed when an assertion
 * fails.
 *
 *     trace_event("group_sync", vid, bytes);
 *
 * An event costs a clock reading and four stores. Names are string constants. Rings belong to their
 * thread (a loop has one thread, so a loop has one ring); at most TRACE_THREADS threads get one,
 * events of further threads are not recorded. trace_dump only uses async-signal-safe calls; it
 * reads the rings of other threads while they may be writing: an event torn by that is the price of
 * never locking. */
#ifndef KT_OBS_TRACE_H
#define KT_OBS_TRACE_H

#include <stdint.h>

#define TRACE_EVENTS 256u
#define TRACE_THREADS 96u

void trace_event(const char *name, uint64_t a, uint64_t b);
/* Prints all rings to a file descriptor, oldest event first, each "trace: thread ns name a b". */
void trace_dump(int fd);
/* Makes a failed assertion print the rings to standard error. */
void trace_install(void);

#endif
