/* keys: `kitten keys ls|show|add|rm`: the access keys of a data directory. They change the file; a
 * running server notices within KEYS_RELOAD_MS. Two commands at once are kept apart by a lock on
 * keys.lock.
 *
 * Failure modes: without keys.json there is nothing to list or change: the server makes the file at
 * its first start. */
#include "gateway/keys.h"

#include "base/err.h"
#include "cmd/json.h"
#include "cmd/table.h"
#include "rt/rt.h"
#include <stdio.h>
#include <time.h>

#define LOCK_FILE "keys.lock"

struct job {
    const struct cmd_args *args;
    int (*change)(struct key_list *l, const char *word); /* NULL: only show */
    int (*show)(const struct cmd_args *args, const struct key_list *l);
};

static int explain(const struct job *j, int rc)
{
    if (rc != -KT_ERR_NOT_FOUND)
        return rc;
    return err_set(KT_ERR_NOT_FOUND,
                   "%s holds no " KEYS_FILE ": `kitten mini %s` makes it at its first start",
                   j->args->words[0], j->args->words[0]);
}

static int have_keys(const struct job *j, int dir)
{
    int f = rt_file_open(dir, KEYS_FILE, RT_O_READ, 0);
    rt_file_close(f);
    return f < 0 ? explain(j, f) : 0;
}

static int with_list(struct job *j, int dir)
{
    struct key_list l = {0};
    int rc = explain(j, keys_load(dir, &l));
    if (rc >= 0 && j->change) {
        rc = j->change(&l, j->args->words[1]);
        if (rc >= 0)
            rc = keys_save(dir, &l);
    }
    if (rc >= 0)
        rc = j->show(j->args, &l);
    key_list_done(&l);
    return rc;
}

static int keys_fiber(void *arg)
{
    struct job *j = arg;
    int lock = -1;
    int dir = rt_dir_open(j->args->words[0], false);
    int rc = dir;
    /* No lock file where there are no keys: `kitten mini` takes an empty directory only. */
    if (rc >= 0 && j->change)
        rc = have_keys(j, dir);
    if (rc >= 0 && j->change) {
        rc = lock = rt_file_open(dir, LOCK_FILE, RT_O_WRITE | RT_O_CREATE, 0600);
        if (rc >= 0)
            rc = rt_file_lock(lock);
        if (rc == -KT_ERR_LOCKED)
            rc = err_set(KT_ERR_LOCKED, "another `kitten keys` is changing the keys; try again");
    }
    if (rc >= 0)
        rc = with_list(j, dir);
    rt_file_close(lock);
    rt_file_close(dir);
    return rc;
}

static int run(struct job *j)
{
    struct rt_options o = {.loops = 1, .workers = 1};
    return rt_run(&o, keys_fiber, j);
}

/* ---- ls ---- */

static int show_list(const struct cmd_args *args, const struct key_list *l)
{
    struct json j = json_start(stdout);
    if (args->json)
        json_open(&j, NULL, '[');
    else
        printf("%-*s  %-10s  NAME\n", KEY_ACCESS_LEN, "ACCESS KEY", "CREATED");
    for (int i = 0; i < l->n; i++) {
        const struct key *k = &l->at[i];
        if (args->json) {
            json_open(&j, NULL, '{');
            json_text(&j, "access", k->access);
            json_text(&j, "name", k->name);
            json_u64(&j, "created", (uint64_t)k->created_s);
            json_close(&j);
            continue;
        }
        char day[16];
        time_t t = k->created_s;
        struct tm tm;
        strftime(day, sizeof(day), "%Y-%m-%d", gmtime_r(&t, &tm));
        printf("%-*s  %-10s  %s\n", KEY_ACCESS_LEN, k->access, day, k->name);
    }
    if (args->json)
        json_close(&j);
    return 0;
}

static int ls_run(const struct cmd_args *args)
{
    struct job j = {.args = args, .show = show_list};
    return run(&j);
}

/* ---- show ---- */

static int show_key(const struct cmd_args *args, const struct key_list *l)
{
    const char *which = args->nwords > 1 ? args->words[1] : NULL;
    for (int i = 0; i < l->n; i++) {
        const struct key *k = &l->at[i];
        if (which && strcmp(k->access, which) != 0 && strcmp(k->name, which) != 0)
            continue;
        printf("%s:%s\n", k->access, k->secret);
        return 0;
    }
    return err_set(KT_ERR_NOT_FOUND,
                   which ? "no key has that access key or name" : "there are no keys");
}

static int show_run(const struct cmd_args *args)
{
    struct job j = {.args = args, .show = show_key};
    return run(&j);
}

/* ---- add ---- */

static int add_key(struct key_list *l, const char *word)
{
    return keys_make(l, word, rt_wall_ns() / NS_PER_SEC);
}

static int show_added(const struct cmd_args *args, const struct key_list *l)
{
    const struct key *k = &l->at[l->n - 1];
    if (!args->json) {
        printf("access key  %s\nsecret      %s\n", k->access, k->secret);
        return 0;
    }
    struct json j = json_start(stdout);
    json_open(&j, NULL, '{');
    json_text(&j, "access", k->access);
    json_text(&j, "secret", k->secret);
    json_text(&j, "name", k->name);
    json_close(&j);
    return 0;
}

static int add_run(const struct cmd_args *args)
{
    struct job j = {.args = args, .change = add_key, .show = show_added};
    return run(&j);
}

/* ---- rm ---- */

static int show_removed(const struct cmd_args *args, const struct key_list *l)
{
    if (args->json) {
        struct json j = json_start(stdout);
        json_open(&j, NULL, '{');
        json_text(&j, "removed", args->words[1]);
        json_u64(&j, "left", (uint64_t)l->n);
        json_close(&j);
    } else if (l->n == 0) {
        printf("that was the last key: nobody can write now; `kitten keys add` makes another\n");
    }
    return 0;
}

static int rm_run(const struct cmd_args *args)
{
    struct job j = {.args = args, .change = keys_drop, .show = show_removed};
    return run(&j);
}

const struct command cmd_keys_ls = {
    .name = "keys ls",
    .operands = "DIR",
    .summary = "list access keys, without their secrets",
    .words_min = 1,
    .words_max = 1,
    .json = true,
    .run = ls_run,
};
const struct command cmd_keys_show = {
    .name = "keys show",
    .operands = "DIR [KEY]",
    .summary = "print a key as ACCESS:SECRET, the first one or the one named",
    .text = "For scripts: Authorization: Bearer $(kitten keys show DIR). KEY is an access key or a "
            "name.",
    .words_min = 1,
    .words_max = 2,
    .run = show_run,
};
const struct command cmd_keys_add = {
    .name = "keys add",
    .operands = "DIR NAME",
    .summary = "make an access key and show it",
    .text = "A running server accepts it within a few seconds. NAME says what the key is for.",
    .words_min = 2,
    .words_max = 2,
    .json = true,
    .run = add_run,
};
const struct command cmd_keys_rm = {
    .name = "keys rm",
    .operands = "DIR KEY",
    .summary = "remove an access key",
    .text = "KEY is an access key or a name. A running server refuses it within a few seconds; "
            "URLs signed with it "
            "stop working.",
    .words_min = 2,
    .words_max = 2,
    .json = true,
    .run = rm_run,
};
