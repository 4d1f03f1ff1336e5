/* fsck: `kitten fsck DIR...`: verifies data directories that no server uses, and changes nothing.
 *
 * Findings are sentences on standard output (or JSON), progress goes to standard error. Exit code:
 * 0 clean, 1 only what repairs itself, CMD_EXIT_DAMAGE when acknowledged bytes are lost; and the
 * class of the error when a directory can't be checked at all (in use, not there, of a newer
 * version).
 */
#include "base/err.h"
#include "cmd/json.h"
#include "cmd/progress.h"
#include "cmd/table.h"
#include "volume/check.h"
#include <inttypes.h>
#include <unistd.h>

#define EXIT_STALE 1

struct fsck {
    const struct cmd_args *args;
    struct json json;
    struct progress progress;
    bool started; /* the progress has its total */
    bool quiet;
    uint32_t found[3];
};

static const char *const severities[] = {"note", "stale", "damage"};

static void on_finding(void *arg, const struct check_finding *f)
{
    struct fsck *k = arg;
    if (!k->args->json) {
        if (k->started && k->progress.terminal)
            fputs("\r\033[K", stderr);
        printf("%-7s %s", severities[f->severity], f->file);
        if (f->bytes)
            printf(" at %" PRIu64 " (%" PRIu64 " bytes)", f->offset, f->bytes);
        if (f->has_seq)
            printf(", needle %x", f->seq);
        printf(": %s\n", f->text);
        return;
    }
    json_open(&k->json, NULL, '{');
    json_text(&k->json, "severity", severities[f->severity]);
    json_text(&k->json, "file", f->file);
    if (f->bytes) {
        json_u64(&k->json, "offset", f->offset);
        json_u64(&k->json, "bytes", f->bytes);
    }
    if (f->has_seq)
        json_u64(&k->json, "seq", f->seq);
    json_text(&k->json, "text", f->text);
    json_close(&k->json);
}

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
    struct fsck *k = arg;
    if (!k->started)
        progress_init(&k->progress, k->quiet ? NULL : stderr, "fsck", "bytes", total, rt_now_ns());
    k->started = true;
    if (done < total)
        progress_show(&k->progress, done, rt_now_ns());
    else
        progress_end(&k->progress, done, rt_now_ns());
}

static void show_result(struct fsck *k, const char *dir, const struct check_result *r)
{
    if (!k->args->json) {
        printf("%s: %u volumes, %" PRIu64 " needles (%u deleted), %" PRIu64 " bytes %s: %s\n", dir,
               r->volumes, r->needles, r->dead, r->bytes,
               cmd_flag(k->args, "fast") ? "looked through" : "verified",
               r->found[CHECK_DAMAGE]  ? "damaged"
               : r->found[CHECK_STALE] ? "sound, something will be rebuilt or cut off"
                                       : "clean");
        return;
    }
    json_close(&k->json);
    json_u64(&k->json, "volumes", r->volumes);
    json_u64(&k->json, "needles", r->needles);
    json_u64(&k->json, "deleted", r->dead);
    json_u64(&k->json, "bytes", r->bytes);
    for (int s = CHECK_NOTE; s <= CHECK_DAMAGE; s++)
        json_u64(&k->json, severities[s], r->found[s]);
}

static int check_one(struct fsck *k, const char *dir)
{
    struct check_result r = {0};
    const struct check_options opt = {.fast = cmd_flag(k->args, "fast"),
                                      .finding = on_finding,
                                      .progress = on_progress,
                                      .arg = k};
    k->started = false;
    if (k->args->json) {
        json_open(&k->json, NULL, '{');
        json_text(&k->json, "directory", dir);
        json_open(&k->json, "findings", '[');
    }
    int rc = check_directory(dir, &opt, &r);
    char why[DIAG_TEXT_MAX];
    snprintf(why, sizeof(why), "%s", err_text(rc));
    if (rc == 0 || k->args->json)
        show_result(k, dir, &r);
    if (k->args->json) {
        json_text(&k->json, "error", rc < 0 ? why : NULL);
        json_close(&k->json);
    }
    for (int s = CHECK_NOTE; s <= CHECK_DAMAGE; s++)
        k->found[s] += r.found[s];
    return rc;
}

static int fsck_main(void *arg)
{
    struct fsck *k = arg;
    int first = 0;
    struct diag why = {0};
    for (int i = 0; i < k->args->nwords; i++) {
        int rc = check_one(k, k->args->words[i]);
        if (rc < 0 && first == 0) {
            first = rc;
            why = *diag_get();
        }
    }
    if (first < 0)
        *diag_get() = why;
    return first;
}

static int fsck_run(const struct cmd_args *args)
{
    struct fsck k = {.args = args,
                     .quiet = args->json || cmd_flag(args, "quiet") || !isatty(STDERR_FILENO)};
    struct rt_options o = {.loops = 1, .workers = 2};
    if (args->json) {
        k.json = json_start(stdout);
        json_open(&k.json, NULL, '[');
    }
    int rc = rt_run(&o, fsck_main, &k);
    if (args->json)
        json_close(&k.json);
    if (rc < 0)
        return rc;
    return k.found[CHECK_DAMAGE] ? CMD_EXIT_DAMAGE : k.found[CHECK_STALE] ? EXIT_STALE : 0;
}

static const struct cmd_option options[] = {
    {"fast", CMD_FLAG, NULL, NULL, "check headers and indexes only, not the data"},
    {"quiet", CMD_FLAG, NULL, NULL, "show no progress"},
    {0}};

static const struct cmd_example examples[] = {
    {"kitten fsck ./data", "Verify every byte of ./data"},
    {"kitten fsck --fast --json /disk1 /disk2", "Look through two disks, findings as JSON"},
    {0}};

const struct command cmd_fsck = {
    .name = "fsck",
    .operands = "DIR...",
    .summary = "verify data directories that no server uses",
    .text = "Verifies label, volumes, needles, indexes and dead marks, and changes nothing. A "
            "server never needs it: it "
            "recovers by itself at each start. The finding \"stale\" means something that is "
            "rebuilt or cut off by the next "
            "start; \"damage\" means that stored bytes are lost or can't be trusted.\n\n"
            "Exit code: 0 clean, 1 only stale things, 7 damage; 4 no such directory, 5 in use.",
    .options = options,
    .examples = examples,
    .words_min = 1,
    .words_max = -1,
    .json = true,
    .run = fsck_run,
};
