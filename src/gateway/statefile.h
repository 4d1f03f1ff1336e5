/* statefile: the gateway's two small files (keys.json, buckets.json), read whole and replaced
 * whole.
 *
 * A replacement is written beside the file, synced, renamed over it, and the directory is synced:
 * after a power cut there is the old text or the new one, nothing between. Mode 0600. One writer at
 * a time per file (callers see to it). All functions run on a fiber and yield.
 */
#ifndef KT_GATEWAY_STATEFILE_H
#define KT_GATEWAY_STATEFILE_H

#include "base/buf.h"
#include "base/err.h"

#define STATEFILE_MAX MIB(64)

/* Appends the file's bytes to `out`. `dir` is a handle of rt_dir_open. Errors: NOT_FOUND, TOO_LARGE
 * (past out's limit), IO, DENIED (not a plain file of ours). */
int statefile_read(int dir, const char *name, struct buf *out) KT_MUST_CHECK KT_YIELDS;
/* Replaces the file. Errors: NO_SPACE, IO; the old file is then still there. */
int statefile_write(int dir, const char *name, struct slice text) KT_MUST_CHECK KT_YIELDS;

#endif
