/* log: the ring, its writer thread, and the burst limit.
 *
 * Happy path: log_write formats on the caller's stack, takes ring_mu, copies the line into the next
 * slot and signals the writer; the writer copies a batch of lines out under the lock and writes
 * them with one call. Failure: ring full: the line is counted in `dropped`, and the writer reports
 * the count with its next batch. The file can't be written (disk full): the batch is counted as
 * dropped; the process goes on.
 *
 * This thread and its file are the log's own, below rt/: a log that needed a running loop could not
 * tell why the loop does not run. (A listed exemption of tools/tidy.py.) */
#include "obs/log.h"

#include "base/err.h"
#include "obs/metric.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define BATCH_BYTES (64 * 1024)

static struct {
    pthread_mutex_t mu;
    pthread_cond_t wake;
    char lines[LOG_RING_LINES][LOG_LINE_MAX]; /* guarded by mu, as all below */
    uint16_t len[LOG_RING_LINES];
    uint32_t first, count;
    uint64_t unreported; /* dropped lines that the writer has not told of */
    bool running, stopping, held;
    pthread_t thread;
} ring = {.mu = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static char batch[BATCH_BYTES]; /* the writer's own */
static _Atomic uint64_t dropped_lines;
static _Atomic int log_fd = STDERR_FILENO;
static const char *log_path;
static enum log_format format_now = LOG_LOGFMT;

enum log_level log_level_now = LOG_INFO;

static int64_t system_clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static uint64_t no_request(void)
{
    return 0;
}

int64_t (*log_clock_ns)(void) = system_clock_ns;
uint64_t (*log_request_id)(void) = no_request;

uint64_t log_dropped(void)
{
    return atomic_load(&dropped_lines);
}

/* Writes everything, or counts `lines` as dropped. */
static void write_out(const char *p, size_t len, uint32_t lines)
{
    while (len > 0) {
        ssize_t n = write(atomic_load(&log_fd), p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            atomic_fetch_add(&dropped_lines, lines);
            metric_add(METRIC_LOG_DROPPED, METRIC_NO_LABELS, lines);
            return;
        }
        p += n;
        len -= (size_t)n;
    }
}

/* True when the line may go out; *ret_suppressed tells how many of its site did not since the last
 * one. */
static bool passes_burst(struct log_site *site, int64_t second, uint64_t *ret_suppressed)
{
    int64_t before = atomic_load_explicit(&site->second, memory_order_relaxed);
    *ret_suppressed = 0;
    if (before != second && atomic_compare_exchange_strong(&site->second, &before, second))
        atomic_store(&site->lines, 0);
    if (atomic_fetch_add(&site->lines, 1) >= LOG_BURST) {
        atomic_fetch_add(&site->suppressed, 1);
        return false;
    }
    if (atomic_load_explicit(&site->suppressed, memory_order_relaxed))
        *ret_suppressed = atomic_exchange(&site->suppressed, 0);
    return true;
}

static void enqueue(const char *line, size_t len)
{
    pthread_mutex_lock(&ring.mu);
    bool direct = !ring.running;
    if (!direct && ring.count == LOG_RING_LINES) {
        ring.unreported++;
        atomic_fetch_add(&dropped_lines, 1);
        metric_add(METRIC_LOG_DROPPED, METRIC_NO_LABELS, 1);
    } else if (!direct) {
        uint32_t slot = (ring.first + ring.count++) % LOG_RING_LINES;
        memcpy(ring.lines[slot], line, len);
        ring.len[slot] = (uint16_t)len;
        if (ring.count == 1)
            pthread_cond_signal(&ring.wake);
    }
    pthread_mutex_unlock(&ring.mu);
    if (direct)
        write_out(line, len, 1);
}

void log_write(struct log_site *site, enum log_level level, const char *module, const char *msg,
               const struct log_field *fields, int n)
{
    char out[LOG_LINE_MAX];
    struct log_line line = {.wall_ns = log_clock_ns(),
                            .level = level,
                            .module = module,
                            .msg = msg,
                            .request_id = log_request_id(),
                            .fields = fields,
                            .n = n};
    metric_add(METRIC_LOG_LINES, METRIC_L((uint8_t)level), 1);
    if (site && !passes_burst(site, line.wall_ns / NS_PER_SEC, &line.suppressed))
        return;
    enqueue(out, log_format(format_now, &line, out));
}

/* Moves lines from the ring into `batch`; called with the lock. Returns the bytes. */
static size_t take_batch(uint32_t *ret_lines)
{
    size_t len = 0;
    *ret_lines = 0;
    if (ring.unreported) {
        const struct log_field lost[] = {LOG_U64("lines", ring.unreported)};
        struct log_line line = {
            .wall_ns = log_clock_ns(),
            .level = LOG_WARN,
            .module = "log",
            .msg = "lines were dropped: the log can't be written as fast as they came",
            .fields = lost,
            .n = 1};
        len = log_format(format_now, &line, batch);
        ring.unreported = 0;
    }
    while (ring.count > 0 && len + ring.len[ring.first] <= BATCH_BYTES) {
        memcpy(batch + len, ring.lines[ring.first], ring.len[ring.first]);
        len += ring.len[ring.first];
        ring.first = (ring.first + 1) % LOG_RING_LINES;
        ring.count--;
        ++*ret_lines;
    }
    return len;
}

static void *writer(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&ring.mu);
    for (;;) {
        while ((ring.count == 0 || ring.held) && !ring.stopping)
            pthread_cond_wait(&ring.wake, &ring.mu);
        if (ring.count == 0 && ring.unreported == 0)
            break; /* stopping, and all is written */
        uint32_t lines;
        size_t len = take_batch(&lines);
        pthread_mutex_unlock(&ring.mu);
        write_out(batch, len, lines);
        pthread_mutex_lock(&ring.mu);
    }
    pthread_mutex_unlock(&ring.mu);
    return NULL;
}

static int open_file(const char *path, int *ret_fd)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0)
        return err_sys(errno, "open log file '%s'", path);
    *ret_fd = fd;
    return 0;
}

int log_start(const struct log_options *opt)
{
    int fd = STDERR_FILENO;
    int rc = opt->path ? open_file(opt->path, &fd) : 0;
    if (rc < 0)
        return rc;
    log_path = opt->path;
    format_now = opt->format;
    log_level_now = opt->level;
    atomic_store(&log_fd, fd);
    ring.stopping = false;
    /* Signals are for the threads that wait for them: taken here, SIGTERM would just kill. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&ring.thread, NULL, writer, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0)
        return err_sys(rc, "start the log writer");
    pthread_mutex_lock(&ring.mu);
    ring.running = true;
    pthread_mutex_unlock(&ring.mu);
    return 0;
}

void log_stop(void)
{
    pthread_mutex_lock(&ring.mu);
    bool was_running = ring.running;
    ring.running = false;
    ring.stopping = true;
    ring.held = false;
    pthread_cond_signal(&ring.wake);
    pthread_mutex_unlock(&ring.mu);
    if (!was_running)
        return;
    pthread_join(ring.thread, NULL);
    int fd = atomic_exchange(&log_fd, STDERR_FILENO);
    if (fd != STDERR_FILENO)
        close(fd);
}

int log_reopen(void)
{
    int fd = -1;
    if (!log_path)
        return 0;
    int rc = open_file(log_path, &fd);
    if (rc < 0)
        return rc;
    /* dup2 swaps the file under the writer's descriptor at once: no line goes to a closed one */
    if (dup2(fd, atomic_load(&log_fd)) < 0)
        rc = err_sys(errno, "switch to log file '%s'", log_path);
    close(fd);
    return rc < 0 ? rc : 0;
}

void log_hold(bool hold)
{
    pthread_mutex_lock(&ring.mu);
    ring.held = hold;
    pthread_cond_signal(&ring.wake);
    pthread_mutex_unlock(&ring.mu);
}
