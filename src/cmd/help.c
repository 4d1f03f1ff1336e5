/* help: prints the command table as help texts, as a man page and as a bash completion. */
#include "cmd/help.h"

#include "base/err.h"
#include "cmd/table.h"
#include <ctype.h>
#include <string.h>

void help_overview(FILE *out)
{
    fputs("kitten stores small files durably and serves them over HTTP.\n\n"
          "usage: kitten COMMAND [OPTION]... [OPERAND]...\n\ncommands:\n",
          out);
    for (size_t i = 0; cmd_table[i]; i++)
        fprintf(out, "  %-16s %s\n", cmd_table[i]->name, cmd_table[i]->summary);
    fputs("\n'kitten help COMMAND' explains one of them.\n", out);
}

static const char *type_placeholder(const struct cmd_option *o)
{
    return o->type == CMD_FLAG ? "" : o->value ? o->value : "VALUE";
}

/* Breaks `text` into lines of at most `width` columns, each begun with `indent` blanks. */
static void write_wrapped(FILE *out, const char *text, int indent, size_t width)
{
    size_t column = 0;
    for (;;) {
        size_t word = strcspn(text, " \n");
        if (column > 0 && column + 1 + word > width) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0)
            fprintf(out, "%*s", indent, "");
        else
            column += (size_t)fprintf(out, " ");
        column += (size_t)fprintf(out, "%.*s", (int)word, text);
        text += word;
        if (text[0] == '\n' && text[1] == '\n') {
            fputs("\n\n", out);
            column = 0;
            text++;
        }
        if (!*text++)
            break;
    }
    fputc('\n', out);
}

static void write_option(FILE *out, const struct cmd_option *o)
{
    char text[512];
    bool has_value = o->type != CMD_FLAG;
    fprintf(out, "  --%s%s%s\n", o->name, has_value ? " " : "", type_placeholder(o));
    snprintf(text, sizeof(text), "%s%s%s%s", o->help, o->fallback ? " (default " : "",
             o->fallback ? o->fallback : "", o->fallback ? ")" : "");
    write_wrapped(out, text, 6, 80);
}

void help_command(FILE *out, const struct command *c)
{
    const struct cmd_option *o;
    fprintf(out, "usage: kitten %s [OPTION]...%s%s\n\n", c->name, *c->operands ? " " : "",
            c->operands);
    write_wrapped(out, c->summary, 0, 90);
    if (c->text) {
        fputc('\n', out);
        write_wrapped(out, c->text, 0, 90);
    }
    fputs("\noptions:\n", out);
    for (size_t i = 0; (o = cmd_option_at(c, i)) != NULL; i++)
        write_option(out, o);
    if (c->examples)
        fputs("\nexamples:\n", out);
    for (size_t i = 0; c->examples && c->examples[i].line; i++)
        fprintf(out, "  %s\n      %s\n", c->examples[i].line, c->examples[i].text);
}

/* ---- man page ---- */

/* `len` bytes as roff wants them: dashes and backslashes escaped, line ends as blanks, a leading
 * dot or quote made harmless. */
static void write_roff_bytes(FILE *out, const char *s, size_t len)
{
    if (len > 0 && (*s == '.' || *s == '\''))
        fputs("\\&", out);
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '-')
            fputs("\\-", out);
        else if (s[i] == '\\')
            fputs("\\e", out);
        else
            fputc(s[i] == '\n' ? ' ' : s[i], out);
    }
}

static void write_roff(FILE *out, const char *s)
{
    write_roff_bytes(out, s, strlen(s));
}

static void write_paragraphs(FILE *out, const char *s)
{
    const char *end;
    while ((end = strstr(s, "\n\n")) != NULL) {
        write_roff_bytes(out, s, (size_t)(end - s));
        fputs("\n.PP\n", out);
        s = end + 2;
    }
    write_roff(out, s);
    fputc('\n', out);
}

static void man_option(FILE *out, const struct cmd_option *o)
{
    fputs(".TP\n\\fB\\-\\-", out);
    write_roff(out, o->name);
    fputs("\\fR", out);
    if (o->type != CMD_FLAG) {
        fputs(" \\fI", out);
        write_roff(out, type_placeholder(o));
        fputs("\\fR", out);
    }
    fputc('\n', out);
    write_roff(out, o->help);
    if (o->fallback) {
        fputs(" (default ", out);
        write_roff(out, o->fallback);
        fputc(')', out);
    }
    fputs(".\n", out);
}

static void man_command(FILE *out, const struct command *c)
{
    const struct cmd_option *o;
    fprintf(out, ".SS kitten %s", c->name);
    if (*c->operands) {
        fputc(' ', out);
        write_roff(out, c->operands);
    }
    fputc('\n', out);
    fputc(toupper((unsigned char)c->summary[0]), out);
    write_roff(out, c->summary + 1);
    fputs(".\n", out);
    if (c->text) {
        fputs(".PP\n", out);
        write_paragraphs(out, c->text);
    }
    for (size_t i = 0; (o = cmd_option_at(c, i)) != NULL; i++)
        if (strcmp(o->name, "help") != 0)
            man_option(out, o);
    for (size_t i = 0; c->examples && c->examples[i].line; i++) {
        fputs(".PP\n", out);
        write_roff(out, c->examples[i].text);
        fputs(":\n.PP\n.EX\n", out);
        write_roff(out, c->examples[i].line);
        fputs("\n.EE\n", out);
    }
}

void help_man(FILE *out)
{
    fprintf(out,
            ".\\\" made by: kitten help --man\n"
            ".TH KITTEN 1 \"\" \"kitten %s\" \"User Commands\"\n"
            ".SH NAME\nkitten \\- store small files durably and serve them over HTTP\n"
            ".SH SYNOPSIS\n.B kitten\n\\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIOPERAND\\fR]...\n"
            ".SH COMMANDS\nEvery command explains itself with \\fB\\-\\-help\\fR.\n",
            KITTEN_VERSION);
    for (size_t i = 0; cmd_table[i]; i++)
        man_command(out, cmd_table[i]);
    fputs(".SH EXIT STATUS\n"
          ".TP\n0\nsuccess\n.TP\n1\nfailure without a class of its own\n"
          ".TP\n2\nunknown command or option, malformed value\n"
          ".TP\n3\ncredentials missing, wrong or expired\n.TP\n4\nnot found\n"
          ".TP\n5\nconflict: exists already, in use\n"
          ".TP\n6\nunavailable: not reachable, busy or full; try again later\n"
          ".TP\n7\nstored data damaged or at risk\n",
          out);
}

/* ---- bash completion ---- */

/* Every word that may stand at first, once each: two-word names share theirs. */
static void bash_first_words(FILE *out)
{
    for (size_t i = 0; cmd_table[i]; i++) {
        size_t len = strcspn(cmd_table[i]->name, " ");
        bool seen = i > 0 && strncmp(cmd_table[i - 1]->name, cmd_table[i]->name, len) == 0 &&
                    strcspn(cmd_table[i - 1]->name, " ") == len;
        if (!seen)
            fprintf(out, "%s%.*s", i ? " " : "", (int)len, cmd_table[i]->name);
    }
}

static void bash_second_words(FILE *out, const char *first)
{
    size_t len = strlen(first);
    for (size_t i = 0; cmd_table[i]; i++)
        if (strncmp(cmd_table[i]->name, first, len) == 0 && cmd_table[i]->name[len] == ' ')
            fprintf(out, " %s", cmd_table[i]->name + len + 1);
}

static void bash_case(FILE *out, const struct command *c)
{
    const struct cmd_option *o;
    fprintf(out, "    '%s')\n        words='", c->name);
    for (size_t i = 0; (o = cmd_option_at(c, i)) != NULL; i++)
        fprintf(out, "%s--%s", i ? " " : "", o->name);
    if (!strchr(c->name, ' '))
        bash_second_words(out, c->name);
    fputs("'\n        ;;\n", out);
}

void help_bash(FILE *out)
{
    fputs("# bash completion for kitten; made by: kitten help --bash\n"
          "_kitten()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} words\n"
          "    local name=${COMP_WORDS[1]} two=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='",
          out);
    bash_first_words(out);
    fputs("'\n        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
          "        return\n    fi\n    case $two in\n",
          out);
    for (size_t i = 0; cmd_table[i]; i++)
        if (strchr(cmd_table[i]->name, ' '))
            bash_case(out, cmd_table[i]);
    fputs("    *)\n    case $name in\n", out);
    for (size_t i = 0; cmd_table[i]; i++)
        if (!strchr(cmd_table[i]->name, ' '))
            bash_case(out, cmd_table[i]);
    fputs("    esac\n    ;;\n    esac\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
          "}\ncomplete -o default -F _kitten kitten\n",
          out);
}

/* ---- the command ---- */

static int help_run(const struct cmd_args *args)
{
    const struct command *c;
    char *words[2];
    int used;
    if (cmd_flag(args, "man")) {
        help_man(stdout);
        return 0;
    }
    if (cmd_flag(args, "bash")) {
        help_bash(stdout);
        return 0;
    }
    if (args->nwords == 0) {
        help_overview(stdout);
        return 0;
    }
    for (int i = 0; i < args->nwords; i++)
        words[i] = (char *)(uintptr_t)args->words[i];
    int rc = cmd_find(args->nwords, words, &c, &used);
    if (rc == 0)
        help_command(stdout, c);
    return rc;
}

static const struct cmd_option help_options[] = {
    {"man", CMD_FLAG, NULL, NULL, "print the manual page, kitten(1)"},
    {"bash", CMD_FLAG, NULL, NULL, "print the completion script for bash"},
    {0},
};

static const struct cmd_example help_examples[] = {
    {"kitten help bench", "Explain the load generator"},
    {"kitten help --bash > /etc/bash_completion.d/kitten", "Install completion for every user"},
    {0},
};

const struct command cmd_help = {
    .name = "help",
    .operands = "[COMMAND]",
    .summary = "explain the commands",
    .options = help_options,
    .examples = help_examples,
    .words_max = 2,
    .run = help_run,
};
