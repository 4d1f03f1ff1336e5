/* bench_report: results of the load generator as text, JSON and CSV.
 *
 * Rates are successful operations over the measured window, latencies are per request in
 * microseconds (percentiles overstate by at most 1/32, base/hist.h), CPU times are those of the
 * window. Write errors of a stream are left to its error flag. Called after the run, on the main
 * thread; never yields. */
#ifndef KT_CMD_BENCH_REPORT_H
#define KT_CMD_BENCH_REPORT_H

#include "cmd/bench_run.h"
#include <stdio.h>

/* A table for people. */
void report_text(FILE *out, const struct bench_config *cfg, const struct bench_result *r);
/* One JSON object; field names carry their units and are stable. */
void report_json(FILE *out, const struct bench_config *cfg, const struct bench_result *r);
/* Appends one line per operation to `path`, with a heading when the file is new. Errors: those of
 * files. */
int report_csv(const char *path, const struct bench_config *cfg,
               const struct bench_result *r) KT_MUST_CHECK;

#endif
