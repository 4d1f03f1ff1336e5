/* metric: counters, gauges and histograms, and their Prometheus text (exposition format 0.0.4).
 *
 * Model. All metrics and their labels are rows of metric_list.h; every series that can exist has a
 * cell in a static table, so recording is one relaxed atomic addition and never allocates, locks or
 * fails. Cells are sharded by thread and summed when they are read. A label value is a small
 * number: a constant of a fixed set (metric_label looks it up once, at start), or, for buckets and
 * disks, a number taken from a bounded set as names come; when the set is full, further names count
 * as "other".
 *
 *     static const struct metric_labels ok = {{ ... }};
 *     metric_add(METRIC_HTTP_REQUESTS, METRIC_L(api, code, bucket), 1);
 *     metric_observe_ns(METRIC_HTTP_TTFB, METRIC_L(api), ns);
 *
 * Any thread; never yields. A sum that is read while others add may lag, but never goes back. */
#ifndef KT_OBS_METRIC_H
#define KT_OBS_METRIC_H

#include "base/buf.h"
#include <stdint.h>

enum metric_dim {
#define DIM(name, label, slots, ...) DIM_##name,
#define METRIC(name, text, kind, dim1, dim2, dim3, help)
#include "obs/metric_list.h"
#undef DIM
#undef METRIC
    DIM_COUNT
};

enum metric_id {
#define DIM(name, label, slots, ...)
#define METRIC(name, text, kind, dim1, dim2, dim3, help) METRIC_##name,
#include "obs/metric_list.h"
#undef DIM
#undef METRIC
    METRIC_COUNT
};

/* Upper bounds of the histogram buckets: 0.1 ms * 2^n. */
#define METRIC_BUCKETS 18

/* One number per label of the metric, in its row's order; 0 where the row says NONE. */
struct metric_labels {
    uint8_t value[3];
};
#define METRIC_L(...) ((struct metric_labels){{__VA_ARGS__}})
#define METRIC_NO_LABELS ((struct metric_labels){{0}})

/* The number of a label value; of "other" when a fixed set doesn't have it or a bounded one is
 * full. Takes a lock and compares strings: call it when a bucket or disk is opened, not per
 * request. */
uint8_t metric_label(enum metric_dim dim, struct slice value);
/* The number of an HTTP status in DIM_CODE; constant time. */
uint8_t metric_code(int status);

/* Counters. */
void metric_add(enum metric_id id, struct metric_labels labels, uint64_t n);
/* Sets a counter to a total that is kept elsewhere; it may only grow. */
void metric_total(enum metric_id id, struct metric_labels labels, uint64_t total);
/* Gauges: the present value, or a change of it. */
void metric_set(enum metric_id id, struct metric_labels labels, int64_t value);
void metric_shift(enum metric_id id, struct metric_labels labels, int64_t by);
/* Histograms. */
void metric_observe_ns(enum metric_id id, struct metric_labels labels, int64_t ns);

/* A counter's or gauge's value, a histogram's count. */
uint64_t metric_value(enum metric_id id, struct metric_labels labels);
/* Appends the exposition of all series that were ever touched, with HELP and TYPE of all metrics.
 * Errors: TOO_LARGE, NO_MEMORY. */
int metric_render(struct buf *out) KT_MUST_CHECK;
/* Forgets all values and bounded label values (tests). No other thread may use metrics meanwhile.
 */
void metric_reset(void);

#endif
