/* bench: the commands `kitten bench` and `kitten bench verify`.
 *
 * Options become a struct bench_config; objects come from a manifest, from a first untimed phase
 * that stores them, or from nothing; then one timed phase runs and is reported, and the manifest is
 * written. */
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "cmd/bench_report.h"
#include "cmd/table.h"
#include <string.h>

#define THREADS_MAX 64
#define CONNS_MAX 16384
#define BATCH_FILES_MAX 10000
#define S3_SIGNATURE_LIFE_MS (14 * 60 * 1000)

/* ---- options to configuration ---- */

static int read_pids(const struct cmd_args *args, struct bench_config *cfg)
{
    const char *at;
    for (int i = 0; (at = cmd_text_at(args, "server-pid", i)) != NULL; i++) {
        while (*at) {
            size_t len = strcspn(at, ",");
            uint64_t pid;
            if (!dec_to_u64(slice_of(at, len), &pid) || pid == 0 || pid > INT32_MAX)
                return err_set(KT_ERR_INVALID, "--server-pid: '%s' is no list of process ids", at);
            if (cfg->npids == RUN_PIDS_MAX)
                return err_set(KT_ERR_INVALID, "--server-pid: more than %d processes",
                               RUN_PIDS_MAX);
            cfg->pids[cfg->npids++] = (int)pid;
            at += len + (at[len] == ',');
        }
    }
    return 0;
}

/* "put=20,get=70,delete=10" */
static int read_mix(const char *text, uint32_t weights[OP_COUNT])
{
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, ","), name = strcspn(at, "=");
        uint64_t share = 0;
        int op = 0;
        while (op < OP_COUNT &&
               (strlen(target_op_names[op]) != name || memcmp(target_op_names[op], at, name) != 0))
            op++;
        if (op == OP_COUNT || name >= len ||
            !dec_to_u64(slice_of(at + name + 1, len - name - 1), &share) || share > 1000000)
            return err_set(KT_ERR_INVALID, "--mix '%s' is not like put=20,get=70,delete=10", text);
        weights[op] = (uint32_t)share;
        at += len + (at[len] == ',');
    }
    uint64_t sum = 0;
    for (int op = 0; op < OP_COUNT; op++)
        sum += weights[op];
    return sum > 0 ? 0 : err_set(KT_ERR_INVALID, "--mix '%s' asks for nothing", text);
}

static int read_operation(const struct cmd_args *args, struct bench_config *cfg)
{
    const char *name = args->nwords > 0          ? args->words[0]
                       : cmd_flag(args, "batch") ? "batch"
                                                 : "put";
    cfg->what = name;
    if (strcmp(name, "mixed") == 0)
        return read_mix(cmd_text(args, "mix"), cfg->weights);
    for (int op = 0; op < OP_COUNT; op++)
        if (strcmp(name, target_op_names[op]) == 0) {
            cfg->weights[op] = 1;
            return 0;
        }
    return err_set(KT_ERR_INVALID,
                   "operation '%s' is none of: put, get, delete, list, mixed, batch", name);
}

static int read_common(const struct cmd_args *args, struct bench_config *cfg)
{
    uint64_t conns = cmd_count(args, "concurrency"), threads = cmd_count(args, "threads");
    int rc = target_init(args, &cfg->target);
    if (rc < 0)
        return rc;
    if (conns == 0 || conns > CONNS_MAX)
        return err_set(KT_ERR_INVALID, "--concurrency is 1 to %d", CONNS_MAX);
    if (threads == 0 || threads > THREADS_MAX)
        return err_set(KT_ERR_INVALID, "--threads is 1 to %d", THREADS_MAX);
    cfg->conns = (uint32_t)conns;
    cfg->threads = (int)KT_MIN(threads, conns);
    cfg->timeout_ms = cmd_duration_ms(args, "timeout");
    cfg->quiet = cmd_flag(args, "quiet");
    cfg->share = 1;
    cfg->batch_files = 1;
    return read_pids(args, cfg);
}

static int check_config(const struct cmd_args *args, const struct bench_config *cfg)
{
    bool from = cmd_given(args, "from");
    if (cfg->weights[OP_LIST] > 0 && cfg->target.kind == TARGET_BLOB)
        return err_set(KT_ERR_INVALID, "the blob API has no list; use --target s3");
    if (cfg->weights[OP_BATCH] > 0 && cfg->target.kind != TARGET_BLOB)
        return err_set(KT_ERR_INVALID, "only the blob API takes batches; use --target blob");
    if (from && cfg->weights[OP_PUT] == 0 && cfg->weights[OP_BATCH] == 0)
        return err_set(KT_ERR_INVALID, "--from stores files: use it with put or batch");
    if (cfg->batch_files == 0 || cfg->batch_files > BATCH_FILES_MAX)
        return err_set(KT_ERR_INVALID, "--batch-files is 1 to %d", BATCH_FILES_MAX);
    if (cfg->target.kind == TARGET_S3 && cfg->duration_ms + cfg->warmup_ms > S3_SIGNATURE_LIFE_MS)
        return err_set(KT_ERR_INVALID, "S3 signatures live 15 minutes: runs may last 14");
    return 0;
}

static int read_config(const struct cmd_args *args, struct bench_config *cfg)
{
    int rc = read_common(args, cfg);
    if (rc == 0)
        rc = read_operation(args, cfg);
    if (rc == 0)
        rc = data_sizes_parse(cmd_text(args, "size"), &cfg->sizes);
    if (rc == 0)
        rc = data_keys_parse(cmd_text(args, "keys"), &cfg->keys);
    if (rc < 0)
        return rc;
    cfg->rate = cmd_real(args, "rate");
    cfg->duration_ms = cmd_duration_ms(args, "duration");
    cfg->warmup_ms = cmd_duration_ms(args, "warmup");
    cfg->count = cmd_count(args, "count");
    cfg->seed = cmd_count(args, "seed");
    cfg->verify = cmd_real(args, "verify");
    cfg->share = cmd_real(args, "share");
    cfg->batch_files = (uint32_t)KT_MIN(cmd_count(args, "batch-files"), UINT64_C(1) << 30);
    bool sweep = cmd_given(args, "from") || (cfg->weights[OP_DELETE] == 1 && args->nwords > 0 &&
                                             strcmp(args->words[0], "delete") == 0);
    if (cfg->duration_ms == 0 && cfg->count == 0 && !sweep)
        cfg->duration_ms = 10000;
    return check_config(args, cfg);
}

/* ---- running ---- */

static int finish(const struct cmd_args *args, const struct bench_config *cfg,
                  const struct bench_result *r)
{
    const char *csv = cmd_text(args, "csv");
    if (args->json)
        report_json(stdout, cfg, r);
    else
        report_text(stdout, cfg, r);
    int rc = csv ? report_csv(csv, cfg, r) : 0;
    if (rc < 0)
        return rc;
    uint64_t damage = 0;
    for (int op = 0; op < OP_COUNT; op++)
        damage += r->tally[op].corrupt + r->tally[op].resurrected + r->tally[op].not_found;
    if (damage > 0)
        return CMD_EXIT_DAMAGE;
    return run_is_clean(r) ? CMD_EXIT_OK : CMD_EXIT_FAILURE;
}

/* As if they had been stored by a run with this seed; their ids follow from their number. */
static int assume_objects(const struct cmd_args *args, const struct bench_config *cfg,
                          struct bench_objects *objects)
{
    int rc = 0;
    if (cfg->target.kind == TARGET_BLOB)
        return err_set(KT_ERR_INVALID,
                       "--existing: the server chose the ids of blobs; use --manifest");
    for (uint64_t i = 0; i < cmd_count(args, "objects") && rc == 0; i++) {
        struct bench_object o = {.index = i, .size = data_size(&cfg->sizes, cfg->seed, i)};
        rc = objects_add(objects, &o, NULL);
    }
    return rc;
}

/* The objects to work on: from the manifest, or stored now when the operation needs some. */
static int prepare_objects(const struct cmd_args *args, const struct bench_config *cfg,
                           struct bench_objects *objects, struct bench_result *scratch)
{
    const char *manifest = cmd_text(args, "manifest");
    bool stores = cfg->weights[OP_PUT] > 0 || cfg->weights[OP_BATCH] > 0;
    bool needs = cfg->weights[OP_GET] > 0 || cfg->weights[OP_DELETE] > 0;
    objects_init(objects, cfg->seed, cfg->tree != NULL);
    if (manifest && needs && !cmd_given(args, "objects"))
        return objects_load(manifest, objects);
    if (cmd_flag(args, "existing"))
        return assume_objects(args, cfg, objects);
    if (!needs || (stores && cmd_count(args, "objects") == 0))
        return 0;
    struct bench_config *fill = mem_alloc(sizeof(*fill));
    *fill = *cfg;
    memset(fill->weights, 0, sizeof(fill->weights));
    fill->weights[OP_PUT] = 1;
    fill->count = cmd_count(args, "objects");
    fill->rate = 0;
    fill->duration_ms = fill->warmup_ms = 0;
    fill->what = "prepare";
    int rc = run_phase(fill, objects, scratch);
    mem_free(fill);
    if (rc == 0 && !run_is_clean(scratch))
        rc = err_set(KT_ERR_UNAVAILABLE, "storing the objects failed: %s", scratch->first_error);
    return rc;
}

static int run_config(const struct cmd_args *args, struct bench_config *cfg, struct bench_result *r)
{
    struct bench_objects objects = {0};
    const char *manifest = cmd_text(args, "manifest");
    bool changes = cfg->weights[OP_PUT] + cfg->weights[OP_DELETE] + cfg->weights[OP_BATCH] > 0 ||
                   cmd_given(args, "objects");
    int rc = prepare_objects(args, cfg, &objects, r);
    if (rc == 0) {
        rc = run_phase(cfg, &objects, r);
        /* What was stored must be remembered even when the run broke off. */
        int saved = manifest && changes ? objects_save(manifest, &objects) : 0;
        rc = rc < 0 ? rc : saved;
    }
    objects_done(&objects);
    return rc < 0 ? rc : finish(args, cfg, r);
}

static int bench_run(const struct cmd_args *args)
{
    struct bench_config *cfg = mem_zalloc(sizeof(*cfg));
    struct bench_result *r = mem_zalloc(sizeof(*r));
    struct bench_tree tree = {0};
    int rc = read_config(args, cfg);
    data_pattern_make();
    if (rc == 0 && cmd_given(args, "from"))
        rc = tree_open(cmd_text(args, "from"), cfg->count, cmd_count(args, "max-size"), &tree);
    if (rc == 0) {
        cfg->tree = tree.n > 0 ? &tree : NULL;
        rc = run_config(args, cfg, r);
    }
    tree_close(&tree);
    mem_free(r);
    mem_free(cfg);
    return rc;
}

static int verify_run(const struct cmd_args *args)
{
    struct bench_config *cfg = mem_zalloc(sizeof(*cfg));
    struct bench_result *r = mem_zalloc(sizeof(*r));
    struct bench_objects objects = {0};
    const char *manifest = cmd_text(args, "manifest");
    data_pattern_make();
    int rc = manifest ? read_common(args, cfg) : err_set(KT_ERR_INVALID, "--manifest is missing");
    if (rc == 0)
        rc = objects_load(manifest, &objects);
    if (rc == 0) {
        cfg->check = true;
        cfg->what = "verify";
        rc = run_phase(cfg, &objects, r);
    }
    if (rc == 0)
        rc = finish(args, cfg, r);
    objects_done(&objects);
    mem_free(r);
    mem_free(cfg);
    return rc;
}

/* ---- declarations ---- */

#define COMMON_OPTIONS                                                                             \
    {"endpoint", CMD_TEXT, "HOST:PORT", "127.0.0.1:9000", "server to load"},                       \
        {"target", CMD_TEXT, "KIND", "blob", "API to use: blob, s3, or raw (plain PUT and GET)"},  \
        {"bucket", CMD_TEXT, "NAME", "bench", "bucket to use"},                                    \
        {"prefix", CMD_TEXT, "TEXT", "", "beginning of every key; the path before keys for raw"},  \
        {"access-key", CMD_TEXT, "KEY", NULL, "access key; else KITTEN_ACCESS_KEY"},               \
        {"secret-key", CMD_TEXT, "KEY", NULL, "secret key; else KITTEN_SECRET_KEY"},               \
        {"region", CMD_TEXT, "NAME", "us-east-1", "region in S3 signatures"},                      \
        {"concurrency", CMD_COUNT, "N", "16", "connections, each with one request in flight"},     \
        {"threads", CMD_COUNT, "N", "1", "event loops of the generator"},                          \
        {"timeout", CMD_DURATION, "TIME", "30s", "longest time of one request"},                   \
        {"manifest", CMD_TEXT, "FILE", NULL,                                                       \
         "file that lists the stored objects with their checksums"},                               \
        {"server-pid", CMD_TEXT, "PID[,PID]...", NULL,                                             \
         "processes of the server, to count operations per CPU second"},                           \
        {"csv", CMD_TEXT, "FILE", NULL, "append the results to this file"},                        \
    {                                                                                              \
        "quiet", CMD_FLAG, NULL, NULL, "show no progress"                                          \
    }

static const struct cmd_option verify_options[] = {COMMON_OPTIONS, {0}};

static const struct cmd_option bench_options[] = {
    COMMON_OPTIONS,
    {"rate", CMD_REAL, "OPS", "0",
     "operations per second, due at fixed times; latency counts from then (0: as fast as "
     "possible)"},
    {"duration", CMD_DURATION, "TIME", "0",
     "length of the run (10s when neither this nor --count is given)"},
    {"warmup", CMD_DURATION, "TIME", "0", "time before the duration that is not counted"},
    {"count", CMD_COUNT, "N", "0", "operations of the run"},
    {"objects", CMD_COUNT, "N", "10000", "objects to store first, when the operation needs some"},
    {"existing", CMD_FLAG, NULL, NULL,
     "the objects are there already, from a run with the same seed and sizes or by other means"},
    {"size", CMD_TEXT, "SIZE", "1KiB", "sizes: 1KiB, 4KiB-64KiB, photo, photo:64KiB"},
    {"keys", CMD_TEXT, "CHOICE", "uniform", "choice of objects to read: uniform, zipf, zipf:0.99"},
    {"mix", CMD_TEXT, "LIST", "put=10,get=85,delete=5", "shares of the operations of mixed"},
    {"verify", CMD_REAL, "SHARE", "0.01", "share of the reads whose every byte is compared"},
    {"share", CMD_REAL, "SHARE", "1", "share of the manifest's objects that delete takes"},
    {"seed", CMD_COUNT, "N", "1", "decides sizes, bytes and choices"},
    {"from", CMD_TEXT, "DIR", NULL, "store the files of this directory tree; --count limits them"},
    {"max-size", CMD_SIZE, "SIZE", "16MiB", "with --from: leave out files above this size"},
    {"batch", CMD_FLAG, NULL, NULL, "with --from: send tar archives"},
    {"batch-files", CMD_COUNT, "N", "256", "files of one archive"},
    {0},
};

static const struct cmd_example bench_examples[] = {
    {"kitten bench put --size 4KiB --concurrency 64 --duration 10s",
     "Store 4 KiB objects for ten seconds"},
    {"kitten bench get --objects 100000 --keys zipf --rate 20000",
     "Read popular objects at a fixed rate, as an open loop"},
    {"kitten bench --from /usr/share/icons --batch --manifest icons.tsv",
     "Store a directory tree as tar archives"},
    {"kitten bench delete --manifest icons.tsv --share 0.5", "Delete every other of them"},
    {"kitten bench get --target s3 --endpoint 10.0.0.5:8333 --bucket b --size photo --json",
     "Measure another S3 server"},
    {0},
};

static const struct cmd_example verify_examples[] = {
    {"kitten bench verify --manifest icons.tsv", "Read everything back and compare"},
    {0},
};

const struct command cmd_bench = {
    .name = "bench",
    .operands = "[put|get|delete|list|mixed|batch]",
    .summary = "load a server and measure it",
    .text = "Loads a server with made-up objects, or with the files of a directory tree, and "
            "reports rates, "
            "latency percentiles, failures and, with --server-pid, operations per CPU second of "
            "the server.\n\n"
            "The bytes of made-up objects follow from --seed and their number, so that any of them "
            "can be "
            "checked. With --manifest the stored objects are remembered and can be read, deleted "
            "and verified "
            "by later runs.",
    .options = bench_options,
    .examples = bench_examples,
    .words_max = 1,
    .json = true,
    .run = bench_run,
};

const struct command cmd_bench_verify = {
    .name = "bench verify",
    .operands = "",
    .summary = "read back all that a manifest lists and compare",
    .text = "Every live object must be there with the right bytes, every deleted one must be gone. "
            "The exit "
            "code is 7 when anything was lost, resurrected or damaged.",
    .options = verify_options,
    .examples = verify_examples,
    .json = true,
    .run = verify_run,
};
