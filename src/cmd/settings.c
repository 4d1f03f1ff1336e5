/* settings: see settings.h. The option rows are made from the parameter table at first use. */
#include "cmd/settings.h"

#include "base/err.h"
#include "conf/machine.h"
#include <stdlib.h>
#include <unistd.h>

const struct cmd_option settings_own_options[] = {
    {"config", CMD_TEXT, "FILE", NULL, "read parameters from this file (else KITTEN_CONF)"}, {0}};

static const char *placeholder(enum conf_type type)
{
    switch (type) {
    case CONF_TYPE_LIST:
        return "LIST";
    case CONF_TYPE_TEXT:
        return "TEXT";
    case CONF_TYPE_FLAG:
        return "YES|NO";
    case CONF_TYPE_COUNT:
        return "N";
    case CONF_TYPE_SIZE:
        return "SIZE";
    case CONF_TYPE_TIME:
        return "TIME";
    case CONF_TYPE_CHOICE:
        break;
    }
    return "CHOICE";
}

/* All values are texts here: conf_set checks them, with the better message. */
const struct cmd_option *settings_option(size_t i)
{
    static struct cmd_option rows[CONF_PARAM_COUNT];
    static char names[CONF_PARAM_COUNT][40];
    const struct conf_param *p = conf_param(i);
    if (!p)
        return NULL;
    if (!rows[i].name) {
        size_t n = 0;
        for (; p->name[n] && n + 1 < sizeof(names[i]); n++)
            names[i][n] = (char)(p->name[n] == '_' ? '-' : p->name[n]);
        names[i][n] = 0;
        rows[i] = (struct cmd_option){names[i], CMD_TEXT, placeholder(p->type),
                                      *p->fallback ? p->fallback : NULL, p->prose};
    }
    return &rows[i];
}

static int take_options(const struct cmd_args *args, struct conf *c)
{
    int rc = 0;
    for (int i = 0; i < args->nvalues && rc >= 0; i++)
        if (conf_find(args->values[i].option->name))
            rc = conf_set(c, CONF_FLAG, args->values[i].option->name, args->values[i].text);
    for (int i = 0; i < args->nwords && rc >= 0; i++)
        rc = conf_set(c, CONF_FLAG, "data", args->words[i]);
    return rc;
}

int settings_load(const struct cmd_args *args, struct conf *ret)
{
    const char *file = cmd_text(args, "config");
    if (!file)
        file = getenv("KITTEN_CONF");
    conf_init(ret);
    int rc = file && *file ? conf_load_file(ret, file) : 0;
    if (rc >= 0)
        rc = conf_load_env(ret, environ);
    if (rc >= 0)
        rc = take_options(args, ret);
    return rc < 0 ? rc : conf_finish(ret, machine_memory_bytes());
}
