/* rebuild: `kitten rebuild index DIR...`: makes the indexes anew from the logs. */
#include "volume/rebuild.h"
#include "base/err.h"
#include "cmd/json.h"
#include "cmd/progress.h"
#include "cmd/table.h"
#include <unistd.h>

struct run {
    const struct cmd_args *args;
    struct json json;
    struct progress progress;
    bool started, quiet;
    uint32_t failed;
};

static void on_done(void *arg, vid_t vid, uint32_t needles, int rc, const char *why)
{
    struct run *r = arg;
    if (r->args->json) {
        char name[16];
        snprintf(name, sizeof(name), "%08x", vid);
        json_open(&r->json, NULL, '{');
        json_text(&r->json, "vid", name);
        json_u64(&r->json, "needles", needles);
        json_text(&r->json, "error", rc < 0 ? why : NULL);
        json_close(&r->json);
    } else if (rc < 0) {
        printf("%08x: the index can't be made: %s\n", vid, why);
    }
}

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
    struct run *r = arg;
    if (!r->started)
        progress_init(&r->progress, r->quiet ? NULL : stderr, "rebuild", "bytes", total,
                      rt_now_ns());
    r->started = true;
    if (done < total)
        progress_show(&r->progress, done, rt_now_ns());
    else
        progress_end(&r->progress, done, rt_now_ns());
}

static int rebuild_one(struct run *r, const char *dir)
{
    struct rebuild_result res = {0};
    const struct rebuild_options opt = {.done = on_done, .progress = on_progress, .arg = r};
    r->started = false;
    int rc = rebuild_indexes(dir, &opt, &res);
    r->failed += res.failed;
    if (rc == 0 && !r->args->json)
        printf("%s: %u indexes made, %u left to the next start, %u failed\n", dir, res.rebuilt,
               res.removed, res.failed);
    return rc;
}

static int rebuild_main(void *arg)
{
    struct run *r = arg;
    int rc = 0;
    for (int i = 0; rc >= 0 && i < r->args->nwords; i++)
        rc = rebuild_one(r, r->args->words[i]);
    return rc;
}

static int rebuild_run(const struct cmd_args *args)
{
    struct run r = {.args = args, .quiet = args->json || !isatty(STDERR_FILENO)};
    struct rt_options o = {.loops = 1, .workers = 2};
    if (args->json) {
        r.json = json_start(stdout);
        json_open(&r.json, NULL, '[');
    }
    int rc = rt_run(&o, rebuild_main, &r);
    if (args->json)
        json_close(&r.json);
    return rc < 0 ? rc : r.failed ? CMD_EXIT_DAMAGE : 0;
}

static const struct cmd_example examples[] = {
    {"kitten rebuild index ./data", "Make the indexes of all volumes in ./data anew"}, {0}};

const struct command cmd_rebuild_index = {
    .name = "rebuild index",
    .operands = "DIR...",
    .summary = "make the indexes anew from the volumes",
    .text = "An index is a cache: a server rebuilds one that is missing or damaged by itself. This "
            "does it ahead, for data "
            "directories that no server uses.\n\nExit code: 0 done, 7 the log of a volume is "
            "damaged (see kitten fsck).",
    .examples = examples,
    .words_min = 1,
    .words_max = -1,
    .json = true,
    .run = rebuild_run,
};
