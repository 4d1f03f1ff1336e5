/* conf_render: the texts that are made from the table: --help, etc/kitten.conf, docs/config.md. */
#include "base/err.h"
#include "conf/conf.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 92

static const struct item {
    const char *section, *section_prose; /* of a SECTION */
    size_t param;                        /* of a PARAM */
} items[] = {
#define SECTION(name, prose) {name, prose, 0},
#define PARAM(name, type, fallback, min, max, unit, reloadable, prose)                             \
    {NULL, NULL, CONF_PARAM_##name},
#include "conf/param_list.h"
#undef SECTION
#undef PARAM
};

/* Words of `text`, wrapped, each line after `indent`. */
static int add_wrapped(struct buf *out, const char *indent, const char *text)
{
    int rc = 0;
    while (*text && rc == 0) {
        size_t room = WIDTH - strlen(indent), len = strlen(text);
        if (len > room) {
            len = room;
            while (len > 0 && text[len] != ' ')
                len--;
            if (len == 0)
                len = strcspn(text, " ");
        }
        rc = buf_addf(out, "%s%.*s\n", indent, (int)len, text);
        text += len;
        text += strspn(text, " ");
    }
    return rc;
}

static const char *type_text(const struct conf_param *p, char *out, size_t size)
{
    static const char *const words[] = {
        [CONF_TYPE_LIST] = "list",    [CONF_TYPE_TEXT] = "text", [CONF_TYPE_FLAG] = "yes|no",
        [CONF_TYPE_COUNT] = "number", [CONF_TYPE_SIZE] = "size", [CONF_TYPE_TIME] = "time"};
    if (p->type == CONF_TYPE_CHOICE)
        snprintf(out, size, "%s", p->unit);
    else
        snprintf(out, size, "%s%s%s", words[p->type], *p->unit ? ", " : "", p->unit);
    return out;
}

/* The name with '-' for '_', or in upper case. */
static const char *spelled(const char *name, bool upper, char *out, size_t size)
{
    size_t i = 0;
    for (; name[i] && i < size - 1; i++)
        out[i] = upper ? (char)toupper((unsigned char)name[i]) : name[i] == '_' ? '-' : name[i];
    out[i] = 0;
    return out;
}

int conf_render_help(struct buf *out)
{
    char name[64], type[64];
    int rc = 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(items) && rc == 0; i++) {
        const struct conf_param *p = conf_param(items[i].param);
        if (items[i].section) {
            rc = buf_addf(out, "%s%s\n", i ? "\n" : "", items[i].section_prose);
            continue;
        }
        rc = buf_addf(out, "  --%s=VALUE  (%s%s%s)\n", spelled(p->name, false, name, sizeof(name)),
                      type_text(p, type, sizeof(type)), *p->fallback ? "; default " : "",
                      p->fallback);
        if (rc == 0)
            rc = add_wrapped(out, "        ", p->prose);
    }
    return rc;
}

int conf_render_file(struct buf *out)
{
    char type[64];
    int rc = buf_add_str(
        out,
        "# kitten.conf: every parameter with its default. Made from the table in the source; see "
        "docs/config.md.\n"
        "# A flag (--volume-limit=1GiB) wins over the environment (KITTEN_VOLUME_LIMIT=1GiB), "
        "which wins over this file.\n");
    for (size_t i = 0; i < KT_ARRAY_LEN(items) && rc == 0; i++) {
        const struct conf_param *p = conf_param(items[i].param);
        if (items[i].section) {
            rc = buf_addf(out, "\n[%s]\n# %s\n", items[i].section, items[i].section_prose);
            continue;
        }
        rc = buf_add_str(out, "\n");
        if (rc == 0)
            rc = add_wrapped(out, "# ", p->prose);
        if (rc == 0)
            rc = buf_addf(out, "# (%s%s)\n#%s =%s%s\n", type_text(p, type, sizeof(type)),
                          p->reloadable ? "; reread on SIGHUP" : "", p->name,
                          *p->fallback ? " " : "", p->fallback);
    }
    return rc;
}

static int add_doc_row(struct buf *out, const struct conf_param *p)
{
    char flag[64], env[64], type[64];
    const char *none = *p->fallback ? p->fallback : "none";
    int rc = buf_addf(out, "\n### `%s`\n\n%s\n\n", p->name, p->prose);
    if (rc == 0)
        rc = buf_addf(
            out, "- default: `%s`\n- kind: %s\n- flag: `--%s`, environment: `KITTEN_%s`\n- %s\n",
            none, type_text(p, type, sizeof(type)), spelled(p->name, false, flag, sizeof(flag)),
            spelled(p->name, true, env, sizeof(env)),
            p->reloadable ? "reread on SIGHUP" : "needs a restart");
    return rc;
}

int conf_render_docs(struct buf *out)
{
    int rc = buf_add_str(
        out,
        "# Configuration\n\n"
        "This page and `etc/kitten.conf` are made from `src/conf/param_list.h` (`make docs`).\n\n"
        "Every parameter can be given in `kitten.conf`, in the environment and as a flag. A flag "
        "wins over the\n"
        "environment, the environment over the file, the file over the default. An unknown name is "
        "an error.\n\n"
        "Sizes are written `4096`, `64KiB`, `1MiB`, `2GiB`, `1TiB` (powers of 1024) or `kB`, `MB`, "
        "`GB`, `TB`\n"
        "(powers of 1000); times `250ms`, `10s`, `5m`, `2h`, `7d`, a bare number meaning seconds; "
        "lists are\n"
        "separated by commas, and a flag for a list may be repeated.\n");
    for (size_t i = 0; i < KT_ARRAY_LEN(items) && rc == 0; i++) {
        if (items[i].section)
            rc = buf_addf(out, "\n## [%s]\n\n%s\n", items[i].section, items[i].section_prose);
        else
            rc = add_doc_row(out, conf_param(items[i].param));
    }
    return rc;
}
