/* sign: `kitten sign DIR ID`: a signed URL path, made here from the key file, without asking the
 * server. */
#include "base/err.h"
#include "cmd/json.h"
#include "cmd/table.h"
#include "gateway/auth.h"
#include "rt/rt.h"
#include <stdio.h>
#include <string.h>

static int find_key(const struct cmd_args *args, struct key *ret)
{
    struct key_list l = {0};
    const char *which = cmd_text(args, "key");
    int dir = rt_dir_open(args->words[0], false);
    if (dir < 0)
        return dir;
    int rc = keys_load(dir, &l);
    rt_file_close(dir);
    if (rc < 0)
        return rc;
    rc = -KT_ERR_NOT_FOUND;
    for (int i = 0; i < l.n && rc < 0; i++) {
        if (which && strcmp(l.at[i].access, which) != 0 && strcmp(l.at[i].name, which) != 0)
            continue;
        *ret = l.at[i];
        rc = 0;
    }
    key_list_done(&l);
    return rc < 0 ? err_set(KT_ERR_NOT_FOUND, "no such key; see: kitten keys ls %s", args->words[0])
                  : 0;
}

static int sign_fiber(void *arg)
{
    const struct cmd_args *args = arg;
    struct key key;
    struct blobid id;
    char sig[AUTH_SIG_HEX], url[512];
    int64_t ttl_s = cmd_duration_ms(args, "ttl") / 1000;
    if (blobid_parse(slice_str(args->words[1]), &id) < 0)
        return err_set(KT_ERR_INVALID, "'%s' is no blob id", args->words[1]);
    if (ttl_s < 1 || ttl_s > AUTH_URL_TTL_MAX_S)
        return err_set(KT_ERR_INVALID, "--ttl must be 1s to 7d");
    int rc = find_key(args, &key);
    if (rc < 0)
        return rc;
    uint64_t expires = (uint64_t)(rt_wall_ns() / NS_PER_SEC + ttl_s);
    auth_sign_url(&key, "GET", &id, expires, sig);
    snprintf(url, sizeof(url), "/blob/%s?key=%s&expires=%llu&sig=%.*s", args->words[1], key.access,
             (unsigned long long)expires, AUTH_SIG_HEX, sig);
    memset(&key, 0, sizeof(key));
    if (!args->json) {
        printf("%s\n", url);
        return 0;
    }
    struct json j = json_start(stdout);
    json_open(&j, NULL, '{');
    json_text(&j, "url", url);
    json_u64(&j, "expires", expires);
    json_close(&j);
    return 0;
}

static int sign_run(const struct cmd_args *args)
{
    struct rt_options o = {.loops = 1, .workers = 1};
    return rt_run(&o, sign_fiber, (void *)(uintptr_t)args);
}

static const struct cmd_option options[] = {
    {"ttl", CMD_DURATION, "TIME", "1h", "how long the URL is valid, at most 7d"},
    {"key", CMD_TEXT, "KEY", NULL, "access key or name to sign with, instead of the first"},
    {0}};
static const struct cmd_example examples[] = {
    {"kitten sign ./data 1f3a09c2,4d2-0123456789abcdef --ttl 10m",
     "Let somebody read one blob for ten minutes"},
    {0}};

const struct command cmd_sign = {
    .name = "sign",
    .operands = "DIR ID",
    .summary = "make a URL that lets anybody read one blob for a while",
    .text = "Prints path and query; put the server's address before it. The key comes from "
            "keys.json of the data "
            "directory DIR; the server is not asked.",
    .options = options,
    .examples = examples,
    .words_min = 2,
    .words_max = 2,
    .json = true,
    .run = sign_run,
};
