/* status: `kitten status DIR`: asks a running server how it is, and says so: first in one word,
 * then what is wrong, then a table of disks. The data directory tells where the server is and with
 * which key to ask; options can say it instead.
 *
 * Exit code: 0 healthy, CMD_EXIT_DAMAGE when something is wrong, CMD_EXIT_UNAVAILABLE when nobody
 * answers.
 */
#include "base/err.h"
#include "cmd/table.h"
#include "gateway/keys.h"
#include "gateway/statefile.h"
#include "http/client.h"
#include <inttypes.h>
#include <jansson.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX MIB(64)
#define ASK_TIMEOUT_MS 10000

struct ask {
    const struct cmd_args *args;
    char endpoint[RT_ADDR_TEXT_MAX];
    char bearer[KEY_ACCESS_MAX + KEY_SECRET_MAX + 16];
    struct buf answer;
    bool fine;
};

/* ---- where, and with which key ---- */

static int from_directory(struct ask *a, const char *path)
{
    struct buf text = BUF_INIT(RT_ADDR_TEXT_MAX - 1);
    struct key_list l = {0};
    int dir = rt_dir_open(path, false);
    if (dir < 0)
        return dir;
    int rc = statefile_read(dir, "endpoint", &text);
    if (rc == -KT_ERR_NOT_FOUND)
        rc = err_set(KT_ERR_UNAVAILABLE, "no server has run on %s yet: kitten mini %s", path, path);
    if (rc >= 0)
        rc = keys_load(dir, &l);
    if (rc >= 0 && l.n == 0)
        rc = err_set(KT_ERR_NOT_FOUND, "%s has no keys: kitten keys add %s NAME", path, path);
    if (rc >= 0) {
        snprintf(a->endpoint, sizeof(a->endpoint), "%.*s", SLICE_ARG(buf_slice(&text)));
        snprintf(a->bearer, sizeof(a->bearer), "Bearer %s:%s", l.at[0].access, l.at[0].secret);
    }
    key_list_done(&l);
    buf_done(&text);
    rt_file_close(dir);
    return rc;
}

static int from_options(struct ask *a)
{
    const char *endpoint = cmd_text(a->args, "endpoint");
    const char *access = cmd_text(a->args, "access-key"), *secret = cmd_text(a->args, "secret-key");
    access = access ? access : getenv("KITTEN_ACCESS_KEY");
    secret = secret ? secret : getenv("KITTEN_SECRET_KEY");
    if (endpoint)
        snprintf(a->endpoint, sizeof(a->endpoint), "%s", endpoint);
    if (access && secret)
        snprintf(a->bearer, sizeof(a->bearer), "Bearer %s:%s", access, secret);
    if (!a->endpoint[0] || !a->bearer[0])
        return err_set(KT_ERR_INVALID,
                       "name a data directory, or --endpoint with --access-key and --secret-key");
    return 0;
}

/* ---- asking ---- */

static int call(struct ask *a, struct http_client *client)
{
    struct http_field f = {"authorization", slice_str(a->bearer)};
    struct http_exchange *ex = NULL;
    struct http_call c = {.host = slice_str(a->endpoint),
                          .target = SLICE_LIT("/status"),
                          .method = H1_GET,
                          .fields = &f,
                          .nfields = 1,
                          .deadline_ns = rt_after_ms(ASK_TIMEOUT_MS)};
    int rc = rt_addr_parse(slice_str(a->endpoint), &c.addr);
    if (rc < 0)
        return err_wrap(rc, "endpoint %s", a->endpoint);
    rc = http_client_call(client, &c, &ex);
    if (rc < 0) {
        char why[DIAG_TEXT_MAX]; /* err_set writes where err_text points to */
        snprintf(why, sizeof(why), "%s", err_text(rc));
        return err_set(KT_ERR_UNAVAILABLE, "no server answers at %s: %s", a->endpoint, why);
    }
    if (ex->head.status == 401)
        rc = err_set(KT_ERR_UNAUTHENTICATED, "the server at %s doesn't know this key", a->endpoint);
    else if (ex->head.status != 200)
        rc = err_set(KT_ERR_UNAVAILABLE, "the server at %s answered %d", a->endpoint,
                     ex->head.status);
    else
        rc = http_exchange_read_all(ex, &a->answer);
    http_exchange_end(ex);
    return rc;
}

static int ask_fiber(void *arg)
{
    struct ask *a = arg;
    struct http_client *client;
    int rc = a->args->nwords ? from_directory(a, a->args->words[0]) : 0;
    if (rc >= 0)
        rc = from_options(a);
    if (rc >= 0)
        rc = http_client_open(&(struct http_client_options){0}, &client);
    if (rc < 0)
        return rc;
    rc = call(a, client);
    http_client_close(client);
    return rc;
}

/* ---- saying ---- */

static uint64_t number(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

/* "12.3 GB": three digits and a decimal unit. */
static void human(uint64_t bytes, char out[24])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 999.5 && u + 1 < KT_ARRAY_LEN(units); u++)
        v /= 1000;
    snprintf(out, 24, "%.*f %s", u == 0 || v >= 100 ? 0 : v >= 10 ? 1 : 2, v, units[u]);
}

/* Thousands in groups: 1 234 567. */
static void grouped(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            out[at++] = ' ';
        out[at++] = digits[i];
    }
    out[at] = 0;
}

static void say_summary(const json_t *root)
{
    char live[24], needles[32], state[16];
    uint64_t total = 0, free_bytes = 0;
    size_t i;
    json_t *disk, *disks = json_object_get(root, "disks"), *vols = json_object_get(root, "volumes");
    json_array_foreach(disks, i, disk)
    {
        total += number(disk, "total_bytes");
        free_bytes += number(disk, "free_bytes");
    }
    snprintf(state, sizeof(state), "%s", text(root, "state"));
    for (char *p = state; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    human(number(root, "live_bytes"), live);
    grouped(number(root, "needles"), needles);
    uint64_t volumes = number(vols, "open") + number(vols, "sealed") + number(vols, "fenced") +
                       number(vols, "damaged");
    printf("%s  %zu disk%s, %" PRIu64 " volume%s, %s blobs, %s live, %.0f %% of space used\n",
           state, json_array_size(disks), json_array_size(disks) == 1 ? "" : "s", volumes,
           volumes == 1 ? "" : "s", needles, live,
           total ? 100.0 * (double)(total - free_bytes) / (double)total : 0.0);
}

static void say_problems(const json_t *root)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(root, "problems"), i, p)
        printf("  ! %s\n", json_string_value(p));
    if (number(root, "problems_unlisted"))
        printf("  ! and %" PRIu64 " more\n", number(root, "problems_unlisted"));
}

static int add_disk(struct libscols_table *t, const json_t *disk)
{
    char total[24], left[24], volumes[32], errors[32];
    struct libscols_line *line = scols_table_new_line(t, NULL);
    if (!line)
        return err_set(KT_ERR_NO_MEMORY, "table line");
    human(number(disk, "total_bytes"), total);
    human(number(disk, "free_bytes"), left);
    grouped(number(disk, "volumes"), volumes);
    grouped(number(disk, "io_errors"), errors);
    const char *cells[] = {text(disk, "path"), text(disk, "state"), total, left, volumes, errors};
    for (size_t i = 0; i < KT_ARRAY_LEN(cells); i++)
        if (scols_line_set_data(line, i, cells[i]) != 0)
            return err_set(KT_ERR_NO_MEMORY, "table cell");
    return 0;
}

static int say_disks(const json_t *root)
{
    static const char *const columns[] = {"DISK", "STATE", "SIZE", "FREE", "VOLUMES", "ERRORS"};
    struct libscols_table *t = scols_new_table();
    int rc = t ? 0 : err_set(KT_ERR_NO_MEMORY, "table");
    for (size_t i = 0; i < KT_ARRAY_LEN(columns) && rc >= 0; i++)
        if (!scols_table_new_column(t, columns[i], 0, i >= 2 ? SCOLS_FL_RIGHT : 0))
            rc = err_set(KT_ERR_NO_MEMORY, "table column");
    size_t i;
    json_t *disk;
    json_array_foreach(json_object_get(root, "disks"), i, disk) if (rc >= 0) rc = add_disk(t, disk);
    if (rc >= 0)
        scols_print_table(t);
    scols_unref_table(t);
    return rc;
}

static void say_jobs(const json_t *root)
{
    size_t i;
    json_t *job;
    json_array_foreach(json_object_get(root, "jobs"), i, job)
    {
        uint64_t total = number(job, "total_bytes");
        printf("%s %s (%s): %.0f %%%s%s\n", text(job, "kind"), text(job, "vid"), text(job, "phase"),
               total ? 100.0 * (double)number(job, "done_bytes") / (double)total : 0.0,
               *text(job, "why") ? ", " : "", text(job, "why"));
    }
}

static int say(struct ask *a)
{
    json_t *root = json_loadb((const char *)a->answer.p, a->answer.len, 0, NULL);
    if (!root)
        return err_set(KT_ERR_PROTO, "the server at %s didn't answer as a kitten would",
                       a->endpoint);
    a->fine = strcmp(text(root, "state"), "healthy") == 0;
    int rc = 0;
    if (a->args->json) {
        fwrite(a->answer.p, 1, a->answer.len, stdout);
    } else {
        say_summary(root);
        say_problems(root);
        rc = say_disks(root);
        say_jobs(root);
    }
    json_decref(root);
    return rc;
}

static int status_run(const struct cmd_args *args)
{
    struct ask a = {.args = args, .answer = BUF_INIT(ANSWER_MAX)};
    struct rt_options o = {.loops = 1, .workers = 1};
    int rc = rt_run(&o, ask_fiber, &a);
    if (rc >= 0)
        rc = say(&a);
    if (rc >= 0 && !a.fine)
        rc = CMD_EXIT_DAMAGE;
    buf_done(&a.answer);
    memset(a.bearer, 0, sizeof(a.bearer));
    return rc;
}

static const struct cmd_option options[] = {
    {"endpoint", CMD_TEXT, "ADDRESS:PORT", NULL, "server to ask, instead of the one on DIR"},
    {"access-key", CMD_TEXT, "KEY", NULL, "access key; else KITTEN_ACCESS_KEY, else from DIR"},
    {"secret-key", CMD_TEXT, "KEY", NULL, "secret key; else KITTEN_SECRET_KEY, else from DIR"},
    {0}};
static const struct cmd_example examples[] = {
    {"kitten status ./data", "How is the server that runs on ./data?"},
    {"kitten status ./data --json", "The same for a program"},
    {0}};

const struct command cmd_status = {
    .name = "status",
    .operands = "[DIR]",
    .summary = "say whether a running server is fine",
    .text = "The first word is the answer: HEALTHY, DEGRADED or FAILED; what is wrong follows in "
            "sentences. The exit "
            "code is 0 when all is well, 7 when something is wrong, 6 when no server answers.",
    .options = options,
    .examples = examples,
    .words_min = 0,
    .words_max = 1,
    .json = true,
    .run = status_run,
};
