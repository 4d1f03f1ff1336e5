/* progress: one line that shows how far a long command is, with rate and time left.
 *
 * On a terminal a bar is redrawn in place at most ten times a second; elsewhere a plain line is
 * written every ten seconds and at the end, so that logs stay readable. NO_COLOR (no-color.org) and
 * TERM=dumb switch colours off. Written to standard error: standard output belongs to results.
 *
 * The caller passes the time (rt_now_ns), so nothing here asks a clock. One thread; never yields.
 *
 *     struct progress p;
 *     progress_init(&p, stderr, "store", "files", total, rt_now_ns());
 *     progress_show(&p, done, rt_now_ns());
 *     progress_end(&p, done, rt_now_ns());
 */
#ifndef KT_CMD_PROGRESS_H
#define KT_CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
    FILE *out;
    const char *what; /* "store"; static */
    const char *unit; /* "files"; static */
    uint64_t total;   /* 0: unknown, no bar and no time left */
    int64_t started_ns;
    int64_t shown_ns; /* when last drawn; 0: never */
    bool terminal;    /* redraw in place */
    bool color;
    bool quiet; /* shows nothing */
};

/* Decides by the stream and the environment how to draw. `out` NULL: quiet. */
void progress_init(struct progress *p, FILE *out, const char *what, const char *unit,
                   uint64_t total, int64_t now_ns);
/* Draws when it is time to. Cheap otherwise. */
void progress_show(struct progress *p, uint64_t done, int64_t now_ns);
/* Draws the final state and ends the line. */
void progress_end(struct progress *p, uint64_t done, int64_t now_ns);

#endif
