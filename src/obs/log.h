/* log: one line per event, key=value or JSON, written by a thread of its own.
 *
 *     ts=2026-01-31T12:00:00.123456Z level=info module=volume rid=1f msg="volume sealed" vid=7
 * bytes=1048576
 *
 * Model. Only the edge logs (the end of a request, the loop of a background task, start and stop);
 * libraries return errors. A line is put together in the caller's thread and copied into a bounded
 * ring; the writer thread takes it from there, so that a slow disk or terminal never stops a loop.
 * When the ring is full the line is dropped and counted (log_dropped(), kitten_log_dropped_total),
 * and the writer says so once there is room again. Before log_start and after log_stop lines are
 * written at once by the caller.
 *
 * Invariants.
 *  1. A value can't forge a line or a field: quotes, backslashes, control bytes and bytes that are
 * no UTF-8 come out escaped, keys are constants, a line is cut at LOG_LINE_MAX and marked by cut=1.
 *  2. Fields whose key says secret, password, token, authorization or signature show "[hidden]".
 *  3. A place in the code writes at most LOG_BURST lines a second; the next line says suppressed=N.
 *
 * Any thread or fiber; never yields, never waits for the disk. Takes a lock for the length of a
 * memcpy. */
#ifndef KT_OBS_LOG_H
#define KT_OBS_LOG_H

#include "base/macros.h"
#include "base/slice.h"
#include <stdatomic.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };

#define LOG_LINE_MAX 1024 /* bytes, with the newline */
#define LOG_RING_LINES 1024
#define LOG_BURST 10

enum log_type {
    LOG_TYPE_NONE,
    LOG_TYPE_BYTES,
    LOG_TYPE_U64,
    LOG_TYPE_I64,
    LOG_TYPE_HEX,
    LOG_TYPE_ERR
};

struct log_field {
    const char *key; /* lower_case, static */
    enum log_type type;
    struct slice bytes; /* borrowed until the call returns */
    uint64_t number;
};

#define LOG_STR(k, s)                                                                              \
    {                                                                                              \
        (k), LOG_TYPE_BYTES, slice_str(s), 0                                                       \
    }
#define LOG_BYTES(k, slice)                                                                        \
    {                                                                                              \
        (k), LOG_TYPE_BYTES, (slice), 0                                                            \
    }
#define LOG_U64(k, v)                                                                              \
    {                                                                                              \
        (k), LOG_TYPE_U64, {NULL, 0}, (uint64_t)(v)                                                \
    }
#define LOG_I64(k, v)                                                                              \
    {                                                                                              \
        (k), LOG_TYPE_I64, {NULL, 0}, (uint64_t)(int64_t)(v)                                       \
    }
#define LOG_HEX(k, v)                                                                              \
    {                                                                                              \
        (k), LOG_TYPE_HEX, {NULL, 0}, (uint64_t)(v)                                                \
    }
/* err=NAME why="text of the current diagnostic" */
#define LOG_ERR(rc)                                                                                \
    {                                                                                              \
        "err", LOG_TYPE_ERR, {NULL, 0}, (uint64_t)(int64_t)(rc)                                    \
    }

/* State of one place in the code, for the burst limit. */
struct log_site {
    _Atomic int64_t second;
    _Atomic uint32_t lines, suppressed;
};

/* log_at(LOG_INFO, "volume", "volume sealed", LOG_U64("vid", vid), ...): fields are LOG_*
 * initialisers. */
#define log_at(lvl, module, msg, ...)                                                              \
    do {                                                                                           \
        if ((lvl) <= log_level_now) {                                                              \
            static struct log_site site_;                                                          \
            const struct log_field fields_[] = {{0}, ##__VA_ARGS__};                               \
            log_write(&site_, (lvl), (module), (msg), fields_ + 1,                                 \
                      (int)KT_ARRAY_LEN(fields_) - 1);                                             \
        }                                                                                          \
    } while (0)
#define log_error(module, msg, ...) log_at(LOG_ERROR, module, msg, ##__VA_ARGS__)
#define log_warn(module, msg, ...) log_at(LOG_WARN, module, msg, ##__VA_ARGS__)
#define log_info(module, msg, ...) log_at(LOG_INFO, module, msg, ##__VA_ARGS__)
#define log_debug(module, msg, ...) log_at(LOG_DEBUG, module, msg, ##__VA_ARGS__)
/* Without the burst limit: access log lines. */
#define log_access(module, msg, ...)                                                               \
    do {                                                                                           \
        if (LOG_INFO <= log_level_now) {                                                           \
            const struct log_field fields_[] = {{0}, ##__VA_ARGS__};                               \
            log_write(NULL, LOG_INFO, (module), (msg), fields_ + 1,                                \
                      (int)KT_ARRAY_LEN(fields_) - 1);                                             \
        }                                                                                          \
    } while (0)

/* Lines above this level cost one comparison. LOG_INFO at start. */
extern enum log_level log_level_now;
/* Where the time comes from (Unix ns) and the running fiber's request id (0: none). cmd/ points
 * them at rt_wall_ns and rt_request_id; by default the system's clock, and none. */
extern int64_t (*log_clock_ns)(void);
extern uint64_t (*log_request_id)(void);

void log_write(struct log_site *site, enum log_level level, const char *module, const char *msg,
               const struct log_field *fields, int n);

struct log_options {
    enum log_level level;
    enum log_format format;
    const char *path; /* appended to, 0640; NULL: standard error */
};
/* Opens the file and starts the writer. Once. Errors: those of opening the file. */
int log_start(const struct log_options *opt) KT_MUST_CHECK;
/* Writes what is in the ring and ends the writer. Harmless when it never started. */
void log_stop(void);
/* Opens the file anew at its path (after rotation). Errors: the old file stays in use. */
int log_reopen(void) KT_MUST_CHECK;
uint64_t log_dropped(void);

/* Formats one line into `out` (LOG_LINE_MAX bytes) with its newline; returns its length. Pure but
 * for LOG_TYPE_ERR, which reads the diagnostic. `suppressed` 0: no such field. */
struct log_line {
    int64_t wall_ns;
    enum log_level level;
    const char *module, *msg;
    uint64_t request_id, suppressed;
    const struct log_field *fields;
    int n;
};
size_t log_format(enum log_format format, const struct log_line *line, char *out);

/* Tests only: holds the writer still, so that the ring fills. */
void log_hold(bool hold);

#endif
