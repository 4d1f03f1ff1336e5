/* metric: a static table of cells, its offsets computed by the compiler from metric_list.h.
 *
 * A cell of a counter or gauge is one number per shard; one of a histogram is METRIC_BUCKETS + 1
 * counts (the last is above all bounds) and the sum in ns. "Touched" is kept beside, so that series
 * nobody used are not printed. */
#include "obs/metric.h"

#include "base/assert.h"
#include "base/err.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define SHARDS 8u
#define DYNAMIC_MAX 32u
#define VALUE_MAX 64u
#define HIST_CELLS (METRIC_BUCKETS + 2)
#define HIST_SUM (METRIC_BUCKETS + 1)
#define FIRST_BOUND_NS INT64_C(100000)

enum kind { COUNTER, GAUGE, HISTOGRAM };

/* How many values a label can have, "other" included. */
enum {
#define DIM(name, label, slots, ...)                                                               \
    SIZE_##name = ((slots) ? (slots) : sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)) + 1,
#define METRIC(name, text, kind, dim1, dim2, dim3, help)
#include "obs/metric_list.h"
#undef DIM
#undef METRIC
};
#define SIZE_OF(dim) (DIM_##dim == DIM_NONE ? 1 : (int)SIZE_##dim)

/* First cell of each metric, and one past the last of all. */
enum {
#define DIM(name, label, slots, ...)
#define METRIC(name, text, kind, dim1, dim2, dim3, help)                                           \
    FIRST_##name,                                                                                  \
        LAST_##name = FIRST_##name - 1 +                                                           \
                      SIZE_OF(dim1) * SIZE_OF(dim2) * SIZE_OF(dim3) *                              \
                          ((kind) == HISTOGRAM ? HIST_CELLS : 1),
#include "obs/metric_list.h"
#undef DIM
#undef METRIC
    CELLS
};

static const struct dim {
    const char *label;
    const char *const *values; /* of a fixed set */
    uint32_t fixed;            /* how many of them, 0: bounded set */
    uint32_t size;             /* with "other" */
} dims[DIM_COUNT] = {
#define DIM(name, label, slots, ...)                                                               \
    [DIM_##name] = {label, (const char *const[]){__VA_ARGS__}, (slots) ? 0 : SIZE_##name - 1,      \
                    (uint32_t)SIZE_OF(name)},
#define METRIC(name, text, kind, dim1, dim2, dim3, help)
#include "obs/metric_list.h"
#undef DIM
#undef METRIC
};

static const struct metric {
    const char *name, *help;
    enum kind kind;
    enum metric_dim dim[3];
    uint32_t first, cells; /* cells of one series: 1 or HIST_CELLS */
} metrics[METRIC_COUNT] = {
#define DIM(name, label, slots, ...)
#define METRIC(name, text, kind, dim1, dim2, dim3, help)                                           \
    [METRIC_##name] = {text,         help,                                                         \
                       kind,         {DIM_##dim1, DIM_##dim2, DIM_##dim3},                         \
                       FIRST_##name, (kind) == HISTOGRAM ? HIST_CELLS : 1},
#include "obs/metric_list.h"
#undef DIM
#undef METRIC
};

static _Atomic uint64_t cells[SHARDS][CELLS];
static _Atomic uint8_t touched[CELLS];
static _Atomic uint32_t threads_seen;
static _Thread_local uint32_t my_shard; /* shard + 1, 0: not chosen yet */

/* Values of bounded sets in the order they came; guarded by dynamic_mu, and never changed once
 * counted. */
static struct {
    char text[DYNAMIC_MAX][VALUE_MAX];
    size_t len[DYNAMIC_MAX];
    _Atomic uint32_t count;
} dynamic[DIM_COUNT];
static pthread_mutex_t dynamic_mu = PTHREAD_MUTEX_INITIALIZER;

static uint32_t shard(void)
{
    if (KT_UNLIKELY(my_shard == 0))
        my_shard = atomic_fetch_add(&threads_seen, 1) % SHARDS + 1;
    return my_shard - 1;
}

static uint8_t dynamic_label(enum metric_dim dim, struct slice value)
{
    uint32_t slots = dims[dim].size - 1, i;
    value.len = KT_MIN(value.len, VALUE_MAX);
    pthread_mutex_lock(&dynamic_mu);
    uint32_t count = atomic_load(&dynamic[dim].count);
    for (i = 0; i < count; i++)
        if (slice_eq(slice_of(dynamic[dim].text[i], dynamic[dim].len[i]), value))
            break;
    if (i == count && count < slots) {
        if (value.len)
            memcpy(dynamic[dim].text[i], value.p, value.len);
        dynamic[dim].len[i] = value.len;
        atomic_store(&dynamic[dim].count, count + 1);
    }
    pthread_mutex_unlock(&dynamic_mu);
    return (uint8_t)(i < slots ? i : slots);
}

uint8_t metric_label(enum metric_dim dim, struct slice value)
{
    const struct dim *d = &dims[dim];
    kt_assert(dim > DIM_NONE && dim < DIM_COUNT);
    if (!d->fixed)
        return dynamic_label(dim, value);
    for (uint32_t i = 0; i < d->fixed; i++)
        if (slice_eq(slice_str(d->values[i]), value))
            return (uint8_t)i;
    return (uint8_t)d->fixed;
}

uint8_t metric_code(int status)
{
    static _Atomic uint8_t
        known[600]; /* number + 1; filled as codes come, every thread with the same */
    if (status < 100 || status > 599)
        return (uint8_t)dims[DIM_CODE].fixed;
    uint8_t n = atomic_load_explicit(&known[status], memory_order_relaxed);
    if (KT_UNLIKELY(n == 0)) {
        char text[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                        (char)('0' + status % 10)};
        n = (uint8_t)(metric_label(DIM_CODE, slice_of(text, 3)) + 1);
        atomic_store_explicit(&known[status], n, memory_order_relaxed);
    }
    return (uint8_t)(n - 1);
}

/* The series' first cell. */
static uint32_t cell_of(enum metric_id id, enum kind kind, struct metric_labels l)
{
    const struct metric *m = &metrics[id];
    kt_assert(id < METRIC_COUNT && m->kind == kind);
    uint32_t at = 0;
    for (int i = 0; i < 3; i++) {
        uint32_t size = dims[m->dim[i]].size;
        kt_assert(l.value[i] < size);
        at = at * size + l.value[i];
    }
    return m->first + at * m->cells;
}

static void touch(uint32_t cell)
{
    if (KT_UNLIKELY(!atomic_load_explicit(&touched[cell], memory_order_relaxed)))
        atomic_store_explicit(&touched[cell], 1, memory_order_relaxed);
}

static void bump(uint32_t series, uint32_t cell, uint64_t n)
{
    touch(series);
    atomic_fetch_add_explicit(&cells[shard()][cell], n, memory_order_relaxed);
}

void metric_add(enum metric_id id, struct metric_labels labels, uint64_t n)
{
    uint32_t cell = cell_of(id, COUNTER, labels);
    bump(cell, cell, n);
}

void metric_shift(enum metric_id id, struct metric_labels labels, int64_t by)
{
    uint32_t cell = cell_of(id, GAUGE, labels);
    bump(cell, cell, (uint64_t)by);
}

static void overwrite(uint32_t cell, uint64_t value)
{
    touch(cell);
    for (uint32_t s = 1; s < SHARDS; s++)
        atomic_store_explicit(&cells[s][cell], 0, memory_order_relaxed);
    atomic_store_explicit(&cells[0][cell], value, memory_order_relaxed);
}

void metric_total(enum metric_id id, struct metric_labels labels, uint64_t total)
{
    overwrite(cell_of(id, COUNTER, labels), total);
}

void metric_set(enum metric_id id, struct metric_labels labels, int64_t value)
{
    overwrite(cell_of(id, GAUGE, labels), (uint64_t)value);
}

void metric_observe_ns(enum metric_id id, struct metric_labels labels, int64_t ns)
{
    uint32_t series = cell_of(id, HISTOGRAM, labels), bucket = 0;
    if (ns < 0)
        ns = 0;
    if (ns > FIRST_BOUND_NS) {
        /* the least n with ns <= bound * 2^n */
        uint64_t times = ((uint64_t)ns - 1) / (uint64_t)FIRST_BOUND_NS;
        bucket = 64u - (uint32_t)__builtin_clzll(times);
    }
    bump(series, series + KT_MIN(bucket, (uint32_t)METRIC_BUCKETS), 1);
    bump(series, series + HIST_SUM, (uint64_t)ns);
}

static uint64_t sum(uint32_t cell)
{
    uint64_t v = 0;
    for (uint32_t s = 0; s < SHARDS; s++)
        v += atomic_load_explicit(&cells[s][cell], memory_order_relaxed);
    return v;
}

uint64_t metric_value(enum metric_id id, struct metric_labels labels)
{
    uint32_t cell = cell_of(id, metrics[id].kind, labels);
    uint64_t v = 0;
    for (uint32_t i = 0; i < (metrics[id].kind == HISTOGRAM ? METRIC_BUCKETS + 1 : 1u); i++)
        v += sum(cell + i);
    return v;
}

/* ---- exposition ---- */

static struct slice value_text(enum metric_dim dim, uint32_t n)
{
    const struct dim *d = &dims[dim];
    if (n + 1 == d->size)
        return SLICE_LIT("other");
    if (d->fixed)
        return slice_str(d->values[n]);
    return slice_of(dynamic[dim].text[n], dynamic[dim].len[n]);
}

static int add_escaped(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        int rc = c == '\\' || c == '"' ? buf_addf(out, "\\%c", c)
                 : c == '\n'           ? buf_add_str(out, "\\n")
                                       : buf_add(out, &s.p[i], 1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* name_suffix{a="x",le="..."} */
static int add_series(struct buf *out, const struct metric *m, uint32_t series, const char *suffix,
                      const char *le)
{
    uint32_t n[3], at = (series - m->first) / m->cells;
    for (int i = 2; i >= 0; i--) {
        n[i] = at % dims[m->dim[i]].size;
        at /= dims[m->dim[i]].size;
    }
    int rc = buf_addf(out, "%s%s", m->name, suffix);
    char before = '{';
    for (int i = 0; i < 3 && rc == 0; i++) {
        if (m->dim[i] == DIM_NONE)
            continue;
        rc = buf_addf(out, "%c%s=\"", before, dims[m->dim[i]].label);
        if (rc == 0)
            rc = add_escaped(out, value_text(m->dim[i], n[i]));
        if (rc == 0)
            rc = buf_add_str(out, "\"");
        before = ',';
    }
    if (rc == 0 && le) {
        rc = buf_addf(out, "%cle=\"%s\"", before, le);
        before = ',';
    }
    if (rc == 0)
        rc = buf_add_str(out, before == ',' ? "} " : " ");
    return rc;
}

static int add_histogram(struct buf *out, const struct metric *m, uint32_t series)
{
    uint64_t count = 0;
    int rc = 0;
    for (uint32_t i = 0; i <= METRIC_BUCKETS && rc == 0; i++) {
        char le[24] = "+Inf";
        if (i < METRIC_BUCKETS)
            snprintf(le, sizeof(le), "%.10g", 1e-4 * (double)(UINT64_C(1) << i));
        count += sum(series + i);
        rc = add_series(out, m, series, "_bucket", le);
        if (rc == 0)
            rc = buf_addf(out, "%llu\n", (unsigned long long)count);
    }
    if (rc == 0)
        rc = add_series(out, m, series, "_sum", NULL);
    if (rc == 0)
        rc = buf_addf(out, "%.9f\n", (double)sum(series + HIST_SUM) / 1e9);
    if (rc == 0)
        rc = add_series(out, m, series, "_count", NULL);
    if (rc == 0)
        rc = buf_addf(out, "%llu\n", (unsigned long long)count);
    return rc;
}

static int add_metric(struct buf *out, const struct metric *m)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    uint32_t end =
        m->first + dims[m->dim[0]].size * dims[m->dim[1]].size * dims[m->dim[2]].size * m->cells;
    int rc =
        buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, kinds[m->kind]);
    for (uint32_t at = m->first; at < end && rc == 0; at += m->cells) {
        if (!atomic_load_explicit(&touched[at], memory_order_relaxed))
            continue;
        if (m->kind == HISTOGRAM) {
            rc = add_histogram(out, m, at);
            continue;
        }
        rc = add_series(out, m, at, "", NULL);
        if (rc == 0 && m->kind == GAUGE)
            rc = buf_addf(out, "%lld\n", (long long)sum(at));
        else if (rc == 0)
            rc = buf_addf(out, "%llu\n", (unsigned long long)sum(at));
    }
    return rc;
}

int metric_render(struct buf *out)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        int rc = add_metric(out, &metrics[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void metric_reset(void)
{
    for (uint32_t c = 0; c < CELLS; c++) {
        atomic_store(&touched[c], 0);
        for (uint32_t s = 0; s < SHARDS; s++)
            atomic_store(&cells[s][c], 0);
    }
    for (int d = 0; d < DIM_COUNT; d++)
        atomic_store(&dynamic[d].count, 0);
}
