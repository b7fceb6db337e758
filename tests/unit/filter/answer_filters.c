/* Answers for model.py: each line of the input is a dialect (q or n), a filter, a payload, an id
 * and the vectors a row has, apart by tabs; each line of the output is 0 or 1, or why not. */
#include "filter/filter.h"

#include <stdio.h>
#include <stdlib.h>

static struct jdoc *doc;

static int vector_of(void *arg, struct slice name)
{
    (void)arg;
    return name.bytes == 2 && name.data[0] == 'v' ? name.data[1] - '0' : -1;
}

static status answer(char *fields[5], struct arena *arena, bool *out, struct err *err)
{
    const struct filter_binding binding = {.vector_of = vector_of};
    struct docid id = docid_u64(strtoull(fields[3], NULL, 10));
    struct filter_row row = {.id = &id, .vectors = strtoull(fields[4], NULL, 10)};
    struct filter *f = NULL;
    struct buf blob;
    struct jval v;
    status st = jdoc_parse(doc, slice_text(fields[1]), &v, err);

    buf_init(&blob, 1 << 20);
    if (st == ST_OK)
        st = fields[0][0] == 'q' ? filter_parse_qdrant(v, false, arena, &f, err)
                                 : filter_parse_native(v, false, arena, &f, err);
    if (st == ST_OK)
        st = filter_bind(f, &binding, arena, err);
    if (st == ST_OK)
        st = jdoc_parse(doc, slice_text(fields[2]), &v, err);
    if (st == ST_OK) {
        jbin_put(&blob, v);
        row.payload = buf_slice(&blob);
        *out = filter_match(f, &row);
    }
    buf_free(&blob);
    return st;
}

int main(void)
{
    struct arena arena;
    char *line = NULL;
    size_t capacity = 0;

    arena_init(&arena, 1 << 20);
    if (jdoc_create(&doc, NULL) != ST_OK)
        return 1;
    while (getline(&line, &capacity, stdin) > 0) {
        char *fields[5], *rest = line;
        struct err err = {0};
        bool yes = false;

        for (size_t i = 0; i < COUNT_OF(fields); i++)
            if ((fields[i] = strsep(&rest, "\t\n")) == NULL)
                return 1;
        if (answer(fields, &arena, &yes, &err) == ST_OK)
            puts(yes ? "1" : "0");
        else
            puts(err.text);
        arena_reset(&arena);
    }
    free(line);
    arena_free(&arena);
    jdoc_destroy(doc);
    return 0;
}
