/* nearest: optimal string alignment distance over three rows of at most NEAREST_WORD_MAX cells. */
#include "base/nearest.h"

#include "base/macros.h"
#include <stdbool.h>
#include <string.h>

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = KT_MIN(a, b);
    return KT_MIN(m, c);
}

size_t nearest_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    size_t rows[3][NEAREST_WORD_MAX + 1];
    if (na > NEAREST_WORD_MAX || nb > NEAREST_WORD_MAX)
        return NEAREST_WORD_MAX;
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= nb; j++)
        above[j] = j;
    for (size_t i = 1; i <= na; i++) {
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t replace = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, replace);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped)
                row[j] = KT_MIN(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[nb];
}

struct nearest nearest_start(const char *wanted)
{
    return (struct nearest){.wanted = wanted, .word = NULL, .distance = NEAREST_WORD_MAX};
}

void nearest_offer(struct nearest *n, const char *word)
{
    size_t len = strlen(n->wanted);
    size_t distance = nearest_distance(n->wanted, word);
    bool begins = len >= 2 && strncmp(n->wanted, word, len) == 0;
    if (begins)
        distance = KT_MIN(distance, 1u);
    if (distance <= KT_MAX(len / 3, 1u) && distance < n->distance) {
        n->word = word;
        n->distance = distance;
    }
}
